"""Tables as JSON: one array of records, one record a line."""

from __future__ import annotations

import json
import os
import shutil
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.casting import plain
from api2db.core.errors import FileUnreadable
from api2db.core.values import digits, exact_number, instant_us
from api2db.files.codec_text import beyond_years, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: The kernels; their stubs know no scalars as arguments.
_kernel: Any = pc

#: Rows that are turned into text at a time.
_ROWS = 10_000
_WHITE = b" \t\r\n"
#: Bytes at either end of a file in which its array must begin and end.
_EDGE = 4096


def write(parts: Iterable[pa.Table], _schema: pa.Schema, file: IO[bytes]) -> None:
    """Write *parts* as one array; NULL is null, a column that a part lacks is left out."""
    file.write(b"[")
    _write_tables(parts, file, empty=True)


def extend(path: Path, tables: Sequence[pa.Table], file: IO[bytes]) -> None:
    """Copy the array in *path* up to its end, and add the rows of *tables*."""
    empty = not path.exists()
    if empty:
        file.write(b"[")
    else:
        with path.open("rb") as old:
            end, empty = _array_end(old, path)
            old.seek(0)
            shutil.copyfileobj(old, file, 1 << 20)
        file.seek(end)
        file.truncate()
    _write_tables(tables, file, empty=empty)


def read(path: Path) -> pa.Table:
    """Return the records as a table; a key that a record lacks is NULL there."""
    content = path.read_bytes()
    records = json.loads(content, parse_int=_integer, parse_float=_number, parse_constant=_refuse)
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise _no_array(path)
    names = dict.fromkeys(name for record in records for name in record)
    columns = [_column([record.get(name) for record in records]) for name in names]
    return pa.Table.from_arrays(columns, names=list(names))


def unfit(rows: pa.RecordBatch) -> dict[int, str]:
    """Return the rows with NaN, infinity, an instant without text, or JSON that is none."""
    bad = beyond_years(rows)
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_floating(column.type):
            odd = _kernel.invert(_kernel.is_finite(column).fill_null(True))
            found = _kernel.indices_nonzero(odd).to_pylist()
            bad |= dict.fromkeys(found, f"{name}: JSON has no NaN and no infinity")
        elif column.type == types.JSON:
            bad |= dict.fromkeys(_broken(column), f"{name}: this is not JSON")
    return bad


# -- writing -----------------------------------------------------------------------------


def _write_tables(tables: Iterable[pa.Table], file: IO[bytes], *, empty: bool) -> None:
    """Write records into an array that is open and *empty* or not, and close it."""
    for table in tables:
        _write_records(table, file, first=empty)
        empty = empty and not table.num_rows
    file.write(b"\n]\n")


def _write_records(table: pa.Table, file: IO[bytes], *, first: bool) -> None:
    names = table.column_names
    for start in range(0, table.num_rows, _ROWS):
        part = table.slice(start, _ROWS)
        columns = [_values(part.column(i)) for i in range(len(names))]
        for values in zip(*columns, strict=True):
            file.write(b"\n" if first else b",\n")
            file.write(orjson.dumps(dict(zip(names, values, strict=True))))
            first = False


def _values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """Return what orjson takes for each value."""
    if pa.types.is_null(column.type):
        return [None] * len(column)
    kind = types.kind_of(column.type)
    if kind in ("decimal", "json"):
        return [v if v is None else orjson.Fragment(v) for v in texts(column).to_pylist()]
    return (texts(column) if kind in ("datetime", "date") else column).to_pylist()


def _broken(column: pa.Array[Any]) -> Iterator[int]:
    for i, text in enumerate(column.to_pylist()):
        try:
            if text is not None:
                orjson.loads(text)
        except orjson.JSONDecodeError:
            yield i


def _array_end(file: IO[bytes], path: Path) -> tuple[int, bool]:
    """Return where the array's last record ends, and whether the array is empty."""
    head = file.read(_EDGE).lstrip(_WHITE)
    start = max(0, file.seek(0, os.SEEK_END) - _EDGE)
    file.seek(start)
    tail = file.read().rstrip(_WHITE)
    body = tail[:-1].rstrip(_WHITE)
    empty = start == 0 and body.strip(_WHITE) == b"["
    if not (head.startswith(b"[") and tail.endswith(b"]") and (empty or body.endswith(b"}"))):
        raise _no_array(path)
    return start + len(body), empty


def _no_array(path: Path) -> FileUnreadable:
    hint = "move it away, or mend it"
    return FileUnreadable(f"{path} holds no JSON array of records", hint=hint)


# -- reading -----------------------------------------------------------------------------


def _integer(text: str) -> int | Decimal:
    """Return an integer as such if it has 64 bits."""
    return int(text) if len(text) < 19 or -(2**63) <= int(text) < 2**63 else Decimal(text)


def _number(text: str) -> float | Decimal:
    """Return a number as a float if that keeps its digits."""
    exact, near = exact_number(text), float(text)
    if exact.is_infinite():
        raise ValueError(f"{text[:40]} is out of range")
    return near if exact == Decimal(repr(near)) else exact


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _column(values: list[Any]) -> Any:
    """Return *values* as an array of the type that holds them all as they are."""
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return pa.nulls(len(values))
    if kinds == {str}:
        micros = [None if v is None else instant_us(v) for v in values]
        if all(us is not None or v is None for us, v in zip(micros, values, strict=True)):
            return pa.array(micros, pa.int64()).cast(types.arrow_type("datetime"))
        return pa.array(values, pa.string())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    number = _number_type(values) if kinds <= {int, float, Decimal} else None
    if number is None:
        dumps = (None if v is None else orjson.dumps(v, default=_fragment) for v in values)
        text = pa.array([None if v is None else v.decode() for v in dumps], pa.string())
        return pa.ExtensionArray.from_storage(types.JSON, text)
    if pa.types.is_decimal(number):
        values = [None if v is None else _decimal(v) for v in values]
    return pa.array(values, number)


def _number_type(values: list[Any]) -> pa.DataType | None:
    """Return the type of numbers that holds *values* exactly, None if none does."""
    ints = [v for v in values if type(v) is int]
    others = [v for v in values if v is not None and type(v) is not int]
    if not others:
        return pa.int64()
    if all(type(v) is float for v in others) and all(abs(v) <= types.EXACT_INT for v in ints):
        return pa.float64()
    sizes = [digits(_decimal(v)) or (77, 0) for v in values if v is not None]
    return types.decimal_for(max(w for w, _ in sizes), max(s for _, s in sizes))


def _decimal(number: float | Decimal) -> Decimal:
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def _fragment(value: object) -> orjson.Fragment:
    """Return what orjson does not know by itself: a number with more digits than a float's."""
    return orjson.Fragment(plain(value).encode())
