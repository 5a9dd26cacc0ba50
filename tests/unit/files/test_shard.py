"""A spilled batch as a file."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api2db.core import types
from api2db.core.batch import Batch
from api2db.files.shard import Origin, ShardDamaged, decode, encode

ORIGIN = Origin("5" * 32, "orders", "pg")
INSTANT = dt.datetime(2024, 2, 29, 12, 30, 0, 123456, tzinfo=dt.UTC)
VALUES: dict[str, list[object]] = {
    "int": [2**63 - 1, None],
    "float": [float("inf"), None],
    "bool": [True, None],
    "str": ["é\0\n", None],
    "datetime": [INSTANT, None],
    "date": [INSTANT.date(), None],
    "decimal": [Decimal("1.25"), None],
    "json": ['{"a":1}', None],
}


def batch() -> Batch:
    columns = {
        name: pa.array(values, pa.string()).cast(types.arrow_type(name))
        if name == "json"
        else pa.array(values, types.arrow_type(name))
        for name, values in VALUES.items()
    }
    rows = pa.record_batch({**columns, "nothing": pa.nulls(2)})
    return Batch("a" * 32, 7, 1_700_000_000_000_000_001, rows, "poll", first=True, last=True)


@pytest.mark.parametrize(("start", "rows"), [(0, 2), (1, 1), (0, 0)])
def test_a_batch_comes_back_as_it_was(start: int, rows: int) -> None:
    """Every type that rows can have, id, place, poll and origin; a batch of no rows, too."""
    given = batch().with_rows(batch().rows.slice(start, rows))
    found, origin = decode(encode(given, ORIGIN))
    assert found.rows.schema == given.rows.schema
    assert found.rows.equals(given.rows)
    assert found.with_rows(given.rows) == given
    assert origin == ORIGIN


def test_large_batches_come_back_as_they_were() -> None:
    """Also those that are compressed and have more than one row group."""
    rows = pa.record_batch({"n": pa.array(range(2**20 + 5), pa.int64())})
    found, _ = decode(encode(batch().with_rows(rows), ORIGIN))
    assert found.rows.equals(rows)


def test_any_reader_takes_the_file() -> None:
    """It is a Parquet file like others; its metadata says what it is."""
    table = pq.read_table(io.BytesIO(encode(batch(), ORIGIN)))
    assert table.num_rows == 2
    assert table.schema.metadata[b"api2db.stream"] == b"pg"


def test_every_flipped_bit_and_every_cut_is_noticed() -> None:
    """Nothing that was damaged passes for rows."""
    raw = encode(batch(), ORIGIN)
    for at in range(len(raw)):
        flipped = bytearray(raw)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(ShardDamaged):
            decode(bytes(flipped))
        with pytest.raises(ShardDamaged):
            decode(raw[:at])


def test_a_file_of_somebody_else_is_no_shard() -> None:
    """Parquet without our notes has no id by which it could land once."""
    out = io.BytesIO()
    pq.write_table(pa.table({"n": [1]}), out)
    with pytest.raises(ShardDamaged, match="not written by api2db"):
        decode(out.getvalue())
