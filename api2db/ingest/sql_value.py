"""Values of a keyset: as text in a checkpoint, as `since` values, and back for the database."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api2db.core.errors import FormError
from api2db.core.values import float_or_exact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api2db.ingest.watermark import Value

#: A time without a zone, as SQLite keeps it in a text.
_NAIVE = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MIDNIGHT = "T00:00:00Z"

#: How each type is written into a checkpoint, and read back.
_TEXT: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    bool: ("bool", bool, bool),
    int: ("int", int, int),
    float: ("float", float.hex, float.fromhex),
    str: ("str", str, str),
    Decimal: ("decimal", str, Decimal),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    UUID: ("uuid", str, UUID),
    bytes: ("bytes", bytes.hex, bytes.fromhex),
}
_READ = {name: read for name, _, read in _TEXT.values()}


def dump(values: Sequence[Any]) -> str:
    """
    Return a keyset as text; `load` returns equal values.

    Raises:
        FormError: A value is of a type that cannot be a key.
    """
    found = []
    for value in values:
        kind = next((kind for kind in _TEXT if isinstance(value, kind)), None)
        if kind is None:
            hint = "name columns of numbers, texts, dates, times or UUIDs as 'key'"
            raise FormError(f"a {type(value).__name__} cannot be a key", hint=hint)
        name, write, _ = _TEXT[kind]
        found.append([name, write(value)])
    return json.dumps(found)


def load(text: str) -> list[Any]:
    """Undo `dump`."""
    return [_READ[name](value) for name, value in json.loads(text)]


def since_of(value: Any) -> Value:
    """
    Return a value of the cursor column as a poll compares it: a number or RFC 3339 text.

    Raises:
        FormError: It has no such order.
    """
    match value:
        case None:
            return None
        case bool():
            pass
        case int() | float():
            return value
        case Decimal():
            near = int(value) if value == value.to_integral_value() else float(value)
            if Decimal(repr(near)) == value:
                return near
        case datetime():
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
        case date():
            return f"{value.isoformat()}{_MIDNIGHT}"
        case str():
            if _NAIVE.fullmatch(value):
                return f"{value}Z"
            return f"{value}{_MIDNIGHT}" if _DAY.fullmatch(value) else value
    raise FormError(
        f"since: a {type(value).__name__} such as this has no order to go by",
        hint="name a column of whole numbers, dates or times",
    )


def from_sqlite(value: Any, type_: str) -> Any:
    """
    Return a value of SQLite, which knows few types, as one of *type_*; else as it is.

    Args:
        type_: Name of the type that the column was declared with.
    """
    with suppress(ValueError, ArithmeticError):
        match type_, value:
            case "bool", 0 | 1:
                return bool(value)
            case "datetime" | "date", str() if _NAIVE.fullmatch(value):
                return f"{value[:10]}T{value[11:]}Z"
            case "date", str() if _DAY.fullmatch(value):
                return date.fromisoformat(value)
            case "json", str():
                return json.loads(value, parse_float=float_or_exact)
            case _, int() | float() | str() if type_.startswith("decimal"):
                return Decimal(str(value))
    return value


def for_database(text: str, like: Any) -> Any:
    """
    Return what a poll sends as its `since` in the type of the column.

    Args:
        like: Any value of the column that is not NULL.

    Raises:
        FormError: *text* is not of that type.
    """
    try:
        match like:
            case datetime():
                moment = datetime.fromisoformat(text)
                return moment if like.tzinfo else moment.replace(tzinfo=None)
            case date():
                return date.fromisoformat(text[:10])
            case Decimal():
                return Decimal(text)
            case int() | float():
                number = Decimal(text)
                return int(number) if number == number.to_integral_value() else float(number)
            case str() if _NAIVE.fullmatch(like):
                return f"{text[:10]}{like[10]}{text[11:].removesuffix('Z')}"
            case str() if _DAY.fullmatch(like):
                return text[:10]
    except (ValueError, ArithmeticError) as exc:
        hint = "check 'since': 'initial' is a value as the column has it"
        raise FormError(f"since: {text[:40]!r} is no {type(like).__name__}", hint=hint) from exc
    return text
