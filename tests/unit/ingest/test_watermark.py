"""The order of `since` values."""

from __future__ import annotations

import pytest

from api2db.core.errors import FormError
from api2db.ingest import watermark


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [
        (9, 10),
        (9, 9.5),
        ("9", "a"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000001Z"),
        ("2024-01-01T02:00:00+02:00", "2024-01-01T00:00:01Z"),
        ("2024-01-01T00:00:00.999999998Z", "2024-01-01T00:00:00.999999999Z"),
        (2**70, 2**70 + 1),
    ],
)
def test_later_picks_the_greater(smaller: watermark.Value, greater: watermark.Value) -> None:
    """Numbers compare as numbers, RFC 3339 as instants, the rest as text."""
    assert watermark.later(smaller, greater) == greater
    assert watermark.later(greater, smaller) == greater


def test_equal_instants_keep_the_first_form() -> None:
    """A value that names the same instant does not replace the one that is held."""
    assert watermark.later("2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00") == (
        "2024-01-01T00:00:00Z"
    )


def test_null_never_advances() -> None:
    """Null loses against every value and yields to every value."""
    assert watermark.later(None, 5) == 5
    assert watermark.later(5, None) == 5
    assert watermark.later(None, None) is None


@pytest.mark.parametrize(
    ("value", "lag", "moved"),
    [
        (10, 3, 7),
        (10, 0.5, 9.5),
        ("2024-01-01T00:00:00Z", 60, "2023-12-31T23:59:00Z"),
        ("2024-01-01T00:00:00.250+02:00", 0.25, "2024-01-01T00:00:00.000+02:00"),
        ("2024-03-01 00:00:00Z", 86400, "2024-02-29 00:00:00Z"),
        (None, 5, None),
        ("abc", 0, "abc"),
    ],
)
def test_lag_keeps_the_form(value: watermark.Value, lag: float, moved: watermark.Value) -> None:
    """A lag moves a value back and keeps its zone, separator and number of digits."""
    assert watermark.minus(value, lag) == moved


def test_a_lag_on_text_is_an_error() -> None:
    """Nothing can be subtracted from a text, and the error says what to do."""
    with pytest.raises(FormError, match="remove 'lag'"):
        watermark.minus("abc", 1)


@pytest.mark.parametrize("text", ["2024-01-01", "2024-01-01T00:00:00", "2024-13-01T00:00:00Z", ""])
def test_not_an_instant(text: str) -> None:
    """A date alone, a time without zone and an impossible month are texts."""
    assert watermark.instant_ns(text) is None
