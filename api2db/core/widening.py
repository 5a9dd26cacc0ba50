"""Which type a column takes when values of another type come."""

from __future__ import annotations

import pyarrow as pa

from api2db.core.types import JSON, arrow_type, decimal_for, digits_of, kind_of

_INT_DIGITS = pa.decimal128(19, 0)
_TEXTUAL = frozenset({"bool", "datetime", "date", "str"})


def widen(old: pa.DataType, new: pa.DataType, *, big: bool = False) -> pa.DataType | None:
    """
    Return the type that a column of type *old* takes so that it holds values of type *new*.

    The rules (kinds; every other pair gives None: the value does not fit the column)::

        the same          the same; decimals take the digits of both
        null              the other one
        int + float       float, or decimal if *big*
        int + decimal     decimal
        float + int       float (an integer that is not exact there does not fit)
        decimal + int, float    decimal
        bool, datetime, date + any other scalar    str
        str + any scalar  str
        any + json, json + any    json

    The order matters: a column of integers does not become text because a text comes.

    Args:
        old: Type of the column.
        new: Type of what comes.
        big: Whether *old* or *new* holds integers beyond 2^53 in size, which a float64
            would not keep.
    """
    if pa.types.is_null(old) or pa.types.is_null(new):
        return new if pa.types.is_null(old) else old
    a, b = kind_of(old), kind_of(new)
    if "json" in (a, b):
        return JSON
    if a in _TEXTUAL:
        return arrow_type(a if a == b else "str")
    if "decimal" in (a, b) or (big and (a, b) == ("int", "float")):
        return _wider_decimal(old, new)
    return arrow_type(b if a == "int" else a) if {a, b} <= {"int", "float"} else None


def _wider_decimal(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    a, b = kind_of(old), kind_of(new)
    if b == "float":  # its values are looked at one by one
        return old if a == "decimal" else _both_decimals(_INT_DIGITS, arrow_type("decimal"))
    if not {a, b} <= {"int", "decimal"}:
        return None
    return _both_decimals(*(_INT_DIGITS if kind_of(t) == "int" else t for t in (old, new)))


def _both_decimals(old: pa.DataType, new: pa.DataType) -> pa.DataType | None:
    (p, s), (q, t) = digits_of(old), digits_of(new)
    if s >= t and p - s >= q - t:
        return old
    return decimal_for(max(p - s, q - t), max(s, t))
