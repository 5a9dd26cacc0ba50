"""The worker: what it does about each kind of error, and about its markers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api2db.core.backoff import Backoff
from api2db.core.batch import Batch, DeadRow, Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import (
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.core.ids import Timestamps
from api2db.files.dead_letter import DeadLetters
from api2db.files.shard import Origin
from api2db.sink.base import Landed, Sink
from api2db.spool.spool import Record, Spool
from api2db.stream.backlog import Backlog
from api2db.stream.progress import State
from api2db.stream.spill import Spill
from api2db.stream.watchdog import Watchdog
from api2db.stream.worker import Worker
from tests.fixtures.broken_disk import BrokenDisk


class Table(Sink):
    """
    A target in memory with transactions, markers, and a script of failures.

    Attributes:
        poison: Values that it refuses, without saying which.
        failures: Raised one by one, before the commit, by the next writes.
        lost_replies: Raised one by one, after the commit.
        kept: Number of markers after each commit.
    """

    name = "memory"

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.markers: set[str] = set()
        self.poison: set[int] = set()
        self.failures: list[Exception] = []
        self.lost_replies: list[Exception] = []
        self.opened = self.writes = 0
        self.kept: list[int] = []

    def open(self) -> None:
        self.opened += 1

    def write(
        self, batches: Sequence[Batch], *, forget: Collection[str] = (), commit: bool = True
    ) -> Landed:
        new = [b for b in batches if not commit or b.id not in self.markers]
        values = [value for b in new for value in b.rows.column("v").to_pylist()]
        if commit:
            self.writes += 1
            if self.failures:
                raise copy.copy(self.failures.pop(0))
        if self.poison & set(values):
            raise SinkRejected("v: a value out of range")
        if commit:
            self.rows += values
            self.markers |= {b.id for b in new}
            self.markers -= set(forget)
            self.kept.append(len(self.markers))
            if self.lost_replies:
                raise self.lost_replies.pop(0)
        return Landed(len(values))

    def landed(self) -> frozenset[str]:
        return frozenset(self.markers)

    def forget(self, ids: Collection[str]) -> None:
        self.markers -= set(ids)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


class Bench:
    """A spool, a table, and the worker between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        clock = SystemClock()
        self.spool = Spool.open(
            folder / "spool", streams=["t"], timestamps=Timestamps(clock), clock=clock
        )
        self.table = Table()
        self.watchdog = Watchdog()
        self.worker = self.new_worker()
        self._reached = threading.Event()

    def new_worker(self, attempts: int | None = None) -> Worker:
        self.spill = Spill(self.folder / "spilled", Origin(self.spool.id, "c", "t"))
        return Worker(
            "c/t",
            backlog=Backlog(self.spool, "t", self.spill),
            attempts=attempts,
            sink=self.table,
            dead_letters=DeadLetters(self.folder / "dead"),
            watchdog=self.watchdog,
            backoff=Backoff(initial=0.0, maximum=0.001),
        )

    def put(self, *values: int) -> None:
        rows = pa.record_batch({"v": pa.array(values, pa.int64())})
        self.spool.put(Record(rows=rows, state=b"{}"))

    def until(self, reached: Callable[[], bool]) -> None:
        for _ in range(2000):
            if reached():
                return
            self._reached.wait(0.005)
        raise AssertionError(f"not reached; the worker is {self.worker.progress}")

    def drained(self) -> None:
        self.until(lambda: self.spool.depth("t").batches == 0)

    def dead(self) -> list[str]:
        return [
            line
            for path in sorted((self.folder / "dead").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]

    def close(self) -> None:
        self.worker.stop()
        assert self.worker.join(10)
        self.watchdog.close()
        self.spool.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def test_rows_land_in_order_in_few_transactions(bench: Bench) -> None:
    """What waits goes into one transaction of up to 16 batches, in the order of the log."""
    for value in range(40):
        bench.put(value)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == list(range(40))
    assert bench.table.writes == 3


@pytest.mark.parametrize(
    "error",
    [
        SinkUnavailable("down"),
        SinkMisconfigured("wrong password"),
        SinkUnknown("the connection broke"),
        RuntimeError("nobody foresaw this"),
    ],
)
def test_a_failed_write_is_tried_again(bench: Bench, error: Exception) -> None:
    """Every kind of error but refused rows: connect anew, the same batches, the same ids."""
    bench.table.failures = [error, error, error]
    bench.put(1, 2)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [1, 2]
    assert bench.table.opened == 4
    bench.until(lambda: bench.worker.progress.error == "")  # said after the acknowledgement


def test_a_disk_that_cannot_be_read_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once, as an error; nothing spills; when the disk answers, the rows land."""
    disk = BrokenDisk(monkeypatch)
    bench.worker = bench.new_worker(attempts=2)
    bench.put(1)
    (segment,) = (bench.folder / "spool" / "seg").iterdir()
    disk.break_(segment, bench.spool.bytes // 2, 10**9)
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.attempt >= 5)
    assert bench.worker.progress.state is State.RETRYING
    assert "cannot read the log" in bench.worker.progress.error
    told = [r for r in caplog.records if r.message == "stream_retrying"]
    assert [r.levelname for r in told] == ["ERROR"]
    disk.mend()
    bench.drained()
    bench.until(lambda: bench.worker.progress.error == "")
    assert (bench.table.rows, bench.worker.progress.spilled) == ([1], 0)


def test_a_row_that_has_landed_is_not_dead(bench: Bench) -> None:
    """Though the target would not take it again, as where a key is unique."""
    bench.table.lost_replies = [SinkUnknown("broke")]
    bench.put(1)
    bench.worker._attempt()
    bench.put(2, 3)
    bench.table.poison = {1, 2}
    for _ in range(3):
        bench.worker._attempt()
    assert bench.table.rows == [1, 3]
    (line,) = bench.dead()
    assert '{\\"v\\": 2}' in line


def test_a_disk_that_fails_while_refused_rows_are_sought_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker does not die of it."""
    disk = BrokenDisk(monkeypatch)
    bench.put(1, 2, 3)
    (segment,) = (bench.folder / "spool" / "seg").iterdir()
    refuse = bench.table.write

    def write(batches: Sequence[Batch], **more: Any) -> Landed:
        bench.table.write = refuse  # type: ignore[method-assign]
        disk.break_(segment, bench.spool.bytes // 2, 10**9)
        return refuse(batches, **more)

    bench.table.poison = {2}
    bench.table.write = write  # type: ignore[method-assign]
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.attempt >= 2)
    disk.mend()
    bench.drained()
    assert bench.table.rows == [1, 3]
    assert len(bench.dead()) == 1


def test_a_lost_reply_doubles_nothing(bench: Bench) -> None:
    """A transaction that committed though its reply was lost is recognised by its markers."""
    bench.table.lost_replies = [SinkUnknown("cut off during COMMIT")] * 3
    for value in range(20):
        bench.put(value)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == list(range(20))


def test_refused_rows_are_buried_and_the_rest_lands(bench: Bench) -> None:
    """Of 100 rows, 98 land and 2 lie in the dead letters, found by bisection."""
    bench.table.poison = {17, 83}
    bench.put(*range(50))
    bench.put(*range(50, 100))
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [v for v in range(100) if v not in (17, 83)]
    assert [('"v": 17' in line or '\\"v\\": 17' in line) for line in bench.dead()] == [True, False]
    assert len(bench.dead()) == 2
    assert bench.worker.progress.dead == 2


def test_rows_that_the_target_names_are_buried_without_bisection(bench: Bench) -> None:
    """A target that names its bad rows is asked once more, not rehearsed."""
    bench.put(1, 2, 3)
    (batch,) = bench.spool.read("t")
    named = SinkRejected("null key", rows={batch.id: [DeadRow(1, "v: too small")]})
    bench.table.failures = [named]
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [1, 3]
    assert "too small" in bench.dead()[0]


def test_nothing_is_left_out_of_a_load_before_it_is_buried(bench: Bench) -> None:
    """While no dead letter can be written, its batch waits: the row is in one place at least."""
    (bench.folder / "dead").write_text("no folder")
    bench.table.poison = {2}
    bench.put(1, 2, 3)
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.attempt > 3)
    assert "no dead letters" in bench.worker.progress.error
    assert (bench.table.rows, bench.spool.depth("t").batches) == ([], 1)
    (bench.folder / "dead").unlink()
    bench.drained()
    assert bench.table.rows == [1, 3]
    assert len(bench.dead()) == 1


