"""Shards: the folder as a queue, and what the worker does with it."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch, Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import (
    SinkMisconfigured,
    SinkUnavailable,
    SinkUnknown,
    SpoolFailed,
    SpoolFull,
)
from api2db.core.ids import Timestamps
from api2db.files.shard import Origin
from api2db.spool.spool import Record, Spool
from api2db.stream import backlog as backlog_module
from api2db.stream import spill as spill_module
from api2db.stream.backlog import BULK
from api2db.stream.progress import State
from api2db.stream.spill import Spill
from api2db.stream.spillfolders import folders, owned
from tests.unit.stream.test_worker import Bench

ORIGIN = Origin("5" * 32, "c", "t")
DOWN = SinkUnavailable("down")


def batch(n: int, rows: int = 1) -> Batch:
    values = pa.array([n] * rows, pa.int64())
    return Batch(f"{n:032x}", n, 1000 + n, pa.record_batch({"v": values}))


def values(batches: list[Batch]) -> list[int]:
    return [b.rows.column("v")[0].as_py() for b in batches]


@pytest.fixture
def spill(tmp_path: Path) -> Spill:
    return Spill(tmp_path / "s", ORIGIN)


# -- the folder ------------------------------------------------------------------------


def test_shards_are_a_queue_in_a_folder(spill: Spill) -> None:
    """Named by the batch's timestamp, oldest first, the same again until removed; owner-only."""
    for n in range(5):
        spill.put(batch(n))
    assert sorted(p.name for p in spill.folder.iterdir()) == [
        f"{1000 + n}.parquet" for n in range(5)
    ]
    assert {p.stat().st_mode & 0o777 for p in spill.folder.iterdir()} == {0o600}
    assert spill.folder.stat().st_mode & 0o777 == 0o700
    first = spill.read(Limit(2, 100, 2**20))
    assert values(first) == values(spill.read(Limit(2, 100, 2**20))) == [0, 1]
    spill.remove(first)
    again = Spill(spill.folder, ORIGIN)
    assert values(again.read(BULK)) == [2, 3, 4]
    assert (again.batches, again.bytes, again.oldest_at) == (3, spill.bytes, 1002 / 1e9)


@pytest.mark.parametrize("limit", [Limit(3, 10**6, 2**20), Limit(9, 30, 2**20), Limit(9, 99, 250)])
def test_a_read_is_bounded(spill: Spill, limit: Limit) -> None:
    """By batches, by rows, and by bytes; one batch is read however large it is."""
    for n in range(5):
        spill.put(batch(n, 10))
    assert len(spill.read(limit)) == 3
    assert len(spill.read(Limit(1, 1, 1))) == 1


def test_reading_ahead_gives_the_same(spill: Spill) -> None:
    """What a thread reads in advance comes in the same order, each batch once."""
    for n in range(23):
        spill.put(batch(n))
    found = []
    while batches := spill.read(Limit(4, 100, 2**20), ahead=True):
        found += values(batches)
        spill.remove(batches)
    assert found == list(range(23))
    assert (spill.batches, spill.bytes) == (0, 0)


@pytest.mark.parametrize("ahead", [False, True])
def test_a_damaged_shard_is_set_aside(spill: Spill, ahead: bool) -> None:
    """It is renamed, counted, and blocks nothing; a shard that is gone blocks nothing either."""
    for n in range(6):
        spill.put(batch(n))
    (spill.folder / "1002.parquet").write_bytes(b"PAR1 no more")
    (spill.folder / "1003.parquet").unlink()
    found = []
    while batches := spill.read(Limit(2, 100, 2**20), ahead=ahead):
        found += values(batches)
        spill.remove(batches)
    assert found == [0, 1, 4, 5]
    assert spill.damaged == Spill(spill.folder, ORIGIN).damaged == 1
    assert (spill.folder / "1002.parquet.damaged").exists()


