"""Rows with several sets of columns as one table, no value altered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core import types
from api2db.core.batch import Batch
from api2db.sink.load import as_kind, columns_of, reject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def union(old: pa.Table | None, batches: Sequence[Batch]) -> pa.Table:
    """
    Return the rows of *old*, then those of *batches*.

    A column has the type to which all its values widen without loss; one of *old* that
    cannot widen keeps its type. Where a table lacks a column it is NULL.

    Raises:
        SinkRejected: For rows of *batches* that do not fit.
        ConfigError: *old* has a column of a type that is not ours.
    """
    new = [pa.Table.from_batches([batch.rows]) for batch in batches]
    tables = new if old is None else [old, *new]
    if _agree(tables):
        return pa.concat_tables(tables, promote_options="default")
    held = [] if old is None else [Batch("", 0, 0, part) for part in old.to_batches()]
    columns = columns_of([*held, *batches])
    for part in held:
        for name, column in zip(part.rows.schema.names, part.rows.columns, strict=True):
            if _as(column, columns[name], name)[1]:
                columns[name] = column.type
    made: list[pa.RecordBatch] = []
    bad: dict[int, str] = {}
    start = 0
    for batch in (*held, *batches):
        rows, wrong = aligned(batch.rows, columns)
        bad |= {start + row: reason for row, reason in wrong.items()}
        start += batch.rows.num_rows
        made += [] if wrong else [rows]
    reject([*held, *batches], bad)
    return pa.Table.from_batches(made)


def aligned(
    rows: pa.RecordBatch, columns: Mapping[str, pa.DataType]
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """
    Return *rows* with exactly *columns*, NULL where they are missing, and what does not fit.

    If any row does not fit, the others are undefined.
    """
    arrays: list[Any] = []
    bad: dict[int, str] = {}
    for name, type_ in columns.items():
        at = rows.schema.get_field_index(name)
        array = pa.nulls(rows.num_rows) if at < 0 else rows.column(at)
        made, wrong = _as(array, type_, name)
        bad |= wrong
        arrays.append(made)
    if bad:
        return rows, bad
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(columns)), {}


def _agree(tables: Sequence[pa.Table]) -> bool:
    """Return whether each column has one type, NULL aside."""
    found: dict[str, pa.DataType] = {}
    for table in tables:
        for field in table.schema:
            if pa.types.is_null(found.setdefault(field.name, field.type)):
                found[field.name] = field.type
            if field.type != found[field.name] and not pa.types.is_null(field.type):
                return False
    return True


def _as(array: Any, type_: pa.DataType, name: str) -> tuple[Any, dict[int, str]]:
    """Return *array* (n values) as *type_*, and which of its rows do not fit."""
    if array.type == type_:
        return array, {}
    if pa.types.is_null(array.type):
        return pa.array([None] * len(array), type_), {}
    sent: Any
    sent, bad = as_kind(array, types.kind_of(type_), name)
    if bad:
        return sent, bad
    if type_ == types.JSON:
        return pa.ExtensionArray.from_storage(types.JSON, sent), {}
    try:
        return sent.cast(type_), {}
    except pa.ArrowInvalid:
        return sent, {i: _why(type_, name) for i in range(len(sent)) if not _casts(sent[i], type_)}


def _casts(value: Any, type_: pa.DataType) -> bool:
    try:
        value.cast(type_)
    except pa.ArrowInvalid:
        return False
    return True


def _why(type_: pa.DataType, name: str) -> str:
    return f"{name}: the column holds {types.name_of(type_)}, which cannot hold this exactly"
