"""A key for a typed row that stays the same while its columns are widened."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.types import JSON
from api2db.core.values import instant_us

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_SEPARATOR, _PAIR = "\x1e", "\x1f"


def row_keys(batch: pa.RecordBatch) -> list[bytes]:
    """
    Return a 16-byte key for each row of *batch* (n rows x k columns of the types of `types`).

    Two rows have the same key if they hold the same values in the same columns, in
    whichever of a column's types: 5 and 5.0 are the same, an instant is its RFC 3339 text,
    true is ``true``, a text is the JSON string of it; a missing column is NULL; the order
    of columns and of keys in JSON does not matter. Numbers that are not whole are compared
    as float64.

    Called rarely: by a poll that begins again, to leave out the rows that it holds.
    """
    rows: list[list[str]] = [[] for _ in range(batch.num_rows)]
    for name, column in sorted(
        zip(batch.schema.names, batch.columns, strict=True), key=lambda pair: pair[0]
    ):
        write = _writer(column.type)
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("us", "UTC")).cast(pa.int64())  # noqa: PLW2901
        values = column.storage if isinstance(column, pa.ExtensionArray) else column
        for row, value in zip(rows, values.to_pylist(), strict=True):
            if value is not None and (text := write(value)) is not None:
                row.append(f"{name}{_PAIR}{text}")
    return [
        hashlib.blake2b(
            _SEPARATOR.join(row).encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()
        for row in rows
    ]


def _writer(type_: pa.DataType) -> Callable[..., str | None]:
    if type_ == JSON:
        return _json
    if pa.types.is_timestamp(type_):
        return _instant
    return _scalar


def _instant(us: int) -> str:
    return f"t{us}"


def _json(text: str) -> str | None:
    try:
        value = json.loads(text, parse_float=_decimal)
    except (ValueError, RecursionError):
        return f"s{text}"
    return None if value is None else _scalar(value)


def _decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


def _scalar(value: object) -> str:
    """Return the canonical text of a value that is not null; its first letter is its kind."""
    match value:
        case bool():
            return "btrue" if value else "bfalse"
        case str():
            return _text(value)
        case int() | float() | Decimal():
            return f"n{_number(value)}"
        case datetime() | date():
            return _text(value.isoformat())
        case list():
            return "[" + ",".join("z" if x is None else _scalar(x) for x in value) + "]"
        case dict():
            items = sorted((k, "z" if v is None else _scalar(v)) for k, v in value.items())
            return "{" + ",".join(f"{json.dumps(k)}:{v}" for k, v in items) + "}"
    return f"s{value!r}"


def _text(text: str) -> str:
    if text in ("true", "false"):
        return f"b{text}"
    if _NUMBER.fullmatch(text):
        return f"n{_number(_decimal(text))}"
    instant = instant_us(text)
    return f"s{text}" if instant is None else _instant(instant)


def _number(number: float | Decimal | str) -> str:
    if isinstance(number, int):
        return str(Decimal(number))
    if isinstance(number, float):
        number = Decimal(repr(number))  # what its JSON text says, not its exact binary value
    if isinstance(number, str) or not number.is_finite() or abs(number.adjusted()) > 400:
        return str(number)
    if number == number.to_integral_value():
        return str(Decimal(int(number)))
    nearest = float(number)
    return str(Decimal(int(nearest))) if nearest.is_integer() else repr(nearest)
