"""Durations and sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.app.quantity import duration, size

if TYPE_CHECKING:
    from decimal import Decimal

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "": 1.0}
BYTES = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "GiB": 2**30}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("200ms", 0.2), ("0.2s", 0.2), ("5m", 300), ("1h", 3600), ("1d", 86400),
     (7, 7), (0.5, 0.5), ("7", 7), (" 5 m ", 300)],
)  # fmt: skip
def test_duration(written: str | float, seconds: float) -> None:
    """The documented forms, in seconds."""
    assert duration(written) == pytest.approx(seconds)


@given(st.integers(1, 365_000), st.sampled_from(sorted(SECONDS)))
def test_any_duration(count: int, unit: str) -> None:
    """A whole number and a unit is their product."""
    assert math.isclose(duration(f"{count}{unit}"), count * SECONDS[unit])


@given(st.decimals(1, 10**4, places=3), st.sampled_from(sorted(BYTES)))
def test_any_size(count: Decimal, unit: str) -> None:
    """A size is exact, rounded down to whole bytes."""
    assert size(f"{count}{unit}") == int(count * BYTES[unit])


@pytest.mark.parametrize(
    "value",
    [0, -1, "0s", "-5s", "soon", "", "5 weeks", "1e3", "s", math.inf, math.nan, True, None, [], {},
     "5s 3m", "\u0663s", "9" * 400, "9" * 29 + "d"],
)  # fmt: skip
def test_no_duration(value: Any) -> None:
    """Everything else is refused with what to write; nothing crashes."""
    with pytest.raises(ValueError, match="write a duration"):
        duration(value)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        "0",
        "0.5",
        "1.5.2",
        "",
        "5Mb",
        "5 XB",
        1.5,
        True,
        None,
        [],
        "9" * 400,
        "9" * 30 + "TB",
    ],
)
def test_no_size(value: Any) -> None:
    """So are sizes."""
    with pytest.raises(ValueError, match="write a size"):
        size(value)
