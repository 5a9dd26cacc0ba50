"""What local files promise beyond the contract."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import math
import os
import resource
import signal
import subprocess
import threading
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api2db.core import faults
from api2db.core.batch import Batch
from api2db.core.errors import ConfigError, SinkMisconfigured, SinkRejected, SinkUnavailable
from api2db.core.types import JSON
from api2db.files.codec import FORMATS
from api2db.sink.base import Delivery
from tests.contract.backends import MODES, LocalBackend
from tests.contract.test_sink import batch, ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api2db.sink.base import Sink

pytestmark = pytest.mark.backend("parquet")


def test_one_batch_is_one_file(tmp_path: Path) -> None:
    """The file has the batch's timestamp for a name, and tells where it comes from."""
    target = LocalBackend(tmp_path)
    one, two = batch([{"id": 1}]), batch([{"id": 2}])
    target.sink().write([one, two])
    assert [p.name for p in target.files()] == [f"{b.timestamp_ns}.parquet" for b in (one, two)]
    metadata = pq.read_metadata(target.files()[0])
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert metadata.metadata[b"api2db.batch"] == one.id.encode()
    assert metadata.metadata[b"api2db.stream"] == b"s"
    assert metadata.metadata[b"api2db.collector"] == b"c"


def test_a_shard_has_the_types_of_its_batch(tmp_path: Path) -> None:
    """Arrow types come back, JSON included."""
    target = LocalBackend(tmp_path)
    one = batch([{"id": 1, "j": "{}", "v": None}], j=JSON)
    target.sink().write([one])
    assert pq.read_schema(target.files()[0]).remove_metadata() == one.rows.schema