class BrokenReads:
    """Lets the disk not give the shards whose names are in `bad`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bad: set[str] = set()
        monkeypatch.setattr(spill_module, "open", self._open, raising=False)

    def _open(self, path: str, *args: Any, **more: Any) -> Any:
        if Path(path).name in self.bad:
            raise OSError(errno.EIO, "Input/output error")
        return open(path, *args, **more)  # noqa: PTH123


@pytest.mark.parametrize("ahead", [False, True])
def test_a_shard_that_the_disk_does_not_give_is_not_damaged(
    spill: Spill, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies before it is read; it stays where it is, and is read once the disk answers."""
    for n in range(5):
        spill.put(batch(n))
    disk = BrokenReads(monkeypatch)
    disk.bad = {"1003.parquet"}
    found = []
    for _ in range(2):
        found += values(batches := spill.read(Limit(2, 100, 2**20), ahead=ahead))
        spill.remove(batches)
    assert found == [0, 1, 2]
    for _ in range(2):
        with pytest.raises(SpoolFailed, match=r"1003\.parquet: Input/output error; check the disk"):
            spill.read(BULK, ahead=ahead)
    disk.bad.clear()
    assert (values(spill.read(BULK)), spill.damaged) == ([3, 4], 0)


def test_a_person_may_set_a_shard_aside(spill: Spill) -> None:
    """Its marker stays then, for it may be mended: it counts as damaged at once."""
    for n in range(2):
        spill.put(batch(n))
    shard = spill.folder / "1000.parquet"
    shard.rename(shard.with_name(shard.name + ".damaged"))
    assert (values(spill.read(BULK)), spill.damaged) == ([1], 1)


def test_unfinished_files_go_at_start(spill: Spill) -> None:
    """A crash before the rename leaves a file beside, which is no shard."""
    spill.put(batch(1))
    litter = spill.folder / ".1002.parquet.tmp"
    litter.write_bytes(b"half")
    assert Spill(spill.folder, ORIGIN).batches == 1
    assert not litter.exists()


# -- which folder ----------------------------------------------------------------------


def test_the_second_stream_of_a_type_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """The first has the plain name of the type."""
    found = folders(tmp_path, {"a": "local", "b": "sql.sqlite", "c": "local"})
    assert [folder.name for folder in found.values()] == ["local", "sql.sqlite", "local@c"]


def test_shards_follow_their_stream(tmp_path: Path) -> None:
    """Streams change places, one gets another type, one goes: each finds its own shards."""
    types = {"a": "local", "b": "local", "c": "sql.sqlite", "d": "local"}
    for n, (stream, folder) in enumerate(folders(tmp_path, types).items()):
        Spill(folder, Origin("5" * 32, "c", stream)).put(batch(n))
    later = folders(tmp_path, {"b": "local", "a": "local", "c": "sql.postgresql"})
    assert {s: f.name for s, f in later.items()} == {
        "b": "local",
        "a": "local@a",
        "c": "sql.postgresql",
    }
    found = {s: values(Spill(f, Origin("5" * 32, "c", s)).read(BULK)) for s, f in later.items()}
    assert found == {"a": [0], "b": [1], "c": [2]}
    assert owned(tmp_path) == {"a": 1, "b": 1, "c": 1, "d": 1}


# -- the worker ------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    bench.worker = bench.new_worker(attempts=3)
    yield bench
    bench.close()


def spilled(bench: Bench) -> list[str]:
    return sorted(p.name for p in (bench.folder / "spilled").glob("*.parquet"))


@pytest.mark.parametrize("error", [DOWN, SinkUnknown("cut"), RuntimeError("nobody foresaw this")])
def test_used_up_attempts_spill_and_all_lands_in_order(bench: Bench, error: Exception) -> None:
    """After three attempts all that waits, and what comes, is sharded; then it lands, once."""
    bench.table.failures = [error] * 10**6
    for value in range(20):
        bench.put(value)
    bench.worker.start()
    bench.until(lambda: len(spilled(bench)) == 20)
    for value in range(20, 25):
        bench.put(value)
    bench.until(lambda: len(spilled(bench)) == 25)
    assert bench.worker.progress.spilling
    bench.drained()
    bench.table.failures = []
    bench.until(lambda: bench.worker.backlog.batches == 0)
    bench.put(25)
    bench.drained()
    assert bench.table.rows == list(range(26))
    assert spilled(bench) == []
    bench.until(lambda: not bench.table.markers)


