"""The worker that replaces: whole polls only, the last of them, into a real SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from api2db.core.backoff import Backoff
from api2db.core.batch import GROUP
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps
from api2db.files.dead_letter import DeadLetters
from api2db.sink.base import Delivery
from api2db.sink.sqlite import SqliteSink
from api2db.spool.spool import Record, Spool
from api2db.stream.backlog import Backlog
from api2db.stream.polls import NO_ROWS, PollBacklog
from api2db.stream.replace import ReplaceWorker
from api2db.stream.spill import Origin, Spill
from api2db.stream.watchdog import Watchdog
from api2db.stream.worker import Worker


class Bench:
    """A spool, a SQLite file, and the worker between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watchdog = Watchdog()
        self.open()

    def open(self) -> None:
        """Begin a life."""
        clock = SystemClock()
        self.spool = Spool.open(
            self.folder / "spool", streams=["t"], timestamps=Timestamps(clock), clock=clock
        )
        self.worker = self.new_worker(replace=True)

    def new_worker(self, *, replace: bool) -> Worker:
        """Return a worker that is not started."""
        delivery = Delivery(self.spool.id, "c", "t", "t", replace=replace)
        spill = Spill(self.folder / "spilled", Origin(self.spool.id, "c", "t"))
        return (ReplaceWorker if replace else Worker)(
            "c/t",
            backlog=(PollBacklog if replace else Backlog)(self.spool, "t", spill),
            sink=SqliteSink("sqlite:///t.db", delivery, base=self.folder),
            dead_letters=DeadLetters(self.folder / "dead"),
            watchdog=self.watchdog,
            backoff=Backoff(initial=0.0, maximum=0.001),
        )

    def put(self, poll: str, *values: object, first: bool = False, last: bool = False) -> None:
        """Put one page of *poll*."""
        rows = pa.record_batch({"v": pa.array(values)}) if values else NO_ROWS
        self.spool.put(Record(rows=rows, state=b"{}", poll=poll, first=first, last=last))

    def poll(self, poll: str, *values: object) -> None:
        """Put a poll of one page."""
        self.put(poll, *values, first=True, last=True)

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for the worker."""
        for _ in range(2000):
            if reached():
                return
            threading.Event().wait(0.005)
        raise AssertionError(f"not reached; the worker is {self.worker.progress}")

    def waiting(self) -> int:
        """Return how many batches are not acknowledged."""
        return self.spool.depth("t").batches

    def rows(self) -> list[object]:
        """Return the table."""
        with closing(sqlite3.connect(self.folder / "t.db")) as file:
            return [v for (v,) in file.execute("select v from t order by rowid")]

    def end(self) -> None:
        """End the worker and close the spool."""
        self.worker.stop()
        assert self.worker.join(10)
        self.spool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.end()
    bench.watchdog.close()


def test_whole_polls_only(bench: Bench) -> None:
    """Pages wait, and do not count as queued, until the last one of their poll has come."""
    bench.worker.start()
    bench.poll("a", 1, 2)
    bench.until(lambda: bench.waiting() == 0)
    bench.put("b", 3, first=True)
    bench.put("b", 4)
    bench.until(lambda: bench.worker.backlog.queued == 0)
    assert bench.waiting() == 2
    assert bench.rows() == [1, 2]
    bench.put("b", last=True)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [3, 4]
    bench.poll("c")
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == []


def test_the_last_of_several_polls(bench: Bench) -> None:
    """What waited together is one transaction; older polls are passed over, markers pruned."""
    for n in range(30):
        bench.put(f"p{n}", n, first=True)
        bench.put(f"p{n}", n + 100, last=True)
    bench.put("open", 7, first=True)
    bench.worker.start()
    bench.until(lambda: bench.waiting() == 1)
    assert bench.rows() == [29, 129]
    assert bench.worker.progress.writes == 1
    assert bench.worker.progress.rows == 2

    def markers() -> int:
        with closing(sqlite3.connect(bench.folder / "t.db")) as file:
            (n,) = file.execute("select count(*) from _api2db_batches").fetchone()
            return int(n)

    bench.until(lambda: markers() == 0)


def test_an_abandoned_poll(bench: Bench) -> None:
    """A poll that will never end leaves the log when the next begins, and is never written."""
    bench.worker.start()
    bench.poll("a", 1)
    bench.until(lambda: bench.waiting() == 0)
    bench.put("b", 2, first=True)
    bench.put("b", 3)
    bench.put("c", 4, first=True)
    bench.until(lambda: bench.waiting() == 1)
    assert bench.rows() == [1]
    bench.put("c", 5, last=True)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [4, 5]


def test_a_long_poll(bench: Bench) -> None:
    """A poll of more pages than a transaction of appends takes lands whole, in order."""
    for n in range(100):
        bench.put("a", n, first=n == 0, last=n == 99)
    bench.worker.start()
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == list(range(100))
    assert bench.worker.progress.writes == 1


def test_a_life_that_ends_in_the_middle(bench: Bench) -> None:
    """A poll whose first pages came in an earlier life is whole when its last one comes."""
    bench.poll("a", 1)
    bench.put("b", 2, first=True)
    bench.worker.start()
    bench.until(lambda: bench.waiting() == 1)
    bench.end()
    bench.open()
    bench.worker.start()
    bench.until(lambda: bench.worker.backlog.queued == 0)
    assert bench.rows() == [1]
    bench.put("b", 3, last=True)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [2, 3]


def test_a_poll_that_is_half_delivered_already(bench: Bench) -> None:
    """What is left of a poll that was appended before is no whole poll: the next one is."""
    bench.put("a", 1, first=True)
    appender = bench.new_worker(replace=False)
    appender.start()
    bench.until(lambda: bench.waiting() == 0)
    appender.stop()
    assert appender.join(10)
    bench.put("a", 2, last=True)
    bench.worker.start()
    bench.until(lambda: bench.worker.backlog.queued == 0)
    assert bench.rows() == [1]
    bench.poll("b", 3)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [3]


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_damaged_page(bench: Bench, lost: int) -> None:
    """A poll that has lost a page is passed over; the one before it is written, then the next."""
    bench.poll("a", 1)
    for n in range(3):
        bench.put("b", f"page {n} " * 5, first=n == 0, last=n == 2)
    bench.end()
    (segment,) = (bench.folder / "spool" / "seg").iterdir()
    data, page = segment.read_bytes(), f"page {lost} ".encode()
    assert data.count(page) == 5
    segment.write_bytes(data.replace(page, page.upper(), 1))
    bench.open()
    bench.worker.start()
    bench.until(lambda: bool(bench.spool.damage) and bench.worker.backlog.queued == 0)
    assert bench.rows() == [1]
    bench.poll("c", 2, 3)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [2, 3]


def test_a_page_that_is_damaged_later(bench: Bench) -> None:
    """If a page breaks after it was seen, the poll is not written; the next one is."""
    bench.poll("a", "page " * 5)
    backlog = bench.worker.backlog
    assert isinstance(backlog, PollBacklog)
    assert len(backlog.read(GROUP, bulk=False)) == 1
    (segment,) = (bench.folder / "spool" / "seg").iterdir()
    segment.write_bytes(segment.read_bytes().replace(b"page ", b"PAGE ", 1))
    bench.worker.start()
    bench.until(lambda: "damaged" in bench.worker.progress.error)
    bench.poll("b", 2)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [2]


def test_what_the_sink_is_given(bench: Bench) -> None:
    """All batches up to the end of the last whole poll, those of older polls without rows."""
    bench.put("a", 1, first=True)
    bench.put("a", 2, last=True)
    bench.put("b", 3, first=True)
    bench.put("b", 4, last=True)
    bench.put("c", 5, first=True)
    backlog = bench.worker.backlog
    assert isinstance(backlog, PollBacklog)
    heads = backlog.read(GROUP, bulk=False)
    for _ in range(2):
        given = list(backlog.pages())
        assert [one.id for one in given] == [one.id for one in heads]
        assert [one.rows.to_pylist() for one in given] == [[], [], [{"v": 3}], [{"v": 4}]]


def test_refused_rows(bench: Bench) -> None:
    """Rows that the table cannot hold are dead letters; the others of their poll land."""
    bench.worker.start()
    bench.poll("a", 1)
    bench.until(lambda: bench.waiting() == 0)
    bench.put("b", 2, first=True)
    bench.put("b", "x", "y")
    bench.put("b", 3, last=True)
    bench.until(lambda: bench.waiting() == 0)
    assert bench.rows() == [2, 3]
    (letters,) = (bench.folder / "dead").glob("*.jsonl")
    assert letters.read_text().count("the column holds int") == 2
    assert bench.worker.progress.dead == 2