def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    """Half a file of a life before is overwritten by the replay, and is no shard."""
    target = LocalBackend(tmp_path)
    sink = target.sink()
    one = batch([{"id": 1}])
    (tmp_path / "files" / "t" / f".{one.timestamp_ns}.parquet.tmp").write_bytes(b"PAR1 half")
    assert target.files() == []
    sink.write([one])
    assert [p.name for p in (tmp_path / "files" / "t").iterdir()] == [f"{one.timestamp_ns}.parquet"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file where the folder should be pauses the stream."""
    (tmp_path / "files").write_text("mine")
    with pytest.raises(SinkMisconfigured, match="files"):
        LocalBackend(tmp_path).sink()


def test_the_folder_goes_while_running(tmp_path: Path) -> None:
    """A folder that a person removed is an error of ours until it is opened again."""
    target = LocalBackend(tmp_path)
    sink = target.sink()
    (tmp_path / "files" / "t").rmdir()
    one = batch([{"id": 1}])
    with pytest.raises(Exception, match="gone"):
        sink.write([one])
    sink.close()
    sink.open()
    sink.write([one])
    assert len(target.files()) == 1


@pytest.mark.parametrize("table", ["..", ".", "", "a/b", "/abs", "nul\0", "a" * 224, "ü" * 112])
def test_tables_that_are_no_folder(tmp_path: Path, table: str) -> None:
    """A table's name cannot lead out of the target's folder."""
    delivery = dataclasses.replace(Delivery("0" * 32, "c", "s", "t"), table=table)
    with pytest.raises(ConfigError):
        LocalBackend(tmp_path).closed_sink(delivery)


def test_a_batch_of_a_null_column(tmp_path: Path) -> None:
    """A column without a type is written as it is."""
    target = LocalBackend(tmp_path)
    target.sink().write([batch([{"id": 1, "v": None}])])
    assert pq.read_schema(target.files()[0]).field("v").type == pa.null()


# -- one file that grows -------------------------------------------------------------------


def lived(target: LocalBackend, *ids: int, crash: str = "") -> int:
    """Write one batch for each of *ids* in a process of its own; return how it ended."""
    batches = [Batch(f"{i:032x}", i, i, pa.record_batch({"id": [i], "v": [f"v{i}"]})) for i in ids]
    pid = os.fork()
    if pid == 0:
        try:
            faults._left[crash] = 1
            target.sink().write(batches)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("point", ["before_intent", "before_rename", "after_rename"])
@pytest.mark.parametrize("first", [True, False])
def test_a_crash_of_an_update(tmp_path: Path, fmt: str, point: str, first: bool) -> None:
    """Wherever it is killed, the file is whole, and the same batches land once."""
    target = LocalBackend(tmp_path, fmt, "update")
    if not first:
        assert lived(target, 1, 2) == 0
    before = ids(target)
    assert lived(target, 2, 3, crash=f"sink.{point}") == -signal.SIGKILL
    after = [2, 3] if first else [1, 2, 3]
    assert ids(target) == (after if point == "after_rename" else before)
    assert lived(target, 2, 3) == 0
    assert ids(target) == after
    left = {path.name for path in target.folder.iterdir()}
    assert left - {f".t.{fmt}.tmp"} == {f"t.{fmt}", f".t.{fmt}.intent"}


@pytest.mark.parametrize("fmt", ["csv", "json"])
@pytest.mark.parametrize("point", ["before_rename", "after_rename"])
def test_a_person_changes_the_file_after_a_crash(tmp_path: Path, fmt: str, point: str) -> None:
    """What a person wrote stays, and what the crash left undone is done, once."""
    target = LocalBackend(tmp_path, fmt, "update")
    lived(target, 1)
    lived(target, 2, crash=f"sink.{point}")
    path = target.folder / f"t.{fmt}"
    path.write_text(path.read_text().replace("v1", "mine"))
    lived(target, 2, crash="sink.before_intent")  # and again, over what lay beside
    assert lived(target, 2) == 0
    assert [(row["id"], row["v"]) for row in target.rows()] == [(1, "mine"), (2, "v2")]


def test_the_file_goes(tmp_path: Path) -> None:
    """A file that a person took away begins anew; batches that it held do not come again."""
    target = LocalBackend(tmp_path, "csv", "update")
    lived(target, 1)
    lived(target, 2)
    (target.folder / "t.csv").unlink()
    lived(target, 2, 3)
    assert ids(target) == [3]


@pytest.mark.parametrize("first", [True, False])
def test_what_lies_beside_goes(tmp_path: Path, first: bool) -> None:
    """A file that is as before a change does not hold it, also if no trace of it is left."""
    target = LocalBackend(tmp_path, "csv", "update")
    if not first:
        lived(target, 1)
    lived(target, 2, crash="sink.before_rename")
    (target.folder / ".t.csv.tmp").unlink()
    lived(target, 2)
    assert ids(target)[-1] == 2


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_file_that_cannot_be_extended(tmp_path: Path, fmt: str) -> None:
    """What a person put there in another form pauses the stream, and is left alone."""
    target = LocalBackend(tmp_path, fmt, "update")
    sink = target.sink()
    (target.folder / f"t.{fmt}").write_bytes(b'"mine\xff')
    with pytest.raises(SinkMisconfigured, match=rf"t\.{fmt}"):
        sink.write([batch([{"id": 1}])])
    assert (target.folder / f"t.{fmt}").read_bytes() == b'"mine\xff'


def test_a_damaged_intent(tmp_path: Path) -> None:
    """Without knowing what the file holds nothing is added."""
    target = LocalBackend(tmp_path, "csv", "update")
    sink = target.sink()
    sink.write([batch([{"id": 1}])])
    (target.folder / ".t.csv.intent").write_bytes(b"{")
    with pytest.raises(SinkMisconfigured, match="damaged"):
        sink.write([batch([{"id": 2}])])


@pytest.mark.parametrize("fmt", FORMATS)
def test_markers_of_an_update(tmp_path: Path, fmt: str) -> None:
    """Each stream sees and forgets its own; the file keeps the rights that it was given."""
    target = LocalBackend(tmp_path, fmt, "update")
    a, b = target.sink(stream="a"), target.sink(stream="b")
    one, two = batch([{"id": 1}]), batch([{"id": 2}])
    assert a.write([one]).repeated == frozenset()
    (target.folder / f"t.{fmt}").chmod(0o644)
    b.write([one])
    assert a.write([one, two]).repeated == {one.id}
    assert (a.landed(), b.landed()) == ({one.id, two.id}, {one.id})
    a.forget({one.id, two.id})
    assert (a.landed(), b.landed()) == (frozenset(), {one.id})
    three = batch([{"id": 3}])
    b.write([three], forget={one.id})
    assert b.landed() == {three.id}
    assert ids(target) == [1, 1, 2, 3]
    assert (target.folder / f"t.{fmt}").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fmt", FORMATS)
def test_columns_of_an_update(tmp_path: Path, fmt: str) -> None:
    """Late columns are added, types widen, and older rows are as they were."""
    target = LocalBackend(tmp_path, fmt, "update")
    sink = target.sink()
    sink.write([batch([{"id": 1, "v": 7}]), batch([{"id": 2, "v": Decimal("0.5"), "w": "x"}])])
    sink.write([batch([{"id": 3, "n": None}])])
    sink.write([batch([{"id": 4, "v": 0.25, "n": True}])])
    rows = [tuple(str(row.get(c)) for c in ("v", "w", "n")) for row in target.rows()]
    assert [n for *_, n in rows] == ["None", "None", "None", "True" if fmt != "csv" else "true"]
    assert [w for _, w, _ in rows] == ["None", "x", "None", "None"]
    assert [v if v == "None" else Decimal(v) for v, *_ in rows] == [
        7,
        Decimal("0.5"),
        "None",
        Decimal("0.25"),
    ]


@pytest.mark.parametrize("fmt", ["parquet", "pickle"])
def test_rows_that_do_not_fit_an_update(tmp_path: Path, fmt: str) -> None:
    """Only the rows that a column of the file cannot hold are refused."""
    target = LocalBackend(tmp_path, fmt, "update")
    sink = target.sink()
    sink.write([batch([{"id": 1, "v": 5, "f": math.inf}])])
    good, bad = batch([{"id": 2}]), batch([{"id": 3, "v": 6}, {"id": 4, "v": "x"}][1:])
    worse = batch([{"id": 5, "f": 1.5}, {"id": 6, "f": '{"a": 1}'}][1:], f=JSON)
    with pytest.raises(SinkRejected) as caught:
        sink.write([good, bad, worse])
    assert {id_: [row.row for row in rows] for id_, rows in caught.value.rows.items()} == {
        bad.id: [0],
        worse.id: [0],
    }
    sink.write([good])
    assert ids(target) == [1, 2]
    assert target.rows()[1]["v"] is None


@pytest.mark.parametrize("fmt", ["parquet", "pickle"])
def test_anything_widens_to_json_in_a_file(tmp_path: Path, fmt: str) -> None:
    """An object beside scalars makes a column of JSON text."""
    target = LocalBackend(tmp_path, fmt, "update")
    sink = target.sink()
    sink.write([batch([{"id": 1, "v": 5, "d": Decimal("1.5"), "x": "y"}])])
    types = {"v": JSON, "d": pa.decimal128(38, 9)}
    sink.write([batch([{"id": 2, "v": '{"a": 1}', "d": Decimal("0.123456789")}], **types)])
    sink.write([batch([{"id": 3, "v": True, "x": None}])])
    assert [json.loads(row["v"]) for row in target.rows()] == [5, {"a": 1}, True]


@pytest.mark.parametrize("fmt", FORMATS)
def test_two_threads_and_one_file(tmp_path: Path, fmt: str) -> None:
    """Two collectors that write to one file lose nothing of each other."""
    target = LocalBackend(tmp_path, fmt, "update")
    sinks = [target.sink(collector=name) for name in "ab"]

    def write(sink: Sink) -> None:
        for i in range(10):
            sink.write([batch([{"id": i}])])

    threads = [threading.Thread(target=write, args=[sink]) for sink in sinks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(target)) == sorted([*range(10), *range(10)])


def test_another_process_writes(tmp_path: Path) -> None:
    """A folder that another process is writing to is busy for now."""
    target = LocalBackend(tmp_path, "csv", "update")
    sink = target.sink()
    fd = os.open(target.folder, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(SinkUnavailable, match="another process"):
        sink.write([batch([{"id": 1}])])
    os.close(fd)
    sink.write([batch([{"id": 1}])])
    assert ids(target) == [1]


# -- one file that is replaced -------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_file_holds_the_last_poll(tmp_path: Path, fmt: str) -> None:
    """Each call's rows take the place of the file's; its columns are those of the poll."""
    target = LocalBackend(tmp_path, fmt, "replace")
    sink = target.sink(replace=True)
    big = [batch([{"id": i, "v": i}]) for i in range(3)]
    assert sink.replace(big).rows == 3
    (target.folder / f"t.{fmt}").chmod(0o640)
    assert [row["id"] for row in target.rows()] == [0, 1, 2]
    types = {"v": pa.float64(), "j": JSON, "d": pa.decimal128(38, 9)}
    row = {"id": 3, "v": 0.5, "j": "[1]", "d": Decimal("1.5"), "n": None}
    for _ in range(2):
        assert sink.replace([*[one.with_rows(one.rows[:0]) for one in big], batch([{"id": 1}])])
        assert sink.replace([batch([{"id": 1, "v": 7}]), batch([row], **types)]).rows == 2
        assert [str(found["v"]) for found in target.rows()] in (["7", "0.5"], ["7.0", "0.5"])
        assert [found.get("n") for found in target.rows()] == [None, None]
    assert (target.folder / f"t.{fmt}").stat().st_mode & 0o777 == 0o640
    assert sink.replace([batch(pa.RecordBatch.from_pylist([], schema=pa.schema([])))]).rows == 0
    assert target.rows() == []
    assert fmt == "json" or b"id" in target.files()[0].read_bytes()
    assert sink.landed() == frozenset()


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_poll_that_does_not_fit_its_file(tmp_path: Path, fmt: str) -> None:
    """Rows that the file cannot hold are named by batch; the file stays as it was."""
    target = LocalBackend(tmp_path, fmt, "replace")
    sink = target.sink(replace=True)
    sink.replace([batch([{"id": 1}])])
    far = pa.array([2**62], pa.int64()).cast(pa.timestamp("us", "UTC"))
    bad = batch(pa.record_batch({"id": [4], "t": far}))
    worse = batch([{"id": 2, "v": 5}]), batch([{"id": 3, "v": "x"}])
    if fmt != "parquet":
        with pytest.raises(SinkRejected) as caught:
            sink.replace([batch([{"id": 1}]), bad])
        assert list(caught.value.rows) == [bad.id]
    if fmt in ("parquet", "pickle"):
        with pytest.raises(SinkRejected) as caught:
            sink.replace(worse)
        assert list(caught.value.rows) == [worse[1].id]
    assert [row["id"] for row in target.rows()] == [1]
    assert len(list(target.folder.iterdir())) == 1


# -- disks and folders that refuse ---------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("mode", MODES)
def test_a_full_disk(tmp_path: Path, fmt: str, mode: str) -> None:
    """What there is no room for is refused for now, and lands once when there is room."""
    target = LocalBackend(tmp_path, fmt, mode)
    sink = target.sink()
    one, big = batch([{"id": 1}]), batch([{"id": 2, "v": os.urandom(30_000).hex()}])
    sink.write([one])
    before = ids(target)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        for _ in range(2):
            with pytest.raises(SinkUnavailable, match="cannot write"):
                sink.write([big])
            sink.close()
            sink.open()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)
    assert ids(target) == before
    sink.write([big])
    assert ids(target)[-1:] == [2]


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_that_may_not_be_written(tmp_path: Path, mode: str) -> None:
    """It pauses the stream, and goes on by itself once it is mended."""
    target = LocalBackend(tmp_path, "csv", mode)
    sink = target.sink()
    sink.write([batch([{"id": 1}])])
    one = batch([{"id": 2}])
    folder = target.files()[0].parent
    with refusing(folder), pytest.raises(SinkMisconfigured, match="owner and rights"):
        sink.write([one])
    sink.write([one])
    assert ids(target)[-1:] == [2]


@contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Take away the right to write to *folder*, from root too."""
    if os.geteuid():
        folder.chmod(0o500)
    elif subprocess.run(["chattr", "+i", folder], check=False, capture_output=True).returncode:
        pytest.skip("root may write everywhere, and chattr does not work here")
    try:
        yield
    finally:
        if os.geteuid():
            folder.chmod(0o700)
        else:
            subprocess.run(["chattr", "-i", folder], check=True)


@pytest.mark.parametrize("table", ["with space", "ünï😀", "-rf", ".hidden", "a" * 223, "c:\\x\n"])
@pytest.mark.parametrize("mode", MODES)
def test_tables_that_are_files(tmp_path: Path, table: str, mode: str) -> None:
    """Any text without a slash is a name."""
    target = LocalBackend(tmp_path, "parquet", mode)
    sink = target.sink(table)
    sink.write([batch([{"id": 1}])])
    sink.write([batch([{"id": 2}])])
    assert ids(target, table)[-1:] == [2]
