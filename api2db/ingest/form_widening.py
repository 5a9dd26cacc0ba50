"""One inferred column: what its values make of its type, by the widening rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from math import inf, isinf
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.casting import plain
from api2db.core.types import EXACT_INT, JSON, arrow_type, decimal_for, kind_of
from api2db.core.values import digits, json_kind
from api2db.core.widening import widen
from api2db.ingest.form_convert import (
    INT64,
    MISFIT,
    YEAR_1,
    YEAR_10000,
    Converted,
    bulk,
    convert,
    decimal_array,
    json_array,
    span,
)
from api2db.ingest.form_table import LEAF

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api2db.ingest.form_convert import Array

_INT, _FLOAT, _BOOL = arrow_type("int"), arrow_type("float"), arrow_type("bool")
_STR, _DATETIME = arrow_type("str"), arrow_type("datetime")
_WHOLE, _DECIMAL = arrow_type("decimal(38,0)"), arrow_type("decimal")
_DATE = arrow_type("date")
_NONE = type(None)
_CONTAINERS = {dict, list}
_NUMBERS = {int, float, Decimal}
#: What Python code and databases bring, and JSON does not.
_NATIVE = {date, Decimal}

#: Python code and databases have them.
_INFINITE = (inf, -inf)
_NO_JSON = "is an infinite number, which JSON does not have"

_text = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is remembered of a column.

    Attributes:
        type: Its type; None while all its values were null: the column is not made yet.
        big: Whether it has held integers beyond 2^53, which a float would not keep.
    """

    type: pa.DataType | None = None
    big: bool = False


def leaf(known: Known) -> Any:
    """Return what msgspec decodes for a column; `array_of` takes it."""
    if known.type is None:
        return None
    kind = kind_of(known.type)
    return LEAF["float"] if kind == "decimal" else LEAF[kind]


def column(
    known: Known, values: Sequence[Any], raws: Callable[[], list[Any]], *, evolve: bool
) -> tuple[Known, Converted | None]:
    """
    Return what is known of a column after a page, and the page's values.

    Args:
        known: What was known before.
        values: n decoded values; None for null and for nothing.
        raws: Returns the same values as JSON; called for a JSON column only.
        evolve: Whether a type that is known may widen.

    Returns:
        None for the values if all have been null so far: there is no column yet.
    """
    types = set(map(type, values)) - {_NONE}
    if known.type is None and not types:
        return known, None
    big = known.big or any(type(v) is int and not -EXACT_INT <= v <= EXACT_INT for v in values)
    if known.type is None:
        type_ = _first(types, values, big=big)
    else:
        type_ = _widened(known.type, types, values, big=big) if evolve else known.type
    converted = _converted(type_, types, values, raws)
    type_ = converted.array.type  # decimals may have got more digits
    return Known(type_, big and type_ == _INT), converted


def _classes(types: set[type], values: Any) -> list[pa.DataType]:
    """Return the types of the values, each kind for itself, in the order to widen by."""
    found: list[pa.DataType] = []
    if bool in types:
        found.append(_BOOL)
    if int in types:
        outside = any(type(v) is int and v not in INT64 for v in values)
        found.append(_WHOLE if outside else _INT)
    if float in types:
        found.append(_FLOAT)
    if Decimal in types:
        found.append(_DECIMAL)
    if date in types:
        found.append(_DATE)
    if str in types:
        texts = [v for v in values if type(v) is str]
        found.append(_DATETIME if _are_instants(texts) else _STR)
    if types & _CONTAINERS:
        found.append(JSON)
    return found


def _first(types: set[type], values: Any, *, big: bool) -> pa.DataType:
    """Return the type of a column by its first values (some are not null)."""
    classes = _classes(types, values)
    if JSON in classes:
        return JSON
    if len(classes) == 1:
        return classes[0]
    if types <= _NUMBERS:
        return _DECIMAL if big or Decimal in types else _FLOAT
    return _STR


