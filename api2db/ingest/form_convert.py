"""From the values of one column, as JSON decodes, to an Arrow array: strictly, never by guess."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.types import JSON, arrow_type, decimal_for, kind_of
from api2db.core.values import day_of, digits, instant_us, json_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

Array: TypeAlias = "pa.Array[Any]"

#: What pyarrow raises for a value that does not fit an array's type.
MISFIT = (ValueError, TypeError, OverflowError)

#: As RFC 3339, but for lower-case letters: those take the slow way.
_INSTANTS = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)$"
_DATES = r"^\d{4}-\d\d-\d\d$"
#: In microseconds since the epoch.
YEAR_1 = -62_135_596_800_000_000
YEAR_10000 = 253_402_300_800_000_000

#: What an integer column holds.
INT64 = range(-(2**63), 2**63)
_DATETIME = arrow_type("datetime")


class Misfit(Exception):
    """A value does not fit its column; the message says why, without the value."""


@dataclass(frozen=True, slots=True)
class Converted:
    """
    One column of a page.

    Attributes:
        array: n values; NULL where a value does not fit.
        misfits: Position of each value that does not fit, and why.
    """

    array: Array
    misfits: dict[int, str] = field(default_factory=dict)


def bulk(type_: pa.DataType, values: list[Any]) -> Array:
    """
    Return *values* (n) as an array, at the speed of C.

    Values must be of the Python types that `TYPED` gives for the kind, or None; those of a
    JSON column are `msgspec.Raw` or bytes.

    Raises:
        ValueError, TypeError, OverflowError: A value does not fit (`MISFIT`).
    """
    kind = kind_of(type_)
    if kind == "json":
        return json_array(values)
    if kind == "datetime":
        return _instants(values)
    if kind == "date":
        return _days(values)
    return pa.array(values, type_)


def json_array(raws: Sequence[Any]) -> Array:
    """Return the JSON of n values as a column; JSON's null is NULL. Raises ValueError."""
    texts: list[bytes | None] = list(map(bytes, raws))
    if b"null" in texts:
        texts = [None if text == b"null" else text for text in texts]
    return pa.ExtensionArray.from_storage(JSON, pa.array(texts, pa.binary()).cast(pa.string()))


def _instants(values: list[Any]) -> Array:
    texts = pa.array(values, pa.string())
    if not _all(pc.match_substring_regex(texts, _INSTANTS)):
        raise ValueError("not all are RFC 3339")
    instants = texts.cast(_DATETIME)
    least, most = span(instants.cast(pa.int64()))
    if least < YEAR_1 or most >= YEAR_10000:
        raise ValueError("outside the years 1 to 9999")
    return instants


def span(integers: Array) -> tuple[int, int]:
    """Return the least and the greatest of n integers; 0, 0 if there are none."""
    found: Any = pc.min_max(integers).as_py()
    return found["min"] or 0, found["max"] or 0


def _days(values: list[Any]) -> Array:
    texts = pa.array(values, pa.string())
    if not _all(pc.match_substring_regex(texts, _DATES)):
        raise ValueError("not all are dates")
    if any(text is not None and text.startswith("0000") for text in values):
        raise ValueError("outside the years 1 to 9999")
    return texts.cast(pa.date32())


def _all(matches: Any) -> bool:
    """Return whether all that are not NULL are true."""
    return pc.all(matches, min_count=0).as_py() is not False


# -- one by one ------------------------------------------------------------------------


def _integer(value: Any) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int:
        raise Misfit(f"is {_described(value)}, not a whole number")
    if value not in INT64:
        raise Misfit("is a number beyond 64 bits; the type decimal holds it")
    return value


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) not in (int, Decimal):
        raise Misfit(f"is {json_kind(value)}, not a number")
    try:
        nearest = float(value)
    except OverflowError:
        nearest = float("inf")
    if isinf(nearest):
        raise Misfit("is a number beyond the range of a float; the type decimal holds 76 digits")
    if nearest != value:
        raise Misfit("is a number that a float cannot hold; the type decimal holds more digits")
    return nearest


def _bool(value: Any) -> bool:
    if type(value) is not bool:
        raise Misfit(f"is {json_kind(value)}, not true or false")
    return value


