"""What is inferred from values, remembered, widened, and refused."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from api2db.core.types import name_of
from api2db.ingest import form_inferred
from api2db.ingest.form import Built, Form


def feed(form: Form, *given: Any, key: str = "x") -> Built:
    """Build a page of rows that hold the given values."""
    return form.parse(json.dumps([{key: value} for value in given]).encode()).build()


def column(built: Built, key: str = "x") -> tuple[str, list[Any]]:
    """Return the type's name and the values of a column; JSON as its text."""
    array = built.rows.column(key)
    values = array.storage if hasattr(array, "storage") else array
    return name_of(array.type), values.to_pylist()


def fresh(**options: Any) -> Form:
    """Return a form that has seen nothing."""
    return Form(rows=None, columns=None, **options)


NOON = "2018-02-07T12:00:00Z"
INSTANT = datetime(2018, 2, 7, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "type_", "values"),
    [
        ([1, None, 2**53 + 1], "int", [1, None, 2**53 + 1]),
        ([1, 0.5], "float", [1.0, 0.5]),
        ([2**53 + 1, 0.5], "decimal", [Decimal(2**53 + 1), Decimal("0.5")]),
        ([2**63, 1], "decimal(38,0)", [Decimal(2**63), Decimal(1)]),
        ([10**50], "decimal(76,0)", [Decimal(10**50)]),
        ([True, None], "bool", [True, None]),
        ([NOON, None], "datetime", [INSTANT, None]),
        ([NOON, "x"], "str", [NOON, "x"]),
        ([NOON, "2018-02-07T12:00:00.1234567Z"], "str", None),
        (["9999-12-31T23:59:59-01:00"], "str", None),
        (["2018-02-07"], "str", None),
        (["2018-02-07T12:00Z"], "str", None),
        (["2018-02-07T12:00:00+0100"], "str", None),
        (["2018-02-07T12:00:00+01"], "str", None),
        ([True, 1, "a", 0.5], "str", ["true", "1", "a", "0.5"]),
        ([{"a": 1}, [1], None, "s", 1], "json", ['{"a": 1}', "[1]", None, '"s"', "1"]),
    ],
)
def test_first_values_decide_the_type(given: list[Any], type_: str, values: Any) -> None:
    """Over all rows of the page, not the first one."""
    built = feed(fresh(), *given)
    assert column(built) == (type_, given if values is None else values)
    assert built.dead == []


@pytest.mark.parametrize(
    ("first", "then", "type_", "values"),
    [
        ([1], [0.5], "float", [0.5]),
        ([2**53 + 1], [0.5], "decimal", [Decimal("0.5")]),
        ([1], [0.5, 2**53 + 1], "decimal", [Decimal("0.5"), Decimal(2**53 + 1)]),
        ([1], [2**64], "decimal(38,0)", [Decimal(2**64)]),
        ([2**64], [0.5], "decimal(76,9)", [Decimal("0.5")]),
        ([10**35], [0.5], "decimal(38,0)", None),
        ([0.5], [1], "float", [1.0]),
        ([True], ["x", False], "str", ["x", "false"]),
        ([True], [5], "str", ["5"]),
        ([NOON], ["x", NOON], "str", ["x", NOON]),
        ([1], [[1]], "json", ["[1]"]),
        (["x"], [{"a": 1}], "json", ['{"a": 1}']),
        ([NOON], [{}], "json", ["{}"]),
        ([[1]], [1, "x"], "json", ["1", '"x"']),
        (["x"], [5], "str", ["5"]),
    ],
)
def test_later_values_widen_by_the_rules(
    first: list[Any], then: list[Any], type_: str, values: Any
) -> None:
    """The type grows where nothing is lost; earlier pages count, over a restart too."""
    one = fresh()
    feed(one, *first)
    other = fresh(memory=json.loads(json.dumps(one.memory)))
    for form in (one, other):
        built = feed(form, *then)
        assert built.dead == []
        if values is not None:
            assert column(built) == (type_, values)


@pytest.mark.parametrize(
    ("first", "misfit"),
    [
        (1, "x"),
        (1, True),
        (1, NOON),
        (0.5, "x"),
        (0.5, 2**53 + 1),
        (0.5, 2**70 + 1),
        (2**64, "5"),
        (2**64, 10**80),
        (2**64, 1e300),
    ],
)
def test_what_would_lose_something_is_dead(first: Any, misfit: Any) -> None:
    """The column stays, the row is a dead letter that names it, the others land."""
    form = fresh()
    feed(form, first)
    before = form.memory
    built = feed(form, misfit, first)
    assert [letter.row for letter in built.dead] == [0]
    assert built.dead[0].reason.startswith("column 'x' is ")
    assert built.rows.num_rows == 1
    assert form.memory == before


@pytest.mark.parametrize("first", [1, 0.5, 2**64, True, NOON])
def test_a_number_beyond_all_floats_decides_nothing(first: Any) -> None:
    """Its row is dead, wherever it comes; the column is what the others make it."""
    form, other = fresh(), fresh()
    far = b'{"x": 1e999}'
    built = form.parse(b'[%s, {"x": %s}]' % (far, json.dumps(first).encode())).build()
    dead = 0 if type(first) in (bool, str) else 1  # in a text it is what the API wrote
    assert [letter.content for letter in built.dead] == [far.decode()] * dead
    if dead:
        assert column(built) == column(feed(other, first))
        assert form.memory == other.memory
        assert len(form.parse(b"[" + far + b"]").build().dead) == 1
        assert form.memory == other.memory