def test_no_more_attempts_than_configured(bench: Bench) -> None:
    """The third failure spills; the log is not tried again behind the shards."""
    bench.table.failures = [DOWN, DOWN]
    bench.put(1)
    bench.worker.start()
    bench.drained()
    assert bench.worker.progress.spilled == 0
    bench.table.failures = [DOWN] * 3
    bench.put(2)
    bench.until(lambda: bench.table.rows == [1, 2])
    assert bench.worker.progress.spilled == 1


def test_shards_are_recomposed_into_large_uploads(bench: Bench) -> None:
    """A first group as a probe; then many shards in one transaction."""
    bench.table.failures = [DOWN] * 10**6
    for value in range(200):
        bench.put(value)
    bench.worker.start()
    bench.until(lambda: len(spilled(bench)) == 200)
    before = bench.table.writes
    bench.table.failures = [DOWN]
    bench.until(lambda: len(bench.table.rows) == 200)
    assert bench.table.rows == list(range(200))
    assert bench.table.writes - before <= 6


def test_null_never_spills(bench: Bench) -> None:
    """`attempts: null` keeps what waits in the log."""
    bench.worker = bench.new_worker(attempts=None)
    bench.table.failures = [DOWN] * 30
    bench.put(1)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [1]
    assert not (bench.folder / "spilled").exists()


def test_a_paused_stream_spills_nothing(bench: Bench) -> None:
    """What a person must mend uses up no attempts: the log waits."""
    bench.table.failures = [SinkMisconfigured("wrong password")] * 30
    bench.put(1)
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [1]
    assert bench.worker.progress.spilled == 0


def test_a_lost_reply_before_the_spill_doubles_nothing(bench: Bench) -> None:
    """Rows that had landed when they were spilled are known by their markers."""
    bench.table.lost_replies = [SinkUnknown("cut off during COMMIT")] * 3
    for value in range(10):
        bench.put(value)
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.spilled > 0 and not bench.worker.backlog.batches)
    assert bench.table.rows == list(range(10))
    bench.until(lambda: not bench.table.markers)


