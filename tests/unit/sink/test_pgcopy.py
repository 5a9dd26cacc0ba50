"""Facts about COPY BINARY; that the server reads it is shown by the contract."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from api2db.sink.pgcopy import encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
ROW = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | TEXT,
    st.none() | st.booleans(),
    st.none() | st.integers(-(2**40), 2**40),
    st.none() | TEXT,
)
TYPES = (pa.int64(), pa.string(), pa.bool_(), pa.timestamp("us", "UTC"), pa.string())
KINDS = ("int", "str", "bool", "datetime", "json")
EPOCH = 946_684_800_000_000


def by_hand(row: tuple[Any, ...]) -> bytes:
    """Encode one row as the manual says, value by value."""
    out = struct.pack(">h", len(row))
    for value, kind in zip(row, KINDS, strict=True):
        if value is None:
            out += struct.pack(">i", -1)
            continue
        if kind == "int":
            body = struct.pack(">q", value)
        elif kind == "bool":
            body = struct.pack(">?", value)
        elif kind == "datetime":
            body = struct.pack(">q", value - EPOCH)
        else:
            body = (b"\1" if kind == "json" else b"") + value.encode()
        out += struct.pack(">i", len(body)) + body
    return out


@given(st.lists(ROW, min_size=1, max_size=8), st.data())
def test_columns_become_the_rows_of_the_manual(
    rows: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    """The kernels write what a plain encoder writes, for slices of arrays as well."""
    start = data.draw(st.integers(0, len(rows) - 1))
    length = data.draw(st.integers(1, len(rows) - start))
    columns = [
        pa.array(values, pa.int64() if pa.types.is_timestamp(type_) else type_)
        .cast(type_)
        .slice(start, length)
        for values, type_ in zip(zip(*rows, strict=True), TYPES, strict=True)
    ]
    expected = b"".join(map(by_hand, rows[start : start + length]))
    assert encode(columns, KINDS).to_pybytes() == expected
