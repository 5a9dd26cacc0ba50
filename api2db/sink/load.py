"""Batches on their way into one table: one set of columns, one type each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.batch import DeadRow
from api2db.core.errors import SinkRejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from api2db.core.batch import Batch


def unified(batches: Iterable[Batch]) -> list[list[Batch]]:
    """
    Return *batches* in runs whose columns widen into one set; most often one run.

    Types of a collector only widen, so more than one run comes from a changed configuration.
    """
    runs: list[list[Batch]] = []
    columns: dict[str, pa.DataType] = {}
    for batch in batches:
        wider = _widened(columns, batch.rows.schema)
        if wider is None or not runs:
            runs.append([])
            wider = _widened({}, batch.rows.schema)
            assert wider is not None
        runs[-1].append(batch)
        columns = wider
    return runs


def _widened(columns: Mapping[str, pa.DataType], schema: pa.Schema) -> dict[str, pa.DataType] | None:
    wider = dict(columns)
    for field in schema:
        old = wider.get(field.name)
        new = field.type if old is None else _common(old, field.type)
        if new is None:
            return None
        wider[field.name] = new
    return wider


def _common(a: pa.DataType, b: pa.DataType) -> pa.DataType | None:
    return a if a == b else types.widen(a, b) or types.widen(b, a)


def columns_of(batches: Sequence[Batch]) -> dict[str, pa.DataType]:
    """Return the columns of one run, each with its widest type, in order of appearance."""
    columns: dict[str, pa.DataType] = {}
    for batch in batches:
        columns = _widened(columns, batch.rows.schema) or columns
    return columns


@dataclass(slots=True)
class Load:
    """
    The rows of one run, column by column, as they will be sent.

    Attributes:
        batches: Where the rows come from, in order.
        columns: Name -> values (n rows in all, one chunk per batch), NULL where a batch has
            no such column.
    """

    batches: Sequence[Batch]
    columns: dict[str, pa.ChunkedArray[Any]]

    @classmethod
    def of(cls, batches: Sequence[Batch], names: Iterable[str]) -> Load:
        """Line up the columns *names* of *batches*, types as they came."""
        columns = {}
        for name in names:
            types_ = [b.rows.schema.field(name).type for b in batches if name in b.rows.schema.names]
            wide = types_[0]
            for other in types_[1:]:
                wide = _common(wide, other) or wide
            chunks = [
                types.cast(b.rows.column(name), wide)
                if name in b.rows.schema.names
                else pa.nulls(b.rows.num_rows, wide)
                for b in batches
            ]
            columns[name] = _chunked(chunks, wide)
        return cls(batches, columns)

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return sum(batch.rows.num_rows for batch in self.batches)

    def reject(self, bad: Mapping[int, str]) -> None:
        """Raise `SinkRejected` for the rows *bad* (row of the load -> reason), if any."""
        if not bad:
            return
        rows: dict[str, list[DeadRow]] = {}
        start = 0
        for batch in self.batches:
            end = start + batch.rows.num_rows
            found = [DeadRow(i - start, bad[i]) for i in sorted(bad) if start <= i < end]
            if found:
                rows[batch.id] = found
            start = end
        reason = bad[min(bad)]
        raise SinkRejected(f"{len(bad)} rows cannot be written: {reason}", rows=rows)

    def null_keys(self, keys: Sequence[str]) -> dict[int, str]:
        """Return the rows in which a key is NULL or missing."""
        bad: dict[int, str] = {}
        for key in keys:
            values = self.columns.get(key)
            if values is None:
                return {i: f"the key {key!r} is missing" for i in range(self.num_rows)}
            if values.null_count:
                for i in where(values.is_null()):
                    bad[i] = f"the key {key!r} is NULL"
        return bad

    def last_per_key(self, keys: Sequence[str]) -> Load:
        """Return the load with the last row of each key only, in their order."""
        order = pa.array(range(self.num_rows), pa.int64())
        table = pa.table({**{k: _plain(self.columns[k]) for k in keys}, "\0row": order})
        last = table.group_by(list(keys)).aggregate([("\0row", "max")])
        if last.num_rows == self.num_rows:
            return self
        rows = pc.take(last["\0row_max"], pc.sort_indices(last["\0row_max"]))
        return Load(self.batches, {name: col.take(rows) for name, col in self.columns.items()})


def _plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Return *column* without an extension type, for kernels that know none."""
    if isinstance(column.type, pa.BaseExtensionType):
        chunks: list[Any] = column.chunks
        return _chunked([chunk.storage for chunk in chunks], column.type.storage_type)
    return column


def _chunked(chunks: list[Any], type_: pa.DataType) -> pa.ChunkedArray[Any]:
    return pa.chunked_array(chunks, type_)  # type: ignore[call-overload]


def where(mask: Any) -> list[int]:
    """Return the rows in which *mask* (n booleans) is true."""
    rows: list[int] = pc.indices_nonzero(mask).to_pylist()
    return rows


def as_text(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """Return *column* as text: numbers as JSON writes them, instants as ISO 8601 in UTC."""
    kind = types.kind_of(column.type)
    if kind == "str":
        return column
    if kind in ("json", "int", "float", "decimal"):
        chunks = [types.cast(chunk, types.JSON) for chunk in column.chunks]
        return _plain(_chunked(chunks, types.JSON))
    text = pa.string()
    return _chunked([types.cast(chunk, text) for chunk in column.chunks], text)


def as_kind(
    column: pa.ChunkedArray[Any], kind: str, name: str
) -> tuple[pa.ChunkedArray[Any], dict[int, str]]:
    """
    Return *column* as the natural Arrow type of *kind*, and the rows that do not fit.

    Decimals come back as text (a target casts it). JSON comes back as text, too.
    """
    have = types.kind_of(column.type)
    if kind == "decimal" and have in ("int", "float", "decimal"):
        return as_text(column), {}
    if kind == "str":
        return as_text(column), {}
    if have == kind:
        return _plain(column), {}
    wide = types.arrow_type(kind)
    wider = types.widen(column.type, wide)
    if wider is None or types.kind_of(wider) != kind:
        reason = f"{name}: the column holds {kind}, this is {have}"
        return column, dict.fromkeys(where(column.is_valid()), reason)
    try:
        cast = _chunked([types.cast(chunk, wide) for chunk in column.chunks], wide)
    except pa.ArrowInvalid:
        return _one_by_one(column, wide, name)
    return _plain(cast), {}


def _one_by_one(
    column: pa.ChunkedArray[Any], wide: pa.DataType, name: str
) -> tuple[pa.ChunkedArray[Any], dict[int, str]]:
    bad: dict[int, str] = {}
    for i, value in enumerate(column.to_pylist()):
        try:
            types.cast(pa.array([value], column.type), wide)
        except pa.ArrowInvalid as exc:
            bad[i] = f"{name}: {exc}"
    return column, bad