def _widened(type_: pa.DataType, types: set[type], values: Any, *, big: bool) -> pa.DataType:
    """Return what *type_* widens into for these values; those that it never holds aside."""
    for new in _classes(types, values):
        if new == _DECIMAL and kind_of(type_) == "decimal":
            continue  # it takes the digits that its values need
        type_ = widen(type_, new, big=big) or type_
    return type_


def _converted(
    type_: pa.DataType, types: set[type], values: Any, raws: Callable[[], list[Any]]
) -> Converted:
    kind = kind_of(type_)
    if kind == "json":
        infinite = {i: _NO_JSON for i, v in enumerate(values) if type(v) is float and isinf(v)}
        return Converted(json_array(raws()), infinite)
    if kind == "str":
        return _texts(values)
    if kind == "decimal":
        return _decimals(type_, values)
    if not types.isdisjoint(_NATIVE):
        values = [_plainly(value, kind) for value in values]
    return convert(type_, list(values))


def _plainly(value: Any, kind: str) -> Any:
    """Return a date or decimal of Python code as JSON would have it, for a column of *kind*."""
    if type(value) is date:
        return value.isoformat()
    if type(value) is Decimal and kind == "float" and _exactly(float(value)) == value:
        return float(value)
    return value


def _texts(values: Any) -> Converted:
    """Return scalars as text: strings as they are, others as JSON."""
    texts: list[str | None] = []
    misfits: dict[int, str] = {}
    for i, value in enumerate(values):
        if value is None or type(value) is str:
            texts.append(value)
        elif type(value) in _CONTAINERS:
            misfits[i] = f"is {json_kind(value)}, and the column is text"
            texts.append(None)
        elif type(value) is date:
            texts.append(value.isoformat())
        elif value in _INFINITE:
            misfits[i] = f"{_NO_JSON}, and the column is text"
            texts.append(None)
        elif type(value) is Decimal:
            texts.append(str(value) if isinf(value) else plain(value))
        else:
            texts.append(_text(value).decode())
    return Converted(pa.array(texts, _STR), misfits)


def _decimals(type_: pa.DataType, values: Any) -> Converted:
    numbers: list[Decimal | None] = []
    misfits: dict[int, str] = {}
    for i, value in enumerate(values):
        number = None
        if value is not None and type(value) not in _NUMBERS:
            misfits[i] = f"is {json_kind(value)}, not a number"
        elif value is not None:
            number = _exactly(value)
            size = digits(number)
            if size is None or decimal_for(*size) is None:
                number = None
                misfits[i] = "is a number with too many digits for a decimal of 76"
        numbers.append(number)
    return Converted(*decimal_array(type_, numbers, misfits))


def _exactly(value: float | Decimal) -> Decimal:
    return Decimal(repr(value)) if type(value) is float else Decimal(value)


def array_of(type_: pa.DataType, values: list[Any]) -> Array:
    """Return what was decoded as `_leaf` says; raises `MISFIT` if a value does not fit."""
    if pa.types.is_decimal(type_):
        values = [None if v is None else _exactly(v) for v in values]
    return bulk(type_, values)


def exactly(type_: pa.DataType, column: Any) -> Array | None:
    """
    Return an Arrow column (n values) as *type_*, if it is of that type, but for its unit of time.

    None also where JSON would not hold a value: an infinite number, a year beyond 9999.
    """
    array: Array = column.combine_chunks()
    if pa.types.is_timestamp(type_) and pa.types.is_timestamp(array.type):
        try:
            array = array.cast(type_)
        except pa.ArrowInvalid:  # finer than a microsecond
            return None
        within = span(array.cast(pa.int64()))
        return array if within[0] >= YEAR_1 and within[1] < YEAR_10000 else None
    if array.type != type_:
        return None
    finite = not pa.types.is_floating(type_) or pc.all(pc.is_finite(array), min_count=0).as_py()
    return array if finite is not False else None


def _are_instants(texts: list[str]) -> bool:
    try:
        bulk(_DATETIME, texts)
    except MISFIT:
        return not convert(_DATETIME, texts).misfits
    return True


def is_big(array: Array) -> bool:
    """Return whether n integers hold one beyond 2^53 in size."""
    least, most = span(array)
    return least < -EXACT_INT or most > EXACT_INT
