"""Keys and cursor values on their way into a checkpoint and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.errors import FormError
from api2db.ingest import watermark
from api2db.ingest.sql_value import dump, for_database, load, since_of

VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=2))])),
    st.dates(),
    st.uuids(),
    st.binary(),
)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_a_keyset_comes_back_as_it_was(values: list[Any]) -> None:
    """Exactly, types included: a page begins right behind the last row."""
    found = load(dump(values))
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_what_cannot_be_a_key(value: Any) -> None:
    """NULL and JSON have no place in an order."""
    with pytest.raises(FormError, match="cannot be a key"):
        dump([value])


CURSORS = st.one_of(
    st.integers(),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(),
    st.dates(),
    st.integers().map(Decimal),
)


@given(CURSORS)
def test_a_since_value_comes_back_as_it_was(value: Any) -> None:
    """What a poll sends is the very value that the greatest row had."""
    since = since_of(value)
    assert for_database(str(since), value) == value


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_since_values_have_the_order_of_the_column(a: datetime, b: datetime) -> None:
    """The greatest value of a poll is that of the database."""
    later = watermark.later(since_of(a), since_of(b))
    assert for_database(str(later), a) == max(a, b)


def test_texts_of_sqlite() -> None:
    """Times and dates that SQLite keeps as text have an order and a lag, and keep their form."""
    for text in ("2024-01-01 00:00:05", "2024-01-01T00:00:05.250"):
        since = since_of(text)
        assert for_database(str(since), text) == text
        assert for_database(str(watermark.minus(since, 2.0)), text) == text.replace("05", "03")
    assert for_database(str(since_of("2024-01-02")), "2024-01-02") == "2024-01-02"


@pytest.mark.parametrize("value", [True, Decimal("0.12345678901234567890"), UUID(int=1), b"x"])
def test_what_has_no_order(value: Any) -> None:
    """A column whose values could not be compared rightly is refused."""
    with pytest.raises(FormError, match="no order"):
        since_of(value)


@pytest.mark.parametrize("like", [datetime(2024, 1, 1), date(2024, 1, 1), 1])
def test_an_initial_value_of_another_type(like: Any) -> None:
    """`initial` that the column cannot be compared with fails the poll and says so."""
    with pytest.raises(FormError, match="check 'since'"):
        for_database("soon", like)
