"""What Parquet shards promise beyond the contract."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api2db.core.errors import ConfigError, SinkMisconfigured
from api2db.core.types import JSON
from api2db.sink.base import Delivery
from tests.contract.backends import LocalBackend
from tests.contract.test_sink import batch

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize("table", ["..", ".", "", "a/b", "/abs", "nul\0"])
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