def test_a_full_disk_at_the_spill_keeps_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shard, no acknowledgement; it says so, and goes on when there is room."""
    full = threading.Event()
    full.set()
    write = spill_module.atomic_write

    def atomic_write(path: Path) -> object:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path)

    monkeypatch.setattr(spill_module, "atomic_write", atomic_write)
    bench.table.failures = [DOWN] * 10**6
    for value in range(3):
        bench.put(value)
    bench.worker.start()
    bench.until(lambda: "No space left" in bench.worker.progress.spill_error)
    assert bench.spool.depth("t").batches == 3
    full.clear()
    bench.until(lambda: len(spilled(bench)) == 3)
    bench.until(lambda: bench.worker.progress.spill_error == "")
    bench.table.failures = []
    bench.until(lambda: bench.table.rows == [0, 1, 2])


def test_a_crash_between_shard_and_acknowledgement(bench: Bench) -> None:
    """The next start finishes the spill: the batch is not queued twice."""
    for value in range(4):
        bench.put(value)
    for waiting in bench.spool.read("t", Limit(2)):
        bench.spill.put(waiting)
    bench.worker = bench.new_worker(attempts=3)
    assert bench.worker.backlog.spilled.batches == 2
    assert bench.spool.depth("t").batches == 2
    bench.worker.start()
    bench.drained()
    assert bench.table.rows == [0, 1, 2, 3]


def test_a_crash_between_landing_and_removal(bench: Bench) -> None:
    """Shards whose markers are there are removed, and not written again; markers go last."""
    for value in range(40):
        bench.put(value)
    bench.worker.backlog.spill(threading.Event())
    bench.table.write(bench.spill.read(Limit(20, 100, 2**20)))  # an earlier life
    bench.worker.start()
    bench.until(lambda: not bench.worker.backlog.batches)
    assert bench.table.rows == list(range(40))
    bench.until(lambda: not bench.table.markers)


def test_shards_of_another_log_are_delivered(tmp_path: Path) -> None:
    """Where the log was removed, its numbers mean nothing; the shards still land first."""
    bench = Bench(tmp_path)
    try:
        Spill(tmp_path / "spilled", Origin("0" * 32, "c", "t")).put(batch(3))
        bench.put(7)
        bench.worker = bench.new_worker(attempts=3)
        assert bench.spool.depth("t").batches == 1
        bench.worker.start()
        bench.drained()
        assert bench.table.rows == [3, 7]
    finally:
        bench.close()


def test_refused_rows_of_a_shard_are_buried(bench: Bench) -> None:
    """A bad row in a recomposed upload: the rest lands."""
    bench.table.poison = {17}
    for value in range(40):
        bench.put(value, value + 100)
    bench.worker.backlog.spill(threading.Event())
    bench.worker.start()
    bench.until(lambda: not bench.worker.backlog.batches)
    assert len(bench.table.rows) == 79
    assert len(bench.dead()) == 1


def test_shards_count_against_the_quota(tmp_path: Path) -> None:
    """What is beside the log takes room from it."""
    clock, beside = SystemClock(), [0]
    spool = Spool.open(
        tmp_path,
        streams=["t"],
        timestamps=Timestamps(clock),
        clock=clock,
        quota=2**20,
        beside=lambda: beside[0],
    )
    record = Record(rows=batch(1).rows, state=b"{}")
    spool.put(record)
    beside[0] = 2**20
    with pytest.raises(SpoolFull):
        spool.put(record)
    beside[0] = 0
    spool.put(record)
    spool.close()


def test_idle_state_after_recovery(bench: Bench) -> None:
    """A stream that has caught up is as healthy as before."""
    bench.table.failures = [DOWN] * 5
    bench.put(1)
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.state is State.IDLE)
    assert not bench.worker.progress.error
    assert not bench.worker.progress.spilling


@pytest.mark.parametrize("restarted", [False, True])
def test_a_spill_that_is_not_acknowledged_lands_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarted: bool
) -> None:
    """While the log holds what shards hold, no shard lands: its marker would go too early."""
    bench = Bench(tmp_path)
    acknowledge, fails = bench.spool.ack, True

    def ack(stream: str, seq: int) -> None:
        if fails:
            raise SpoolFailed("cannot acknowledge")
        acknowledge(stream, seq)

    monkeypatch.setattr(bench.spool, "ack", ack)
    monkeypatch.setattr(backlog_module, "BULK", Limit(1, 10, 2**20))
    for n in range(6):
        bench.put(n)
    bench.table.failures = [DOWN] * 2
    bench.worker = bench.new_worker(attempts=2)
    bench.worker.start()
    bench.until(lambda: bool(bench.worker.progress.spill_error))
    if restarted:
        bench.worker.stop()
        assert bench.worker.join(5)
        bench.worker = bench.new_worker(attempts=2)
        bench.worker.start()
    bench.until(lambda: "acknowledge" in bench.worker.progress.error)
    assert bench.spill.batches == 6
    assert not bench.table.rows
    fails = False
    bench.until(lambda: not bench.worker.backlog.batches)
    bench.worker.stop()
    assert bench.worker.join(5)
    assert bench.table.rows == list(range(6))
    bench.spool.close()
    bench.watchdog.close()


def test_shards_of_others_acknowledge_nothing(bench: Bench) -> None:
    """Another program's, dead rows that are sent again: the log has none of them."""
    bench.put(1)
    bench.put(2)
    at = bench.spool.read("t")[-1].timestamp_ns
    rows = pa.record_batch({"v": pa.array([3])})
    Spill(bench.spill.folder, Origin("9" * 32, "d", "t")).put(Batch("3" * 32, 9, at + 1, rows))
    Spill(bench.spill.folder, bench.spill.origin).put(Batch("4" * 32, 0, at + 2, rows))
    assert bench.new_worker().backlog.queued == 2


def test_an_older_copy_of_the_log_loses_no_new_batch(bench: Bench) -> None:
    """It gives the places of what lies in shards to other batches: these wait behind them."""
    bench.put(1)
    [old] = bench.spool.read("t")
    bench.put(2)
    rows = pa.record_batch({"v": pa.array([3])})
    newest = Batch("3" * 32, old.seq + 8, old.timestamp_ns, rows)
    Spill(bench.spill.folder, bench.spill.origin).put(newest)
    assert bench.new_worker().backlog.queued == 1


