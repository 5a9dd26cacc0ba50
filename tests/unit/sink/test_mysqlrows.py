"""Facts about rows as text for MariaDB and MySQL."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from api2db.sink import mysqlrows

KINDS = ["int", "float", "bool", "str", "datetime", "date"]


def columns(*chunks: slice) -> list[pa.ChunkedArray[Any]]:
    """Return three rows as columns, cut into *chunks*."""
    arrays: list[pa.Array[Any]] = [
        pa.array([1, None, -(2**63)], pa.int64()),
        pa.array([0.1, 1e22, None], pa.float64()),
        pa.array([True, None, False]),
        pa.array(["a\tb\\c\n'd'", "\\N", None]),
        pa.array([datetime(2024, 2, 29, 1, 2, 3, 4, UTC), None, None], pa.timestamp("us", "UTC")),
        pa.array([date(1969, 12, 31), None, None], pa.date32()),
    ]
    return [
        pa.chunked_array([array[c] for c in chunks or (slice(0, 3),)], array.type)
        for array in arrays
    ]


LINES = (
    b"1\t0.1\t1\ta\\\tb\\\\c\\\n'd'\t2024-02-29 01:02:03.000004\t1969-12-31\n",
    b"\\N\t1e+22\t\\N\t\\\\N\t\\N\t\\N\n",
    b"-9223372036854775808\t\\N\t0\t\\N\t\\N\t\\N\n",
)
ROWS = (
    b"('1','0.1','1','a\tb\\\\c\n\\'d\\'','2024-02-29 01:02:03.000004','1969-12-31')",
    b"(NULL,'1e+22',NULL,'\\\\N',NULL,NULL)",
    b"('-9223372036854775808',NULL,'0',NULL,NULL,NULL)",
)


@pytest.mark.parametrize(
    "chunks", [(), (slice(0, 1), slice(1, 3)), (slice(0, 0), slice(0, 3)), (slice(1, 3),)]
)
def test_rows_of_any_chunks(chunks: tuple[slice, ...]) -> None:
    """A file holds each row in its order, however the columns are cut; NULL is no text."""
    wanted = [LINES[i] for chunk in chunks or (slice(0, 3),) for i in range(3)[chunk]]
    parts = list(mysqlrows.infile(columns(*chunks), KINDS))
    assert b"".join(bytes(part) for part, _ in parts) == b"".join(wanted)
    assert sum(n for _, n in parts) == len(wanted)


@pytest.mark.parametrize("size", [1, len(ROWS[0]) + 1, 100_000])
def test_lists_end_between_rows(size: int) -> None:
    """A list is as long as it may be, and of one row at least."""
    lists = list(mysqlrows.values(columns(), KINDS, size))
    assert b",".join(text for text, _ in lists) == b",".join(ROWS)
    assert sum(n for _, n in lists) == len(ROWS)
    assert all(len(text) <= size or n == 1 for text, n in lists)
    assert len(lists) == (1 if size == 100_000 else len(lists))


def test_no_rows() -> None:
    """Columns without rows give nothing."""
    empty = columns(slice(0, 0))
    assert list(mysqlrows.infile(empty, KINDS)) == []
    assert list(mysqlrows.values(empty, KINDS, 100)) == []
