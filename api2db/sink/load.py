"""Batches on their way into one table: one set of columns, one type each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.batch import DeadRow
from api2db.core.casting import cast
from api2db.core.errors import SinkRejected
from api2db.core.widening import widen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from api2db.core.batch import Batch

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc
_arrow: Any = pa

#: Kinds that are sent as text, whatever they are in the target.
_AS_TEXT = frozenset({"str", "decimal", "json"})

#: Rows of a long load that are written at once.
GROUP_ROWS = 50_000
#: Most rows of batches that are joined.
JOINED_ROWS = 20_000

#: First and last instant that ISO 8601 writes with four digits, in microseconds.
YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)


class Pages:
    """
    Batches of one load that may not fit into memory: they are read as often as they are needed.

    Attributes:
        marked: Id -> number of rows, of all batches; complete after one iteration.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.marked: dict[str, int] = {}
        self._batches = batches

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that have rows."""
        for batch in self._batches:
            self.marked[batch.id] = batch.rows.num_rows
            if batch.rows.num_rows:
                yield batch

    def groups(self) -> Iterator[list[Batch]]:
        """Yield the same, as many together as are written at once."""
        group: list[Batch] = []
        for batch in self:
            group.append(batch)
            if sum(one.rows.num_rows for one in group) >= GROUP_ROWS:
                yield group
                group = []
        if group:
            yield group


def columns_of(batches: Iterable[Batch]) -> dict[str, pa.DataType]:
    """
    Return the columns of *batches* in order of appearance, each with the type that it widens to.

    A type that does not fit what came before it is left out: its rows will be refused. A
    column of nothing but NULL has the type null. *batches* may be iterated more than once.
    """
    columns: dict[str, pa.DataType] = {}
    last = None
    for batch in batches:
        if last is not None and batch.rows.schema.equals(last):
            continue  # nothing that was not there already
        last = batch.rows.schema
        for column in last:
            old = columns.get(column.name, pa.null())
            if old == column.type:
                columns[column.name] = old
                continue
            big = pa.types.is_integer(old) and inexact(batches, column.name)
            columns[column.name] = widen(old, column.type, big=big) or old
    return columns


def inexact(batches: Iterable[Batch], name: str) -> bool:
    """Return whether column *name* holds integers that a float would round."""
    for batch in batches:
        at = batch.rows.schema.get_field_index(name)
        if at >= 0 and pa.types.is_integer(batch.rows.schema.field(at).type):
            ends: Any = _kernel.min_max(batch.rows.column(at)).as_py()
            if ends["min"] is not None and max(-ends["min"], ends["max"]) > types.EXACT_INT:
                return True
    return False


def null_keys(batches: Sequence[Batch], keys: Iterable[str]) -> dict[int, str]:
    """Return the rows of *batches*, numbered through, in which a key is NULL or missing."""
    bad: dict[int, str] = {}
    start = 0
    for batch in batches:
        for key in keys:
            at = batch.rows.schema.get_field_index(key)
            if at < 0:
                rows = range(start, start + batch.rows.num_rows)
                bad |= dict.fromkeys(rows, f"the key {key!r} is missing")
            elif batch.rows.column(at).null_count:
                for i in where(batch.rows.column(at).is_null()):
                    bad[start + i] = f"the key {key!r} is NULL"
        start += batch.rows.num_rows
    return bad


def filled_in(batches: Iterable[Batch], names: Collection[str]) -> dict[int, str]:
    """Return the rows of *batches*, numbered through, with a value in a column of *names*."""
    bad: dict[int, str] = {}
    start = 0
    for batch in batches if names else ():
        for name in names:
            at = batch.rows.schema.get_field_index(name)
            if at >= 0:
                reason = f"the table has no column {name!r}, and the schema is frozen"
                bad |= {start + i: reason for i in where(batch.rows.column(at).is_valid())}
        start += batch.rows.num_rows
    return bad


def reject(batches: Iterable[Batch], bad: Mapping[int, str]) -> None:
    """Raise `SinkRejected` for the rows *bad* of *batches* (numbered through), if any."""
    if not bad:
        return
    rows: dict[str, list[DeadRow]] = {}
    start = 0
    for batch in batches:
        end = start + batch.rows.num_rows
        if found := [DeadRow(i - start, bad[i]) for i in sorted(bad) if start <= i < end]:
            rows[batch.id] = found
        start = end
    raise SinkRejected(f"{len(bad)} rows cannot be written: {bad[min(bad)]}", rows=rows)


@dataclass(slots=True)
class Load:
    """
    The rows of several batches, column by column, as they are sent.

    Attributes:
        columns: Name -> values (n rows in all), NULL where a batch has no such column.
            Decimals and JSON are text.
        bad: Row -> why its column cannot hold it.
    """

    columns: dict[str, pa.ChunkedArray[Any]]
    bad: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, batches: Sequence[Batch], kinds: Mapping[str, str]) -> Load:
        """Line up the columns of *batches* that are named in *kinds*, each as that kind."""
        load = cls({})
        parts = joined([batch.rows for batch in batches])
        for name, kind in kinds.items():
            chunks, start = [], 0
            for part in parts:
                at = part.schema.get_field_index(name)
                n = part.num_rows
                array = pa.nulls(n) if at < 0 else part.column(at)
                chunk, wrong = as_kind(array, kind, name)
                load.bad |= {start + i: reason for i, reason in wrong.items()}
                chunks.append(chunk)
                start += n
            load.columns[name] = chunked(chunks, sent_type(kind))
        return load

    def last_per_key(self, keys: Sequence[str]) -> dict[str, pa.ChunkedArray[Any]]:
        """Return the columns with the last row of each key only, in their order."""
        n = len(self.columns[keys[0]])
        order = pa.array(range(n), pa.int64())
        # Names of the source may be anything: they are replaced by numbers.
        arrays = [self.columns[key] for key in keys]
        table = pa.table([*arrays, order], names=[*map(str, range(len(keys))), "row"])
        last = table.group_by(table.column_names[:-1]).aggregate([("row", "max")])
        if last.num_rows == n:
            return self.columns
        rows = last["row_max"].take(pc.sort_indices(last["row_max"]))
        return {name: column.take(rows) for name, column in self.columns.items()}


def joined(parts: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return *parts* with small neighbours of one schema made one, for each part has its cost."""
    runs: list[list[pa.RecordBatch]] = []
    rows = 0
    for part in parts:
        rows += part.num_rows
        if runs and rows <= JOINED_ROWS and part.schema.equals(runs[-1][0].schema):
            runs[-1].append(part)
        else:
            runs.append([part])
            rows = part.num_rows
    return [_arrow.concat_batches(run) if len(run) > 1 else run[0] for run in runs]


