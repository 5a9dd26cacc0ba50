"""Rows that are equal, once: what `drop_duplicates` asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from api2db.core.canon import row_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What tells rows apart: all columns (True), some, or nothing: all rows stay (False).
Keys: TypeAlias = "bool | Sequence[str]"

_PLACE = "_api2db_place"


def distinct(rows: pa.RecordBatch, keys: Keys) -> pa.RecordBatch:
    """
    Return *rows* with the first of each key only, in order.

    A column of the key that is missing is NULL; rows that have none of them all stay: nothing
    tells that they are equal, and a key that was misspelt must not cost rows.
    """
    names = _names(rows, keys)
    if not names or rows.num_rows < 2:
        return rows.slice(0, 1) if keys is True else rows
    columns = {name: _plain(rows.column(name)) for name in names}
    table = pa.table({**columns, _PLACE: pa.array(range(rows.num_rows), pa.int64())})
    firsts = table.group_by(names, use_threads=False).aggregate([(_PLACE, "min")])
    if firsts.num_rows == rows.num_rows:
        return rows
    return rows.take(firsts.column(f"{_PLACE}_min").combine_chunks().sort())


def unseen(rows: pa.RecordBatch, keys: Keys, seen: set[bytes]) -> pa.RecordBatch:
    """Return the first row of each key that *seen* lacks, in whichever types; it joins *seen*."""
    names = _names(rows, keys)
    if not (names or keys is True):
        return rows
    keep = []
    for key in row_keys(rows.select(names)):
        keep.append(key not in seen)
        seen.add(key)
    return rows.filter(pa.array(keep, pa.bool_()))


def _names(rows: pa.RecordBatch, keys: Keys) -> list[str]:
    if isinstance(keys, bool):
        return rows.schema.names if keys else []
    return [name for name in rows.schema.names if name in keys]


def _plain(column: pa.Array[Any]) -> pa.Array[Any]:
    return column.storage if isinstance(column, pa.ExtensionArray) else column
