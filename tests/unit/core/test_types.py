"""The type table, the widening rules, and casts that lose nothing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.casting import cast
from api2db.core.errors import ConfigError
from api2db.core.types import (
    JSON,
    NAMES,
    Dialect,
    arrow_type,
    decimal_for,
    kind_of,
    name_of,
    sql_type,
)
from api2db.core.widening import widen

#: (old, new) -> what the column becomes; every pair of kinds that is missing gives None.
RULES = {
    ("int", "float"): "float",
    ("int", "decimal"): "decimal",
    ("float", "int"): "float",
    ("decimal", "int"): "decimal",
    ("decimal", "float"): "decimal",
    **{(old, new): "str" for old in ("bool", "datetime", "date", "str") for new in NAMES},
    **{(name, name): name for name in NAMES},
    **{(name, "json"): "json" for name in NAMES},
    **{("json", name): "json" for name in NAMES},
}


@pytest.mark.parametrize("old", NAMES)
@pytest.mark.parametrize("new", NAMES)
def test_every_pair_widens_by_the_rules(old: str, new: str) -> None:
    """The whole table, pair by pair."""
    found = widen(arrow_type(old), arrow_type(new))
    assert (None if found is None else name_of(found)) == RULES.get((old, new))


def test_big_integers_beside_floats_make_decimals() -> None:
    """A float would not keep them; a decimal has room for all 64 bits and for 9 places."""
    found = widen(pa.int64(), pa.float64(), big=True)
    assert found is not None
    assert kind_of(found) == "decimal"
    assert cast(pa.array([2**63 - 1]), found).to_pylist() == [Decimal(2**63 - 1)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("decimal", "decimal(38,0)", "decimal(76,9)"),
        ("decimal(38,0)", "decimal", "decimal(76,9)"),
        ("decimal", "decimal(10,2)", "decimal"),
        ("decimal(10,2)", "int", "decimal"),
        ("decimal(76,0)", "decimal(76,38)", None),
    ],
)
def test_decimals_widen_to_the_digits_of_both(old: str, new: str, expected: str | None) -> None:
    """Before the point and behind it; None where 76 digits do not do."""
    found = widen(arrow_type(old), arrow_type(new))
    assert (None if found is None else name_of(found)) == expected


def test_null_widens_into_anything() -> None:
    """A column without a value takes the type of its first."""
    assert widen(pa.null(), pa.int64()) == pa.int64()
    assert widen(JSON, pa.null()) == JSON


@pytest.mark.parametrize("name", [*NAMES, "decimal(38,0)", "decimal(76,38)", "decimal(10,2)"])
def test_names_and_types_undo_each_other(name: str) -> None:
    """A name stored in a checkpoint gives the same type again."""
    assert name_of(arrow_type(name)) == name


@pytest.mark.parametrize("name", ["integer", "", "decimal(77,0)", "decimal(5,9)", "decimal(0,0)"])
def test_an_unknown_name_is_a_configuration_error(name: str) -> None:
    """It names the types that there are."""
    with pytest.raises(ConfigError, match="is not a type"):
        arrow_type(name)


@pytest.mark.parametrize("type_", [pa.binary(), pa.list_(pa.int64()), pa.uint64(), pa.null()])
def test_a_type_without_a_kind_is_refused(type_: pa.DataType) -> None:
    """Nothing is stored as something else by guess."""
    with pytest.raises(ConfigError, match="has no place in a target"):
        name_of(type_)


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("postgresql", "bigint, double precision, boolean, text, timestamp with time zone, date, "
         "numeric, jsonb"),
        ("sqlite", "INTEGER, REAL, BOOLEAN, TEXT, TEXT, TEXT, TEXT, TEXT"),
        ("mysql", "bigint, double, tinyint(1), longtext, datetime(6), date, decimal(38,9), json"),
        ("duckdb", "BIGINT, DOUBLE, BOOLEAN, VARCHAR, TIMESTAMP WITH TIME ZONE, DATE, "
         "DECIMAL(38,9), JSON"),
    ],
)  # fmt: skip
def test_sql_types_are_the_natural_ones(dialect: Dialect, expected: str) -> None:
    """As the documentation promises for each target."""
    assert ", ".join(sql_type(arrow_type(name), dialect) for name in NAMES) == expected


def test_decimals_too_wide_for_a_dialect_are_text() -> None:
    """Rather than rounded."""
    assert sql_type(pa.decimal256(76, 38), "mysql") == "longtext"
    assert sql_type(pa.decimal256(76, 0), "duckdb") == "VARCHAR"


INSTANTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-(2**53), 2**53),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "str": st.text(),
    "datetime": INSTANTS,
    "date": st.dates(),
    "decimal": st.decimals("-1e20", "1e20", places=9),
    "json": st.recursive(st.integers() | st.text(), st.lists).map(json.dumps),
}


@given(st.data(), st.sampled_from(NAMES), st.sampled_from(NAMES))
def test_casts_lose_nothing(data: st.DataObject, old: str, new: str) -> None:
    """Every value can be read back from what it was cast to; NULL stays NULL."""
    to = widen(arrow_type(old), arrow_type(new))
    if to is None or (old == "str" and new != "json"):
        return
    values = data.draw(st.lists(st.one_of(st.none(), VALUES[old]), max_size=4))
    array = (
        pa.ExtensionArray.from_storage(JSON, pa.array(values, pa.string()))
        if old == "json"
        else pa.array(values, arrow_type(old))
    )
    wide = cast(array, to)
    assert wide.type == to
    texts = wide.storage if isinstance(wide, pa.ExtensionArray) else wide
    for before, after in zip(values, texts.to_pylist(), strict=True):
        assert (before is None) == (after is None)
        if before is not None:
            assert _read(old, name_of(to), after) == before


def _read(old: str, new: str, value: Any) -> Any:
    if new == "json":
        if old == "json":
            return value
        value = json.loads(value, parse_float=Decimal if old == "decimal" else float)
    if old in ("datetime", "date") and isinstance(value, str):
        kind = datetime if old == "datetime" else date
        return kind.fromisoformat(value.replace("Z", "+00:00"))
    if old == "bool" and isinstance(value, str):
        return {"true": True, "false": False}[value]
    return value


def test_texts_of_casts() -> None:
    """Booleans, instants and dates have one spelling each."""
    instants = pa.array([0, 1_500_000, 1], pa.timestamp("us", "UTC"))
    assert cast(instants, pa.string()).to_pylist() == [
        "1970-01-01T00:00:00Z",
        "1970-01-01T00:00:01.500Z",
        "1970-01-01T00:00:00.000001Z",
    ]
    assert cast(pa.array([True, False, None]), pa.string()).to_pylist() == ["true", "false", None]


def test_an_integer_that_a_float_cannot_hold_is_not_cast() -> None:
    """The caller asked `widen` without `big`: better an error than a wrong number."""
    with pytest.raises(pa.ArrowInvalid):
        cast(pa.array([2**53 + 1]), pa.float64())


@pytest.mark.parametrize(("old", "new"), [("str", "int"), ("float", "decimal"), ("json", "str")])
def test_a_cast_that_is_no_widening_is_refused(old: str, new: str) -> None:
    """Narrowing is never silent."""
    array = cast(pa.array([None]).cast(pa.null()), arrow_type(old))
    with pytest.raises(ConfigError, match="does not widen"):
        cast(array, arrow_type(new))


@given(st.integers(0, 80), st.integers(0, 45))
def test_a_decimal_has_room_for_what_was_asked(whole: int, scale: int) -> None:
    """Or there is none."""
    found = decimal_for(whole, scale)
    if found is None:
        assert whole + scale > 38
    else:
        assert pa.types.is_decimal(found)
        assert found.scale >= scale
        assert found.precision - found.scale >= whole
