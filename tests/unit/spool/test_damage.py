"""Damage costs the damaged records, is kept and counted, and never stops a start."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import SpoolFull
from api2db.core.ids import Timestamps
from api2db.spool.spool import Spool
from tests.model.crash_fs import CrashFs
from tests.unit.spool.conftest import record, values_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., Spool]


def newest_segment(tmp_path: Path) -> Path:
    """Return the path of the segment that takes the appends."""
    return max((tmp_path / "orders" / "seg").glob("*.seg"))


def test_a_damaged_record_costs_itself_only(open_spool: Open, tmp_path: Path) -> None:
    """One flipped byte: one batch is missing, counted, its bytes kept, the others delivered."""
    spool = open_spool()
    for i in range(5):
        spool.put(record(i, i))
    at = spool.bytes // 2
    spool.close()
    path = newest_segment(tmp_path)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    spool = open_spool()
    left = values_of(spool, "a")
    assert len(left) == 4
    (damage,) = spool.damage
    assert (damage.kind, damage.batches, damage.rows) == ("record", 1, 2)
    kept = tmp_path / "orders" / "quarantine" / damage.saved
    assert kept.read_bytes() == data[damage.offset : damage.offset + damage.length]
    report = json.loads((tmp_path / "orders" / "quarantine" / "report.json").read_text())
    assert report[-1]["batches"] == 1
    spool.put(record(9))
    batches = spool.read("a")
    assert [b.rows.column("v")[0].as_py() for b in batches] == [*(v[0] for v in left), 9]
    spool.ack("a", batches[-1].seq)
    assert spool.depth("a").batches == 0


def test_damage_while_the_spool_is_open_is_met_on_the_way(open_spool: Open, tmp_path: Path) -> None:
    """A record that rots before it is read is left out and reported; two streams, one report."""
    spool = open_spool(("a", "b"))
    ends = []
    for i in range(3):
        spool.put(record(i))
        ends.append(spool.bytes)
    with newest_segment(tmp_path).open("r+b") as file:
        file.seek(ends[0] + 5)
        file.write(b"\xff" * 200)
    for stream in ("a", "b"):
        batches = spool.read(stream)
        assert [b.rows.column("v").to_pylist() for b in batches] == [[0], [2]]
        spool.ack(stream, batches[-1].seq)
        assert spool.depth(stream).batches == 0
    (damage,) = spool.damage
    assert (damage.offset, damage.batches, damage.rows) == (ends[0], 1, 1)


def test_a_segment_cut_anywhere_opens(open_spool: Open, tmp_path: Path) -> None:
    """Whatever is cut off, a start gives the records before the cut and takes new ones."""
    spool = open_spool()
    ends = []
    for i in range(3):
        spool.put(record(i))
        ends.append(spool.bytes)
    # A crash, not a close: nothing says where the log ended.
    source, target = tmp_path / "orders", tmp_path / "copy"
    shutil.copytree(source, target)
    name = newest_segment(tmp_path).name
    data = (source / "seg" / name).read_bytes()
    clock = SystemClock()
    for cut in [*range(ends[0] - 40, ends[1] + 130, 7), *ends]:
        (target / "seg" / name).write_bytes(data[:cut])
        found = Spool.open(target, streams=("a",), timestamps=Timestamps(clock), clock=clock)
        whole = sum(end <= cut for end in ends)
        assert values_of(found, "a") == [[i] for i in range(whole)]
        assert not found.damage, "nobody knows that these records were accepted"
        found.put(record(9))
        assert values_of(found, "a") == [*([i] for i in range(whole)), [9]]
        found._writer.close()  # as a kill: the cursors do not learn of the end
        shutil.rmtree(target / "cur")


def test_a_lost_end_is_reported_after_a_clean_stop(open_spool: Open, tmp_path: Path) -> None:
    """`close` notes where the log ends, so that newest records cannot vanish in silence."""
    spool = open_spool()
    spool.put(record(1))
    size = spool.bytes
    spool.put(record(2))
    spool.close()
    os.truncate(newest_segment(tmp_path), size)
    spool = open_spool()
    assert [damage.kind for damage in spool.damage] == ["tail"]
    assert values_of(spool, "a") == [[1]]


def test_a_seq_that_is_lost_is_never_given_again(open_spool: Open, tmp_path: Path) -> None:
    """What a cursor knew of a lost end outlives later acknowledgements, and that cursor."""
    spool = open_spool(("a", "b"))
    spool.put(record(1))
    size = spool.bytes
    lost = spool.put(record(2)).seq
    spool.ack("b", lost)  # only b has seen the newest record
    spool._writer.close()
    os.truncate(newest_segment(tmp_path), size)
    for _ in range(2):  # b is configured no more; kills, so that no cursor learns from `close`
        spool = open_spool(("a",))
        for batch in spool.read("a"):
            spool.ack("a", batch.seq)
        spool._writer.close()
    spool = open_spool(("a",))
    assert spool.put(record(3)).seq > lost
    assert values_of(spool, "a") == [[3]]


def test_a_torn_write_behind_a_lost_end_is_no_damage(open_spool: Open, tmp_path: Path) -> None:
    """The cursor that proves the lost records proves nothing about what comes after them."""
    spool = open_spool()
    spool.put(record(1))
    size = spool.bytes
    spool.put(record(2))
    spool.close()
    os.truncate(newest_segment(tmp_path), size)
    spool = open_spool()
    spool.put(record(3))
    spool._writer.close()
    os.truncate(newest_segment(tmp_path), newest_segment(tmp_path).stat().st_size - 1)
    spool = open_spool()
    assert spool.damage == []
    assert values_of(spool, "a") == [[1]]


def test_a_cut_off_or_missing_segment_is_reported(open_spool: Open, tmp_path: Path) -> None:
    """The records of the other segments arrive, and the missing ones are counted."""
    spool = open_spool(segment_bytes=1500)
    for i in range(12):
        spool.put(record(i))
    spool.close()
    first, second, *_ = sorted((tmp_path / "orders" / "seg").iterdir())
    os.truncate(first, first.stat().st_size - 10)
    second.unlink()
    spool = open_spool()
    left = values_of(spool, "a")
    missing = sum(damage.batches for damage in spool.damage)
    assert missing >= 2
    assert len(left) + missing == 12
    spool.ack("a", spool.read("a")[-1].seq)
    assert spool.depth("a").batches == 0


def test_a_segment_of_another_queue_is_set_aside(open_spool: Open, tmp_path: Path) -> None:
    """A copied segment is moved to quarantine; nothing in it is delivered."""
    clock = SystemClock()
    other = Spool.open(
        tmp_path / "other", streams=("a",), timestamps=Timestamps(clock), clock=clock
    )
    other.put(record(666))
    other.close()
    spool = open_spool()
    spool.put(record(1))
    spool.close()
    (path,) = (tmp_path / "other" / "seg").iterdir()
    shutil.copy(path, tmp_path / "orders" / "seg" / f"{99:020d}.seg")
    spool = open_spool()
    assert values_of(spool, "a") == [[1]]
    assert [damage.kind for damage in spool.damage] == ["segment"]
    assert (tmp_path / "orders" / "quarantine" / f"{99:020d}.seg").exists()


@pytest.mark.parametrize("content", [b"", b"garbage" * 2000])
def test_a_damaged_cursor_begins_at_the_oldest_record(
    open_spool: Open, tmp_path: Path, content: bytes
) -> None:
    """Nothing is skipped: targets know what they have. It is reported once."""
    spool = open_spool()
    for i in range(3):
        spool.put(record(i))
    spool.ack("a", spool.read("a", Limit(1))[0].seq)
    spool.close()
    (tmp_path / "orders" / "cur" / "a.cur").write_bytes(content)
    spool = open_spool()
    assert values_of(spool, "a") == [[0], [1], [2]]
    assert [damage.kind for damage in spool.damage] == ["cursor"]
    spool.close()
    assert open_spool().damage == []


def test_a_cursor_ahead_of_the_log_goes_on_safely(open_spool: Open, tmp_path: Path) -> None:
    """An older copy of the log is reported, and new records still reach the stream."""
    spool = open_spool()
    spool.put(record(1))
    spool._writer.close()
    shutil.copytree(tmp_path / "orders" / "seg", tmp_path / "older")
    spool = open_spool()
    for i in range(2, 5):
        spool.put(record(i))
    spool.ack("a", spool.read("a")[-1].seq)
    spool.close()
    shutil.rmtree(tmp_path / "orders" / "seg")
    shutil.copytree(tmp_path / "older", tmp_path / "orders" / "seg")
    spool = open_spool()
    assert {damage.kind for damage in spool.damage} == {"tail", "cursor"}
    assert (spool.read("a"), spool.depth("a").batches) == ([], 0)
    spool.put(record(9))
    assert values_of(spool, "a") == [[9]]
    spool.close()
    assert values_of(open_spool(), "a") == [[9]]


_FILL = """
import resource, signal, sys
from pathlib import Path
from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import SpoolFull
from api2db.core.ids import Timestamps
from api2db.spool.spool import Spool
from tests.unit.spool.conftest import record

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
clock = SystemClock()
spool = Spool.open(Path(sys.argv[1]), streams=("a",), timestamps=Timestamps(clock), clock=clock)
count = 0
try:
    while True:
        spool.put(record(*range(50)))
        count += 1