def test_a_batch_of_which_nothing_lands_is_acknowledged(bench: Bench) -> None:
    """A batch whose every row is refused does not block the ones behind it."""
    bench.table.poison = {1, 2}
    bench.put(1, 2)
    bench.put(3)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [3]
    assert len(bench.dead()) == 2


def test_markers_are_pruned_once_acknowledged(bench: Bench) -> None:
    """When nothing waits any more, no marker is left."""
    for value in range(40):
        bench.put(value)
    bench.worker.start()
    bench.until(lambda: len(bench.table.rows) == 40 and not bench.table.markers)


def test_markers_are_pruned_by_the_next_load(bench: Bench) -> None:
    """Under steady load only the markers of the last transaction are there."""
    for value in range(40):
        bench.put(value)
    bench.worker.start()
    bench.drained()
    assert bench.table.kept == [16, 16, 8]


def test_markers_of_an_unacknowledged_load_survive_a_restart(bench: Bench) -> None:
    """What landed in an earlier life and was not acknowledged is not written again."""
    for value in range(20):
        bench.put(value)
    batches = bench.spool.read("t", Limit(18))
    bench.table.write(batches)  # an earlier life, killed before the acknowledgement
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == list(range(20))
    bench.until(lambda: not bench.table.markers)


def test_stop_before_start_is_not_lost(bench: Bench) -> None:
    """A worker that is stopped before its thread runs writes nothing."""
    bench.put(1)
    bench.worker.stop()
    bench.worker.start()
    assert bench.worker.join(10)
    assert bench.table.rows == []
    assert bench.worker.progress.state is State.STOPPED


def test_a_paused_stream_says_why(bench: Bench) -> None:
    """A misconfigured target pauses the stream, visibly, until it is mended."""
    bench.table.failures = [SinkMisconfigured("wrong password")] * 10**4
    bench.put(1)
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.state is State.PAUSED)
    assert bench.worker.progress.error == "wrong password"
    bench.table.failures = []
    bench.drained()
    assert bench.table.rows == [1]


def test_a_dead_row_stays_dead_after_a_restart(bench: Bench) -> None:
    """Though the target would take it now: it is in the letters, from which it is sent again."""
    bench.put(1, 2, 3)
    bench.table.poison = {2}
    bench.table.failures = [SinkRejected("refused")]
    bench.table.lost_replies = []
    write = bench.table.write

    def down_after_the_letter(batches: Sequence[Batch], **more: Any) -> Landed:
        if bench.dead() and more.get("commit", True):
            raise SinkUnavailable("down")
        return write(batches, **more)

    bench.table.write = down_after_the_letter  # type: ignore[method-assign]
    bench.worker.start()
    bench.until(lambda: bool(bench.dead()) and bench.worker.progress.attempt > 1)
    bench.worker.stop()
    assert bench.worker.join(5)
    bench.table.write = write  # type: ignore[method-assign]
    bench.table.poison = set()
    bench.worker = bench.new_worker()
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [1, 3]
    assert len(bench.dead()) == 1