def test_a_mended_shard_in_front_takes_no_marker_away(bench: Bench) -> None:
    """What landed and was not yet removed lies behind it, in more than one group, and is known."""
    for n in range(40):
        bench.spill.put(batch(n))
    bench.table.rows = list(range(1, 40))
    bench.table.markers = {batch(n).id for n in range(1, 40)}
    bench.worker = bench.new_worker()
    bench.worker.start()
    bench.until(lambda: not bench.worker.backlog.batches)
    assert bench.table.rows == [*range(1, 40), 0]
    bench.until(lambda: not bench.table.markers)


def test_what_a_failed_removal_has_left_is_no_loss(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Shards that went before the disk failed are counted out, and not reported as missing."""
    for n in range(6):
        bench.spill.put(batch(n))
    first = bench.spill.read(Limit(4))

    def take(folder: Path, names: Iterator[str]) -> None:
        (folder / next(names)).unlink()
        (folder / next(names)).unlink()
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(bench.spill._trash, "take", take)
    with pytest.raises(OSError, match="broken"):
        bench.spill.remove(first)
    monkeypatch.undo()
    assert values(bench.spill.read(BULK)) == [2, 3, 4, 5]
    assert bench.spill.bytes == Spill(bench.spill.folder, ORIGIN).bytes
    assert "shard_missing" not in caplog.text


def test_a_worker_waits_for_a_shard_that_the_disk_does_not_give(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, uses up no attempts, and goes on, in order, when the disk answers."""
    disk = BrokenReads(monkeypatch)
    bench.worker = bench.new_worker(attempts=2)
    bench.table.failures = [DOWN] * 2
    bench.put(1)
    bench.worker._attempt()
    bench.worker._attempt()
    bench.put(2)
    disk.bad = set(spilled(bench))
    bench.worker.start()
    bench.until(lambda: bench.worker.progress.attempt >= 5)
    assert (bench.worker.progress.state, bench.table.rows) == (State.RETRYING, [])
    assert "Input/output error" in bench.worker.progress.error
    disk.bad = set()
    bench.until(lambda: bench.table.rows == [1, 2])
    assert (bench.spill.damaged, bench.worker.progress.spilled) == (0, 1)
    assert "ERROR" in [r.levelname for r in caplog.records if r.message == "stream_retrying"]


def test_the_name_of_a_damaged_shard_is_taken(tmp_path: Path) -> None:
    """A person may mend it: no batch to come may get its time, and so its name."""
    spill = Spill(tmp_path / "s", ORIGIN)
    spill.put(batch(7))
    (spill.folder / "1007.parquet").rename(spill.folder / "1007.parquet.damaged")
    again = Spill(spill.folder, ORIGIN)
    assert (again.batches, again.damaged, again.newest_ns) == (0, 1, 1007)
    again.put(batch(9))
    assert again.newest_ns == 1009


def test_a_damaged_shard_keeps_its_marker(bench: Bench) -> None:
    """It may have landed before it was damaged: mended by a person, it must not land again."""
    bench.put(1)
    bench.table.failures = [DOWN]
    bench.worker = bench.new_worker(attempts=1)
    bench.worker._attempt()
    bench.table.failures, bench.table.lost_replies = [], [SinkUnknown("broke")]
    bench.worker._attempt()
    assert (bench.table.rows, len(spilled(bench)), len(bench.table.markers)) == ([1], 1, 1)
    (shard,) = bench.spill.folder.glob("*.parquet")
    shard.rename(shard.with_name(shard.name + ".damaged"))
    for mended in (False, True):
        bench.worker = bench.new_worker(attempts=1)
        bench.put(2 + mended)
        bench.worker._attempt()
        bench.worker._idle()
        if not mended:
            shard.with_name(shard.name + ".damaged").rename(shard)
    bench.worker._attempt()
    assert sorted(bench.table.rows) == [1, 2, 3]
