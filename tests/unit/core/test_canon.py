"""Keys of rows stay the same while their columns are widened, and only then."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.canon import row_keys
from api2db.core.casting import cast
from api2db.core.types import JSON, NAMES, arrow_type
from api2db.core.widening import widen


def key(**values: Any) -> bytes:
    """Return the key of one row."""
    arrays = {k: v if isinstance(v, pa.Array) else pa.array([v]) for k, v in values.items()}
    (found,) = row_keys(pa.record_batch(arrays))
    return found


def as_json(value: Any) -> Any:
    """Return one JSON value as a column."""
    return pa.ExtensionArray.from_storage(JSON, pa.array([json.dumps(value)]))


INSTANT = pa.array([1_500_000], pa.timestamp("us", "UTC"))


def test_a_key_has_16_bytes() -> None:
    """As every hash here."""
    assert len(key(a=1)) == 16


def test_the_same_value_has_one_key_in_every_type() -> None:
    """Integers as floats, decimals, text and JSON; instants in any spelling; booleans."""
    assert len({key(a=5), key(a=5.0), key(a=Decimal("5.00")), key(a="5"), key(a=as_json(5))}) == 1
    assert key(a=0.1) == key(a=Decimal("0.1")) == key(a=as_json(0.1))
    assert key(a=True) == key(a="true") == key(a=as_json(True))
    assert key(a="x") == key(a=as_json("x"))
    spellings = ["1970-01-01T00:00:01.5Z", "1970-01-01 01:00:01.500+01:00"]
    assert {key(a=INSTANT)} == {key(a=text) for text in spellings}
    assert key(a=INSTANT) == key(a=as_json("1970-01-01T00:00:01.5Z"))


def test_nothing_is_null() -> None:
    """A missing column, NULL and JSON's null are the same; the order of columns is nothing."""
    assert key(a=1) == key(b=pa.array([None], pa.string()), a=1) == key(a=1, c=as_json(None))
    assert key(a=1, b="x") == key(b="x", a=1)


def test_json_is_compared_by_value() -> None:
    """Order of keys and white space do not matter; the order of a list does."""
    one = pa.ExtensionArray.from_storage(JSON, pa.array(['{"a":1, "b":[1,2.0]}']))
    other = pa.ExtensionArray.from_storage(JSON, pa.array(['{"b":[1.0,2],"a":1}']))
    assert key(x=one) == key(x=other) != key(x=as_json({"a": 1, "b": [2, 1]}))


def test_different_rows_have_different_keys() -> None:
    """Values, columns and their boundaries count."""
    rows = [
        {"a": 1}, {"a": 2}, {"b": 1}, {"a": "x"}, {"a": "x", "b": "y"}, {"a": "xb", "b": "y"},
        {"a": ""}, {"a": "007"}, {"a": "7"}, {"a": 2**53}, {"a": 2**53 + 1}, {"a": as_json([])},
        {"a": as_json({})}, {"a": "[]"}, {"a": as_json([1, 2])}, {"a": as_json(["1,2"])},
    ]  # fmt: skip
    assert len({key(**row) for row in rows}) == len(rows)


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**53), 2**53),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "str": st.one_of(st.text(), st.sampled_from(["true", "1e3", "null", '"x"', "[1]"])),
    "datetime": st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),
    "date": st.dates(),
    "decimal": st.decimals("-1e20", "1e20", places=9),
}


@given(st.data(), st.sampled_from(list(VALUES)), st.sampled_from(NAMES))
def test_keys_survive_every_widening(data: st.DataObject, old: str, new: str) -> None:
    """For every pair of types of the table."""
    to = widen(arrow_type(old), arrow_type(new))
    if to is not None:
        values = data.draw(st.lists(st.one_of(st.none(), VALUES[old]), max_size=4))
        before = pa.record_batch({"x": pa.array(values, arrow_type(old))})
        after = pa.record_batch({"x": cast(before.column("x"), to)})
        assert row_keys(before) == row_keys(after)