def sent_type(kind: str) -> pa.DataType:
    """Return the Arrow type in which values of *kind* are sent."""
    return pa.string() if kind in _AS_TEXT else types.arrow_type(kind)


def as_kind(array: pa.Array[Any], kind: str, name: str) -> tuple[pa.Array[Any], dict[int, str]]:
    """
    Return *array* (n values of column *name*) as `sent_type` of *kind*, and what does not fit.

    Values of rows that do not fit are undefined.
    """
    if pa.types.is_null(array.type):
        return _nulls(array, kind), {}
    have = types.kind_of(array.type)
    if have == "datetime" and kind in ("str", "json"):
        bad = outside(array, YEARS, f"{name}: text has years 1 to 9999 only")
        if bad:
            return _nulls(array, kind), bad
    if kind == "str" or (kind == "decimal" and have in ("int", "float", "decimal")):
        return as_text(array), {}
    if kind == "json" and have == "float":
        finite = _kernel.is_finite(array).fill_null(True)
        reason = f"{name}: JSON has no NaN and no infinity"
        return as_text(array), dict.fromkeys(where(_kernel.invert(finite)), reason)
    wide = types.arrow_type(kind)
    wider = widen(array.type, wide)
    whole = kind == "int" and have in ("float", "decimal")  # its values are looked at one by one
    if have != kind and not whole and (wider is None or types.kind_of(wider) != kind):
        reason = f"{name}: the column holds {kind}, this is {have}"
        return _nulls(array, kind), dict.fromkeys(where(array.is_valid()), reason)
    try:
        return _plain(_cast(array, wide)), {}
    except pa.ArrowInvalid:
        return _nulls(array, kind), _one_by_one(array, wide, name)


def _nulls(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    return pa.nulls(len(array), sent_type(kind))  # type: ignore[call-overload, no-any-return]


def _cast(array: pa.Array[Any], to: pa.DataType) -> pa.Array[Any]:
    """As `casting.cast`; numbers without a fraction become integers, too."""
    return array.cast(to) if pa.types.is_integer(to) else cast(array, to)


def _one_by_one(array: pa.Array[Any], wide: pa.DataType, name: str) -> dict[int, str]:
    bad: dict[int, str] = {}
    kind = types.kind_of(wide)
    for i in range(len(array)):
        try:
            _cast(array.slice(i, 1), wide)
        except pa.ArrowInvalid:
            bad[i] = f"{name}: the column holds {kind}, which cannot hold this number exactly"
    return bad


def as_text(array: pa.Array[Any]) -> pa.Array[Any]:
    """Return *array* as text: numbers as JSON writes them, instants as ISO 8601 in UTC."""
    kind = types.kind_of(array.type)
    if kind == "str":
        return array.cast(pa.string())
    if kind in ("json", "int", "float", "decimal"):
        return _plain(cast(array, types.JSON))
    return cast(array, pa.string())


def _plain(array: Any) -> pa.Array[Any]:
    """Return *array* without an extension type, for kernels that know none."""
    plain: pa.Array[Any] = array.storage if isinstance(array, pa.ExtensionArray) else array
    return plain


def chunked(chunks: list[Any], type_: pa.DataType) -> pa.ChunkedArray[Any]:
    """Return *chunks*, all of *type_*, as one column."""
    return pa.chunked_array(chunks, type_)  # type: ignore[call-overload, no-any-return]


def outside(instants: Any, limits: tuple[int, int], reason: str) -> dict[int, str]:
    """Return the rows of *instants* (timestamps or dates) beyond *limits*, both as integers."""
    wide = pa.types.is_timestamp(instants.type)
    plain = instants.cast(pa.timestamp("us", "UTC")) if wide else instants
    plain = plain.cast(pa.int64() if wide else pa.int32())
    ends = _kernel.min_max(plain).as_py()
    if ends["min"] is None or limits[0] <= ends["min"] <= ends["max"] <= limits[1]:
        return {}
    beyond = _kernel.or_(_kernel.less(plain, limits[0]), _kernel.greater(plain, limits[1]))
    return dict.fromkeys(where(beyond), reason)


def where(mask: Any) -> list[int]:
    """Return the rows in which *mask* (n booleans) is true."""
    rows: list[int] = _kernel.indices_nonzero(mask).to_pylist()
    return rows
