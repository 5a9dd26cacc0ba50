"""What single JSON values are: instants, dates, numbers with exact digits, names for people."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from math import isinf

#: RFC 3339 section 5.6, `date-time`: day, time, fraction, zone; a space for the T is allowed
#: there too.
INSTANT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
#: 0001-01-01T00:00:00Z and 10000-01-01T00:00:00Z, in seconds since the epoch.
_FIRST, _END = -62_135_596_800, 253_402_300_800

_JSON_KIND = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    Decimal: "a number",
    dict: "an object",
    list: "an array",
    type(None): "null",
}


def json_kind(value: object) -> str:
    """Return what a decoded JSON value is, for a person: ``a string``, ``an array`` ..."""
    return _JSON_KIND.get(type(value), type(value).__name__)


def instant_us(text: str) -> int | None:
    """
    Return the instant that RFC 3339 *text* names, in epoch microseconds.

    None if it names none, has no zone, is finer than a microsecond, is a leap second, or
    lies outside the years 1 to 9999 in UTC: nothing is rounded, nothing guessed.
    """
    match = INSTANT.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > 6:
        return None
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}+00:00")
        shift = datetime.fromisoformat(f"2000-01-01T00:00:00{zone.upper()}").utcoffset()
    except ValueError:
        return None
    assert shift is not None
    seconds = (moment - EPOCH) // _SECOND - shift // _SECOND
    if not _FIRST <= seconds < _END:
        return None
    return seconds * 1_000_000 + int(fraction.ljust(6, "0"))


def day_of(text: str) -> date | None:
    """Return the date that ``YYYY-MM-DD`` text names, else None."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def exact_number(text: str) -> Decimal:
    """Return a JSON number with all its digits; infinity if a Decimal has no room for it."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("Infinity")


def float_or_exact(text: str) -> float | Decimal:
    """Return a JSON number with a fraction or an exponent; a Decimal if it is beyond all floats."""
    nearest = float(text)
    return exact_number(text) if isinf(nearest) else nearest


def digits(number: Decimal) -> tuple[int, int] | None:
    """
    Return how many digits *number* has before and behind the point, zeros at the end aside.

    None for NaN and infinity.
    """
    _, figures, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return None
    if not any(figures):
        return 0, 0
    zeros = 0
    while figures[-1 - zeros] == 0:
        zeros += 1
    exponent += zeros
    return max(len(figures) - zeros + exponent, 0), max(-exponent, 0)
