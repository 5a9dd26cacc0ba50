"""Instants, dates and digits: exact, or nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.values import day_of, digits, instant_us


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_an_instant_is_the_same_in_every_zone(moment: datetime, minutes: int) -> None:
    """Whatever the offset, the microsecond since the epoch is exact."""
    whole = moment.replace(microsecond=0)
    seconds = int((whole - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    sign, (h, m) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    local = moment.replace(tzinfo=None) + timedelta(minutes=minutes)
    text = f"{local.isoformat()}{sign}{h:02}:{m:02}"
    assert instant_us(text) == seconds * 1_000_000 + moment.microsecond


@pytest.mark.parametrize(
    "text",
    [
        "2018-02-07T01:49:14",
        "2018-02-07",
        "2018-02-07T01:49Z",
        "2018-02-07T01:49:14.Z",
        "2018-02-07T01:49:14.1234567Z",
        "2018-02-07T01:49:60Z",
        "2018-02-30T01:49:14Z",
        "2018-02-07T24:00:00Z",
        "2018-02-07T01:49:14+0100",
        "2018-02-07T01:49:14+24:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠١٨-02-07T01:49:14Z",
        " 2018-02-07T01:49:14Z",
        "2018-02-07T01:49:14Z\n",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    """Without a zone, finer than microseconds, out of range, or not RFC 3339 at all."""
    assert instant_us(text) is None


def test_zeros_beyond_microseconds_lose_nothing() -> None:
    """Nine digits are fine if the last three say nothing."""
    assert instant_us("1970-01-01T00:00:00.123456000Z") == 123456


def test_dates() -> None:
    """Ten characters that name a day."""
    assert day_of("2018-02-07") == date(2018, 2, 7)
    assert [day_of(t) for t in ("2018-02-30", "20180207", "0000-01-01", "2018-02-07T")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0", (0, 0)),
        ("0.000", (0, 0)),
        ("1500", (4, 0)),
        ("1.500", (1, 1)),
        ("-0.05", (0, 2)),
        ("1E+5", (6, 0)),
        ("1E-5", (0, 5)),
        ("1E+999999", (1_000_000, 0)),
        ("NaN", None),
        ("-Infinity", None),
    ],
)
def test_digits_are_those_that_count(number: str, expected: tuple[int, int] | None) -> None:
    """Zeros at the end need no room."""
    assert digits(Decimal(number)) == expected
