"""The queue: what is put is read by every stream, in order, until it is acknowledged."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import SpoolFailed, SpoolFull
from api2db.core.ids import Timestamps
from api2db.files.fs import Fs
from api2db.spool.spool import Record
from tests.fixtures.fake_clock import FakeClock
from tests.unit.spool.conftest import record, rows, values_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from api2db.spool.spool import Spool

    Open = Callable[..., Spool]


def drain(spool: Spool, stream: str = "a") -> list[list[int]]:
    """Read and acknowledge all that waits."""
    found = []
    while batches := spool.read(stream):
        found += [batch.rows.column("v").to_pylist() for batch in batches]
        spool.ack(stream, batches[-1].seq)
    return found


def fill(spool: Spool) -> None:
    """Put until there is no room; the state is the number of the record."""
    for i in range(10**6):
        spool.put(record(i, state=b"%d" % i))


def segments(tmp_path: Path) -> list[str]:
    """Return the names of the segments on disk."""
    return sorted(path.name for path in (tmp_path / "orders" / "seg").iterdir())


def test_a_batch_is_read_until_it_is_acknowledged(open_spool: Open) -> None:
    """`read` peeks: the same answer, with id and timestamp of the receipt, until `ack`."""
    spool = open_spool()
    receipt = spool.put(record(1, 2, poll="p", last=True))
    for _ in range(2):
        (batch,) = spool.read("a")
        assert (batch.id, batch.seq) == (receipt.batch_id, receipt.seq)
        assert batch.timestamp_ns == receipt.timestamp_ns
        assert (batch.poll, batch.last) == ("p", True)
        assert batch.rows.equals(rows(1, 2))
    spool.ack("a", receipt.seq)
    assert spool.read("a") == []


def test_every_stream_has_its_own_cursor(open_spool: Open) -> None:
    """What one stream acknowledges still waits for the other, also after a restart."""
    spool = open_spool(("a", "b"))
    for i in range(5):
        spool.put(record(i))
    assert drain(spool, "a") == [[0], [1], [2], [3], [4]]
    spool.ack("b", spool.read("b", Limit(2))[-1].seq)
    spool.close()
    spool = open_spool(("a", "b"))
    assert spool.read("a") == []
    assert values_of(spool, "b") == [[2], [3], [4]]


def test_limits_bound_a_read_but_one_batch_always_comes(open_spool: Open) -> None:
    """Batches, rows and bytes are upper limits; a batch beyond them comes alone."""
    spool = open_spool()
    for size in (10, 3, 3, 3):
        spool.put(record(*range(size)))
    assert [len(v) for v in values_of(spool, "a", rows=5)] == [10]
    assert [len(v) for v in values_of(spool, "a", rows=16)] == [10, 3, 3]
    assert [len(v) for v in values_of(spool, "a", batches=2)] == [10, 3]
    assert [len(v) for v in values_of(spool, "a", bytes=1)] == [10]


def test_a_record_without_rows_only_moves_the_state(open_spool: Open) -> None:
    """State records are delivered to nobody and survive a restart."""
    spool = open_spool()
    assert spool.state == b""
    spool.put(record(state=b"one"))
    assert spool.state == b"one"
    assert (spool.read("a"), spool.depth("a").batches) == ([], 0)
    spool.close()
    assert open_spool().state == b"one"


def test_states_alone_do_not_fill_the_disk(open_spool: Open, tmp_path: Path) -> None:
    """Segments that hold nothing for anybody go, though nobody acknowledges anything."""
    spool = open_spool(segment_bytes=1000)
    for i in range(200):
        spool.put(record(state=b"%d" % i))
    assert len(segments(tmp_path)) <= 2
    spool.close()
    assert open_spool().state == b"199"


def test_segments_go_when_the_slowest_stream_has_them(open_spool: Open, tmp_path: Path) -> None:
    """The slowest cursor decides; at last one segment is left."""
    spool = open_spool(("a", "b"), segment_bytes=2000)
    for i in range(50):
        spool.put(record(i))
    before = len(segments(tmp_path))
    drain(spool, "a")
    assert len(segments(tmp_path)) == before > 5
    assert len(drain(spool, "b")) == 50
    assert len(segments(tmp_path)) == 1


def test_depth_counts_what_waits(open_spool: Open) -> None:
    """Batches, rows, bytes on disk and the age of the oldest follow the cursor."""
    spool = open_spool(("a", "b"))
    before = SystemClock().now()
    for i in range(3):
        spool.put(record(*range(i + 1)))
    depth = spool.depth("a")
    assert (depth.batches, depth.rows) == (3, 6)
    assert 0 < depth.bytes <= spool.bytes
    assert depth.oldest_at is not None
    assert before - 1e-3 <= depth.oldest_at <= SystemClock().now()
    spool.ack("a", spool.read("a", Limit(2))[-1].seq)
    later = spool.depth("a")
    assert (later.batches, later.rows) == (1, 3)
    assert later.oldest_at is not None
    assert later.oldest_at >= depth.oldest_at
    assert spool.depth("b") == depth


def test_an_open_poll_keeps_its_own_records(open_spool: Open, tmp_path: Path) -> None:
    """While the newest record holds, `poll` gives back what all streams have; then it goes."""
    spool = open_spool(segment_bytes=1000)
    spool.put(record(0, poll="old"))
    first = spool.next_seq
    for i in range(1, 9):
        spool.put(record(i, poll="new", hold=first))
        drain(spool)
    assert [b.rows.column("v").to_pylist() for b in spool.poll("new", first)] == [
        [i] for i in range(1, 9)
    ]
    spool.close()
    spool = open_spool(segment_bytes=1000)
    assert len(list(spool.poll("new", first))) == 8
    spool.put(record(9, poll="new", last=True))
    drain(spool)
    spool.put(record())
    assert len(segments(tmp_path)) <= 2


# -- room ----------------------------------------------------------------------------------


def test_beyond_the_quota_nothing_is_taken_until_streams_catch_up(open_spool: Open) -> None:
    """SpoolFull leaves state and backlog alone; after acknowledgements there is room again."""
    spool = open_spool(quota=20_000)
    with pytest.raises(SpoolFull, match="quota"):
        fill(spool)
    count = spool.depth("a").batches
    assert count > 20
    assert spool.bytes <= 20_000
    assert spool.state == b"%d" % (count - 1)
    assert len(drain(spool)) == count
    spool.put(record(1))
    assert spool.bytes < 5_000


def test_an_acknowledged_segment_is_given_up_for_room(open_spool: Open, tmp_path: Path) -> None:
    """The segment that takes the appends goes, too, if the quota needs its room."""
    spool = open_spool(quota=4096)
    for i in range(100):
        spool.put(record(i))
        drain(spool)
    assert len(segments(tmp_path)) == 1


# -- streams that come and go -----------------------------------------------------------


def test_a_new_stream_inherits_the_backlog_of_a_renamed_one(open_spool: Open) -> None:
    """It begins at the lowest cursor; the old one is listed while something waits for it."""
    spool = open_spool(("old", "b"))
    for i in range(4):
        spool.put(record(i))
    spool.ack("old", spool.read("old", Limit(1))[0].seq)
    drain(spool, "b")
    spool.close()
    spool = open_spool(("new", "b"))
    assert values_of(spool, "new") == [[1], [2], [3]]
    assert spool.depth("old").batches == 3


def test_a_removed_stream_for_which_nothing_waits_is_forgotten(
    open_spool: Open, tmp_path: Path
) -> None:
    """Its cursor is laid aside at the next start, so that it holds nothing."""
    spool = open_spool(("a", "b/../ü.x"))
    spool.put(record(1))
    drain(spool, "a")
    drain(spool, "b/../ü.x")
    spool.close()
    assert len(list((tmp_path / "orders" / "cur").iterdir())) == 2
    spool = open_spool(("a",))
    cursors = tmp_path / "orders" / "cur"
    assert [path.name for path in cursors.glob("*.cur")] == ["a.cur"]
    assert len(list(cursors.glob("*.gone"))) == 1


@pytest.mark.parametrize("away", [1, 2])
def test_a_stream_that_comes_back_goes_on_where_it_was(open_spool: Open, away: int) -> None:
    """However far another one lags, and however often it was started meanwhile: nothing again."""
    spool = open_spool(("slow", "b"))
    for value in (1, 2, 3):
        spool.put(record(value))
    drain(spool, "b")
    spool.close()
    for value in range(away):
        spool = open_spool(("slow",))
        spool.put(record(4 + value))
        spool.close()
    spool = open_spool(("slow", "b"))
    assert values_of(spool, "b") == [[4 + value] for value in range(away)]
    assert len(values_of(spool, "slow")) == 3 + away


def test_a_stream_that_comes_back_behind_the_log(open_spool: Open) -> None:
    """What all others have had is gone: it begins with what is still there."""
    spool = open_spool(("a", "b"))
    spool.put(record(1))
    drain(spool, "a")
    drain(spool, "b")
    spool.close()
    spool = open_spool(("a",))
    spool.put(record(2))
    drain(spool, "a")
    spool.put(record(3))
    spool.close()
    spool = open_spool(("a", "b"))
    assert values_of(spool, "b") == [[3]]
    assert not spool.damage


# -- waiting ---------------------------------------------------------------------------------


def test_wait_returns_at_a_put_and_at_wake(open_spool: Open) -> None:
    """A waiter learns of a batch at once, and of a stop without one."""
    spool, stop = open_spool(), threading.Event()
    found: list[bool] = []
    waiter = threading.Thread(target=lambda: found.append(spool.wait("a", stop, 60.0)))
    waiter.start()
    spool.put(record(1))
    waiter.join(10)
    assert found == [True]
    drain(spool)
    waiter = threading.Thread(target=lambda: found.append(spool.wait("a", stop, 60.0)))
    waiter.start()
    stop.set()
    spool.wake()
    waiter.join(10)
    assert found == [True, False]
    assert spool.wait("a", threading.Event(), 0.0) is False


# -- threads ---------------------------------------------------------------------------------


class CountingFs(Fs):
    """The real disk; counts its syncs of data."""

    syncs = 0

    def fdatasync(self, fd: int) -> None:
        """Sync and count."""
        CountingFs.syncs += 1
        super().fdatasync(fd)


def test_threads_share_a_sync_and_lose_nothing(open_spool: Open) -> None:
    """16 threads x 25 puts need fewer syncs than puts; all arrive, timestamps increase."""
    spool = open_spool(fs=CountingFs())
    CountingFs.syncs = 0
    begin = threading.Barrier(16)
    receipts = []

    def put(thread: int) -> None:
        begin.wait()
        for value in range(thread * 100, thread * 100 + 25):
            receipt = spool.put(record(value))
            receipts.append((receipt, value))

    threads = [threading.Thread(target=put, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    syncs = CountingFs.syncs
    batches = spool.read("a", Limit(1000))
    assert {(b.id, b.rows.column("v")[0].as_py()) for b in batches} == {
        (receipt.batch_id, value) for receipt, value in receipts
    }
    assert len(batches) == 400
    stamps = [b.timestamp_ns for b in batches]
    assert stamps == sorted(set(stamps))
    assert syncs < 400


def test_timestamps_go_on_after_a_restart_with_the_clock_set_back(open_spool: Open) -> None:
    """The newest timestamp of the log, also of a state record, is the least for the next."""

    class Past(SystemClock):
        def now(self) -> float:
            return 1e9

    spool = open_spool()
    spool.put(record(1))
    newest = spool.put(record()).timestamp_ns
    spool.close()
    spool = open_spool(clock=Past(), timestamps=Timestamps(Past()))
    assert spool.put(record(2)).timestamp_ns > newest


# -- what a start finds ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["queue.json", "segment"])
def test_a_newer_format_is_refused_and_left_alone(
    open_spool: Open, tmp_path: Path, name: str
) -> None:
    """SpoolFailed says what to do, and no file has changed."""
    from api2db.spool import segment as seg

    spool = open_spool()
    spool.put(record(1))
    spool.close()
    folder = tmp_path / "orders"
    if name == "queue.json":
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "format": 2}))
    else:
        (path,) = (folder / "seg").iterdir()
        data = path.read_bytes()
        header = seg.parse_header(data)
        assert header is not None
        newer = header._replace(format=2, min_reader=2).pack()
        path.write_bytes(newer + data[len(newer) :])
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(SpoolFailed, match="newer"):
        open_spool()
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_the_id_stays_and_survives_its_file(open_spool: Open, tmp_path: Path) -> None:
    """The segments know the id if queue.json is damaged; that is reported."""
    spool = open_spool()
    spool.put(record(1))
    spool.close()
    (tmp_path / "orders" / "queue.json").write_text("{")
    again = open_spool()
    assert again.id == spool.id
    assert [damage.kind for damage in again.damage] == ["queue"]
    assert values_of(again, "a") == [[1]]


def test_files_are_for_the_owner_only(open_spool: Open, tmp_path: Path) -> None:
    """Folders are 0700, files 0600."""
    open_spool().put(record(1))
    for path in [tmp_path / "orders", *(tmp_path / "orders").rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


def test_a_closed_spool_takes_nothing(open_spool: Open) -> None:
    """`put` after `close` raises; `close` may be called again."""
    spool = open_spool()
    spool.close()
    spool.close()
    with pytest.raises(SpoolFailed, match="closed"):
        spool.put(record(1))


def test_pages_of_a_poll_under_way_are_gathered(open_spool: Open) -> None:
    """`gather` waits for more pages up to a number, never after the last page of a poll."""
    clock = FakeClock()
    spool = open_spool(clock=clock)
    stop = threading.Event()
    spool.put(record(1, poll="p", hold=1))
    spool.gather("a", stop, batches=2, timeout=0.25)
    assert clock.waits == [0.25]
    spool.put(record(2, poll="p", hold=1))
    spool.gather("a", stop, batches=2, timeout=0.25)
    spool.put(record(3, poll="p", last=True))
    spool.gather("a", stop, batches=99, timeout=0.25)
    assert clock.waits == [0.25]


def test_rows_are_compressed_when_the_log_grows(open_spool: Open) -> None:
    """Rows are plain until the log holds an eighth of its quota, and zstd from then on."""
    spool = open_spool(quota=4 * 2**20, segment_bytes=2**20)
    many, sizes = rows(*range(20_000)), []
    for _ in range(8):
        before = spool.bytes
        spool.put(Record(many, b""))
        sizes.append(spool.bytes - before)
    assert sizes[0] > 160_000 > 2 * sizes[-1]
    assert [batch.rows.equals(many) for batch in spool.read("a")][:8] == [True] * 5