except SpoolFull:
    pass
batches = spool.read("a", Limit(1000))
assert len(batches) == count > 5, (len(batches), count)
assert not batches[-1].rows.num_rows % 50
spool.ack("a", batches[-1].seq)
spool.put(record(1))
print(count)
"""


def test_a_real_short_write_is_undone(tmp_path: Path) -> None:
    """A limit on the file size cuts a write short; nothing of it is taken, and it goes on."""
    done = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path / "q")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


_KILL = """
import sys
from pathlib import Path
from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps
from api2db.spool.spool import Spool
from tests.unit.spool.conftest import record

clock = SystemClock()
spool = Spool.open(Path(sys.argv[1]), streams=("a",), timestamps=Timestamps(clock), clock=clock,
    segment_bytes=1500)
for i in range(20):
    spool.put(record(i, state=b"%d" % i))
    print(i, flush=True)
    if i % 4 == 3:
        spool.ack("a", spool.read("a", Limit(2))[-1].seq)
"""


@pytest.mark.parametrize(
    "point",
    [
        "spool.before_append",
        "spool.mid_append",
        "spool.before_fsync",
        "spool.after_fsync",
        "spool.before_ack",
        "spool.after_ack",
        "spool.before_unlink",
    ],
)
def test_a_kill_loses_nothing_that_was_accepted(
    open_spool: Open, tmp_path: Path, point: str
) -> None:
    """After kill -9 at each point: what was acknowledged to the producer is there, in order."""
    nth = 3 if "append" in point or "fsync" in point else 2
    done = subprocess.run(
        [sys.executable, "-c", _KILL, str(tmp_path / "orders")],
        capture_output=True,
        text=True,
        env={**os.environ, "API2DB_CRASH": f"{point}:{nth}"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    put = len(done.stdout.split())
    spool = open_spool(segment_bytes=1500)
    found = [value for values in values_of(spool, "a", batches=100) for value in values]
    first = 2 * (put // 4 - (point == "spool.before_ack")) if found else put
    assert found in (list(range(first, put)), list(range(first, put + 1)))
    assert spool.damage == []
    assert int(spool.state) == (found[-1] if found else put - 1)


def test_a_full_disk_refuses_and_still_acknowledges() -> None:
    """On a disk without a free byte, cursors move, and what they free takes new records."""
    fs, clock = CrashFs(), SystemClock()
    spool = Spool.open(
        Path("/q"),
        streams=("a",),
        timestamps=Timestamps(clock),
        clock=clock,
        fs=fs,
        quota=10**7,
        segment_bytes=2000,
    )
    for i in range(20):
        spool.put(record(i))
    fs.capacity = fs.used()
    with pytest.raises(SpoolFull, match="disk"):
        spool.put(record(99))
    batches = spool.read("a")
    spool.ack("a", batches[-1].seq)
    spool.put(record(100))
    assert values_of(spool, "a")[-1] == [100]
    assert [99] not in values_of(spool, "a")
