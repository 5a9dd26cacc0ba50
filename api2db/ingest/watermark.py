"""How far a source has been read: the order of `since` values, and the value to send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from api2db.core.errors import FormError
from api2db.core.values import EPOCH, INSTANT

if TYPE_CHECKING:
    from api2db.ingest.form_path import Path

_canonical = msgspec.json.Encoder(order="deterministic").encode

#: What an API may write in the `since` field: kept, stored and sent as it wrote it.
Value: TypeAlias = str | int | float | None

#: (0, number), (1, nanoseconds since the epoch) or (2, text): a total order.
Key: TypeAlias = tuple[int, Decimal | int | str]


@dataclass(frozen=True, slots=True)
class Since:
    """
    How a collector asks for what is new.

    Attributes:
        initial: Value of the very first request; None leaves the parameter out.
        lag: How far to reach back, in seconds for instants, in units for numbers.
    """

    initial: Value = None
    lag: float = 0.0

    def after(self, greatest: Value) -> Value:
        """Return the value to send when *greatest* was seen; raises as `minus`."""
        return self.initial if greatest is None else minus(greatest, self.lag)


def value_of(path: Path, row: object) -> Value:
    """Return what lies at *path* in a decoded row; what has no order, as its JSON."""
    try:
        value = path.search(row)
    except ValueError:
        return None
    if value is None or type(value) in (str, int, float):
        return value  # type: ignore[no-any-return]
    if type(value) is Decimal:  # a number beyond the range of a float
        return None
    return _canonical(value).decode()


def instant_ns(text: str) -> int | None:
    """Return the instant that RFC 3339 *text* names, in epoch nanoseconds, else None."""
    match = INSTANT.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
    except ValueError:
        return None
    seconds = (moment - EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))


def key(value: Value) -> Key | None:
    """
    Return what orders *value*: numbers as numbers, RFC 3339 as instants, the rest as text.

    Null has no place in the order: None.
    """
    if value is None:
        return None
    if isinstance(value, str):
        instant = instant_ns(value)
        return (2, value) if instant is None else (1, instant)
    if isinstance(value, (bool, list, dict)):
        return (2, str(value))
    return (0, Decimal(str(value)))


def later(a: Value, b: Value) -> Value:
    """Return the greater of two values, in the form in which the API wrote it."""
    first, second = key(a), key(b)
    if first is None or second is None:
        return b if first is None else a
    return b if second > first else a


def minus(value: Value, lag: float) -> Value:
    """
    Return *value* moved back by *lag*: units for numbers, seconds for instants.

    An instant keeps its zone and its number of fractional digits.

    Raises:
        FormError: *value* is a text that is no instant: nothing can be subtracted.
    """
    if not lag or value is None:
        return value
    if isinstance(value, str):
        return _earlier(value, lag)
    moved = Decimal(str(value)) - Decimal(str(lag))
    return int(moved) if moved == moved.to_integral_value() else float(moved)


def _earlier(text: str, lag: float) -> str:
    match = INSTANT.fullmatch(text)
    instant = instant_ns(text)
    if match is None or instant is None:
        raise FormError(
            f"since: {text[:40]!r} is neither a number nor an RFC 3339 time",
            hint="remove 'lag', or name a field that holds numbers or times",
        )
    fraction, zone = match.group(3), match.group(4)
    seconds, rest = divmod(instant - round(lag * 1e9), 1_000_000_000)
    offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone.upper()}").tzinfo
    moment = (EPOCH + timedelta(seconds=seconds)).astimezone(offset)
    digits = f".{rest:09d}"[: len(fraction) + 1] if fraction else ""
    return f"{moment:%Y-%m-%d}{text[10]}{moment:%H:%M:%S}{digits}{zone}"


def text(value: Value) -> str | None:
    """Return *value* as it goes into a query parameter; None is left out."""
    return None if value is None else str(value)