def _str(value: Any) -> str:
    if type(value) is not str:
        raise Misfit(f"is {json_kind(value)}, not a string")
    return value


def _datetime(value: Any) -> int:
    instant = instant_us(_str(value))
    if instant is None:
        raise Misfit("is no RFC 3339 time with a zone, at most microseconds fine")
    return instant


def _date(value: Any) -> date:
    day = day_of(_str(value))
    if day is None:
        raise Misfit("is no date like 2018-02-07")
    return day


def _decimal(value: Any) -> Decimal:
    """Return a number, or a number in a string, with all its digits."""
    if type(value) not in (int, float, str, Decimal):
        raise Misfit(f"is {json_kind(value)}, not a number")
    try:
        number = Decimal(repr(value) if type(value) is float else value)
    except InvalidOperation:
        number = Decimal("NaN")
    size = digits(number)
    if size is None:
        raise Misfit("holds no finite number")
    if decimal_for(*size) is None:
        raise Misfit("is a number with too many digits for a decimal of 76")
    return number


def _json(value: Any) -> bytes | None:
    text = bytes(value)
    try:
        text.decode()
    except UnicodeDecodeError as exc:
        raise Misfit("is not UTF-8") from exc
    return None if text == b"null" else text


def _described(value: Any) -> str:
    if type(value) is float:
        return "an infinite number" if isinf(value) else "a number with a fraction"
    far = type(value) is Decimal and isinf(value)
    return "a number beyond 64 bits" if far else json_kind(value)


_ONE: dict[str, Callable[[Any], Any]] = {
    "int": _integer,
    "float": _float,
    "bool": _bool,
    "str": _str,
    "datetime": _datetime,
    "date": _date,
    "decimal": _decimal,
    "json": _json,
}

#: Python types of the values that `bulk` may be given, None aside.
TYPED: dict[str, frozenset[type]] = {
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "bool": frozenset({bool}),
    "str": frozenset({str}),
    "datetime": frozenset({str}),
    "date": frozenset({str}),
    "decimal": frozenset({int, Decimal}),
    "json": frozenset({bytes, msgspec.Raw}),
}


def convert(type_: pa.DataType, values: list[Any], *, typed: bool = False) -> Converted:
    """
    Return *values* (n, any that JSON decodes to) as a column of *type_*.

    A decimal column gets more digits than *type_* has where a value needs them.

    Args:
        type_: Of the column.
        values: What the rows hold there.
        typed: Whether the values are known to be of the types in `TYPED`.
    """
    kind = kind_of(type_)
    if typed or set(map(type, values)) - {type(None)} <= TYPED[kind]:
        try:
            return Converted(bulk(type_, values))
        except MISFIT:
            pass  # one by one, to tell which
    one = _ONE[kind]
    fitting: list[Any] = []
    misfits: dict[int, str] = {}
    for i, value in enumerate(values):
        try:
            fitting.append(None if value is None else one(value))
        except Misfit as exc:
            misfits[i] = str(exc)
            fitting.append(None)
    if kind == "decimal":
        return Converted(*decimal_array(type_, fitting, misfits))
    if kind == "json":
        nothing = [b"null" if text is None else text for text in fitting]
        return Converted(json_array(nothing), misfits)
    return Converted(pa.array(fitting, type_), misfits)


def decimal_array(
    type_: pa.DataType, numbers: list[Decimal | None], misfits: dict[int, str]
) -> tuple[Array, dict[int, str]]:
    """
    Return *numbers* as decimals with the digits of *type_*, and more where they need more.

    A number for which 76 digits would not do, beside the others, becomes a misfit.
    """
    assert pa.types.is_decimal(type_)
    whole, scale = type_.precision - type_.scale, type_.scale
    for i, number in enumerate(numbers):
        size = None if number is None else digits(number)
        if size is None or (size[0] <= whole and size[1] <= scale):
            continue
        wider = decimal_for(max(whole, size[0]), max(scale, size[1]))
        if wider is None:
            numbers[i] = None
            misfits[i] = "is a number with more digits than the column has room for"
            continue
        type_ = wider
        assert pa.types.is_decimal(wider)
        whole, scale = wider.precision - wider.scale, wider.scale
    return pa.array(numbers, type_), misfits
