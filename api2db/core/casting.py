"""Values of one type as values of a wider one: what `widening` promises, done."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.errors import ConfigError
from api2db.core.types import JSON, arrow_type, kind_of, name_of


def cast(array: pa.Array[Any], to: pa.DataType) -> pa.Array[Any]:
    """
    Return *array* (n values) as type *to*, to which it was widened; nothing is lost.

    Booleans become ``true`` and ``false``, instants ISO 8601 in UTC with a Z and as many
    fractional digits as they need (none, 3 or 6), dates ISO 8601; in JSON they are strings.
    NULL stays NULL.

    Raises:
        pa.ArrowInvalid: A value does not fit, such as an integer beyond 2^53 into a float.
        ConfigError: *to* is no widening of the array's type.
    """
    old = array.type
    if old == to:
        return array
    if pa.types.is_null(old):
        return pa.array([None] * len(array), to)
    a, b = kind_of(old), kind_of(to)
    if b == "json":
        return pa.ExtensionArray.from_storage(JSON, _json(array, a))
    if b == "str" and a in ("bool", "datetime", "date"):
        return _text(array, a)
    if a == b or (a, b) in (("int", "float"), ("int", "decimal")):
        return array.cast(to)
    raise ConfigError(f"{name_of(old)} does not widen to {name_of(to)}")


def _text(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Return booleans, instants or dates as text."""
    if kind != "datetime":
        return array.cast(pa.string())
    # Three times as fast as strftime; all six fractional digits are printed.
    spaced: Any = array.cast(arrow_type("datetime")).cast(pa.timestamp("us")).cast(pa.string())
    full: Any = pc.replace_substring(spaced, " ", "T", max_replacements=1)
    short: Any = pc.replace_substring_regex(full, r"\.000000$", "")
    short = pc.replace_substring_regex(short, r"(\.\d\d\d)000$", r"\1")
    zoned: pa.Array[Any] = pc.replace_substring_regex(short, "$", "Z")
    return zoned


def _json(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Return scalars as JSON text."""
    if kind in ("int", "bool"):
        return array.cast(pa.string())
    if kind in ("datetime", "date"):
        array = _text(array, kind)
    write = {"decimal": plain, "float": _digits}.get(kind, _dumps)
    return pa.array([None if x is None else write(x) for x in array.to_pylist()], pa.string())


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _digits(number: float) -> str:
    """Return what `_dumps` does, three times as fast."""
    return repr(number) if isfinite(number) else _dumps(number)


def plain(number: Any) -> str:
    """Return a `decimal.Decimal` as digits, without an exponent or zeros at the end."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
