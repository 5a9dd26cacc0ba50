"""
Whatever Python code calls rows, as a `Chunk`: dicts, DataFrames, Arrow tables.

One rule for each type, wherever it comes from::

    None, NaN, NaT, pd.NA               NULL
    bool, int, float, str               as they are; numpy's too
    datetime                            RFC 3339; without a zone it is taken as UTC
    date, Decimal                       as they are
    bytes                               hexadecimal text
    time, UUID, Enum, Path, IP address, others that are a text to people: text
    dict, list, tuple, set              JSON

pandas is never imported here: who has a DataFrame has imported it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.errors import FormError
from api2db.core.types import JSON
from api2db.ingest.chunk import Chunk, decoded
from api2db.ingest.native_value import kind_of, native

_HINT = "yield dicts, lists of dicts, DataFrames, Arrow tables or Checkpoint(value)"
_MEND = "make it a text or a number"
#: Rows of a chunk, at most.
ROWS = 50_000
#: What stays as it is; looked at first, for most values are of these.
_PLAIN = frozenset({type(None), bool, int, str})
#: Whole numbers that a float holds exactly: pandas writes integers beside NaN as floats.
_WHOLE = 2**53


def is_rows(item: object) -> bool:
    """Return whether *item* is rows by itself, not an iterator or list of such items."""
    if isinstance(item, (list, tuple)):
        return all(isinstance(each, Mapping) for each in item)
    return isinstance(item, (Mapping, pa.Table, pa.RecordBatch)) or _is_table(item)


def _is_table(item: object) -> bool:
    return _is_frame(item) or hasattr(item, "__arrow_c_stream__")


def _is_frame(item: object) -> bool:
    frame = getattr(sys.modules.get("pandas"), "DataFrame", None)  # it may be half imported
    return frame is not None and isinstance(item, frame)


def chunks(item: object) -> Iterator[Chunk]:
    """
    Yield the rows of *item*: a dict, an iterable of dicts, a DataFrame, or Arrow data.

    Raises:
        FormError: It is something else, or holds a value that has no place in a row.
    """
    if isinstance(item, Mapping):
        yield Chunk([row(item)])
    elif _is_frame(item):
        frame: Any = item
        for start in range(0, len(frame), ROWS):
            yield Chunk(_frame(frame.iloc[start : start + ROWS]))
    elif isinstance(item, (pa.Table, pa.RecordBatch)) or _is_table(item):
        table = _arrow(item)
        for start in range(0, table.num_rows, ROWS):
            part = table.slice(start, ROWS)
            yield Chunk.of(part, partial(_table, part))
    elif isinstance(item, Iterable) and not isinstance(item, (str, bytes)):
        rows = iter(item)
        while some := list(islice(rows, ROWS)):
            yield Chunk([_row(each) for each in some])
    else:
        raise FormError(f"{kind_of(item)} is no rows", hint=_HINT)


def _arrow(item: Any) -> Any:
    try:
        return item if isinstance(item, pa.Table) else pa.table(item)
    except (pa.ArrowException, TypeError) as exc:  # one column, such as pandas' Series
        raise FormError(f"{kind_of(item)} is no table: {exc}", hint=_HINT) from exc


def _row(item: object) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return row(item)
    raise FormError(f"a row is {kind_of(item)}, not a dict", hint=_HINT)


def row(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """
    Return one row with its values as `Chunk` has them.

    Raises:
        FormError: A value has no place in a row; names its key.
    """
    found: dict[str, Any] = {}
    for key, value in mapping.items():
        if type(value) in _PLAIN and type(key) is str:
            found[key] = value
            continue
        try:
            found[key if type(key) is str else str(key)] = native(value)
        except TypeError as exc:
            raise FormError(f"{key!r} holds {exc}", hint=_MEND) from exc
    return found


# -- tables ----------------------------------------------------------------------------


def _table(table: Any) -> list[dict[str, Any]]:
    return _rows(
        table.num_rows,
        {
            str(name): _column(str(name), table.column(i))
            for i, name in enumerate(table.schema.names)
        },
    )


def _rows(n_rows: int, columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    if not columns:
        return [{} for _ in range(n_rows)]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _column(name: str, array: Any) -> list[Any]:
    """Return an Arrow column (n values) as values of a `Chunk`."""
    type_ = array.type
    if type_ == JSON:
        texts = array.cast(pa.string()).to_pylist()
        return [None if text is None else decoded(text) for text in texts]
    if isinstance(type_, pa.ExtensionType):
        return _column(name, array.cast(type_.storage_type))
    if pa.types.is_timestamp(type_):
        return _instants(array)
    if pa.types.is_duration(type_) or pa.types.is_interval(type_):
        hint = "make it a number of seconds"
        raise FormError(f"{name!r} holds {type_}, which has no place in a row", hint=hint)
    if pa.types.is_time(type_):
        return list(array.cast(pa.string()).to_pylist())
    values: list[Any] = array.to_pylist()
    if _plain(type_):
        return values
    return [native(value) for value in values]


def _plain(type_: pa.DataType) -> bool:
    """Return whether `to_pylist` gives what a `Chunk` has."""
    is_ = pa.types
    return (
        is_.is_integer(type_)
        or is_.is_boolean(type_)
        or is_.is_string(type_)
        or is_.is_large_string(type_)
        or is_.is_date32(type_)
        or is_.is_null(type_)
    )


def _instants(array: Any) -> list[str | None]:
    """Return timestamps as RFC 3339 in UTC, with all their digits."""
    utc = array.cast(pa.timestamp(array.type.unit))
    with suppress(pa.ArrowInvalid):  # some are finer than a microsecond: these stay texts
        utc = utc.cast(pa.timestamp("us"))
    texts: Any = pc.replace_substring(utc.cast(pa.string()), " ", "T", max_replacements=1)
    return [None if text is None else f"{text}Z" for text in texts.to_pylist()]


def _frame(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a DataFrame; named levels of its index are columns, others go."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise FormError(f"the DataFrame has more than one column {name!r}")
    columns = {name: _series(name, frame.iloc[:, i]) for i, name in enumerate(names)}
    return _rows(len(frame), columns)


def _series(name: str, series: Any) -> list[Any]:
    dtype = str(series.dtype)
    try:
        if dtype.startswith("Sparse"):
            return _series(name, series.sparse.to_dense())
        if dtype == "object" or dtype.startswith("period"):
            return [native(value) for value in series]
        if dtype.startswith("float"):
            return _floats(series)
        return _column(name, pa.Array.from_pandas(series))
    except (TypeError, pa.ArrowException) as exc:
        raise FormError(f"{name!r}, a column of {dtype}: {exc}", hint=_MEND) from exc


def _floats(series: Any) -> list[Any]:
    """Return floats; where whole numbers stand beside NaN, they were integers beside NULLs."""
    values = [None if value != value else value for value in series.tolist()]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values) and all(
        value.is_integer() and abs(value) <= _WHOLE for value in numbers
    ):
        return [None if value is None else int(value) for value in values]
    return values