def test_a_text_column_takes_a_number_of_any_size() -> None:
    """As a text, and never as a million digits."""
    form = fresh()
    feed(form, "a")
    built = form.parse(b'[{"x": 1e999}, {"x": -1e999999999}]').build()
    assert column(built) == ("str", ["1E+999", "-1E+999999999"])


def test_big_integers_are_remembered_in_the_quick_way() -> None:
    """A page decoded quickly counts, too: later fractions make decimals, not floats."""
    form = fresh()
    feed(form, 1)
    page = form.parse(b'[{"x": 9007199254740993}]')
    assert page.items is not None
    page.build()
    assert form.memory["big"] == ["x"]
    assert column(feed(form, 0.5))[0] == "decimal"


def test_dead_rows_decide_nothing() -> None:
    """A row that is dead in one column neither makes nor widens another."""
    form = fresh()
    form.parse(b'[{"a": 1, "b": 1}]').build()
    built = form.parse(b'[{"a": "dead", "b": {"wide": 1}, "new": 1}, {"a": 2, "b": 2}]').build()
    assert built.rows.to_pylist() == [{"a": 2, "b": 2}]
    assert list(form.memory["columns"].items()) == [("a", "int"), ("b", "int")]


def test_skipped_rows_decide_nothing() -> None:
    """What is left out is not learned from."""
    form = fresh()
    form.parse(b'[{"a": 1}, {"a": "x", "b": 1}]').build(skip={1})
    assert form.memory["columns"] == {"a": "int"}


def test_late_keys_are_kept_in_the_order_first_seen() -> None:
    """Keys of any row become columns; remembered columns come first, and always."""
    form = fresh()
    first = form.parse(b'[{"b": 1}, {"a": 1, "b": 2}, {"c": "x"}]').build()
    assert first.rows.schema.names == ["b", "a", "c"]
    second = form.parse(b'[{"d": 1, "a": 5}]').build()
    assert second.rows.to_pylist() == [{"b": None, "a": 5, "c": None, "d": 1}]


def test_a_column_is_made_at_its_first_value() -> None:
    """Nulls alone make no column, but keep its place; then any type may come."""
    form = fresh()
    assert form.parse(b'[{"n": null, "a": 1}]').build().rows.schema.names == ["a"]
    page = form.parse(b'[{"n": null, "a": 2}]')
    assert page.items is not None, "nulls do not stop the quick way"
    page.build()
    assert form.parse(b'[{"n": "x", "a": 3}]').build().rows.schema.names == ["n", "a"]


def test_rows_without_any_value_are_dead_while_there_is_no_column() -> None:
    """A batch without columns could not hold them."""
    form = fresh()
    built = form.parse(b'[{}, {"x": null}]').build()
    assert (built.rows.num_rows, len(built.dead)) == (0, 2)
    feed(form, 1)
    assert form.parse(b"[{}]").build().rows.to_pylist() == [{"x": None}]


def test_frozen_means_nothing_new() -> None:
    """Unknown keys with a value, and values that do not fit, make dead letters."""
    form = fresh(schema="freeze")
    form.parse(b'[{"a": 1, "t": "2018-02-07T12:00:00Z"}]').build()
    built = form.parse(
        b'[{"a": 1, "z": 1}, {"a": 2, "z": null}, {"a": 0.5}, {"t": "x"}, {"a": [1]}]'
    ).build()
    assert [(row["a"], row["t"]) for row in built.rows.to_pylist()] == [(2, None)]
    assert built.dead[0].reason == "column 'z' is not known, and the schema is frozen"
    assert [letter.row for letter in built.dead] == [0, 2, 3, 4]
    assert form.memory["columns"] == {"a": "int", "t": "datetime"}


def test_ignored_keys_are_left_out_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown keys go; after the first time they do not stop the quick way."""
    caplog.set_level(logging.WARNING)
    form = fresh(schema="ignore")
    form.parse(b'[{"a": 1}]').build()
    for expected in (False, True):
        page = form.parse(b'[{"a": 2, "z": 1}]')
        assert (page.items is not None) is expected
        assert page.build().rows.to_pylist() == [{"a": 2}]
    assert [record.message for record in caplog.records] == ["columns_ignored"]


def test_an_api_with_ids_as_keys_does_not_fill_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the most columns, rows with more are dead letters."""
    monkeypatch.setattr(form_inferred, "MAX_COLUMNS", 3)
    built = fresh().parse(b'[{"a":1,"b":1}, {"c":1}, {"d":1}, {"a":2}]').build()
    assert built.rows.schema.names == ["a", "b", "c"]
    assert [letter.row for letter in built.dead] == [2]
    assert "more than 3" in built.dead[0].reason


def test_json_columns_hold_the_text_of_the_api() -> None:
    """Both ways keep the very text of objects and lists."""
    form = fresh()
    body = b'[{"x": {"b":1.50,   "a":"\\u00e9"}}]'
    for quick in (False, True):
        page = form.parse(body)
        assert (page.items is not None) is quick
        assert column(page.build()) == ("json", ['{"b":1.50,   "a":"\\u00e9"}'])
