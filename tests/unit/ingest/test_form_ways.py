"""The quick way and the general way give the same; no row is lost in either."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api2db.ingest.form import Built, Column, Form, Page

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 5),
    st.sampled_from([2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**40, 10**80]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.5, 5.0, 1e300, -0.0]),
    st.text(max_size=5),
    st.sampled_from(
        [
            "2018-02-07T01:49:14Z",
            "2018-02-07t01:49:14.123456+01:00",
            "2018-02-07T01:49:14.123456789Z",
            "2018-02-07T01:49:14",
            "0001-01-01T00:00:00+01:00",
            "2018-02-07",
            "2018-02-30",
            "007",
            "1.50",
            "true",
            "null",
        ]
    ),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("xyz"), SCALARS)
)
KEYS = ["a", "b", "c", "odd key", 'quo"te', "", "né"]

COLUMNS = [
    Column("a", "int"),
    Column("b", "float", "b"),
    Column("c", "str"),
    Column("odd key", "bool"),
    Column("when", "datetime", "when"),
    Column("day", "date", "n.day"),
    Column("price", "decimal", "n.price"),
    Column("x", "float", "n.list[1]"),
    Column("tree", "json", "tree"),
    Column("d", "int", "n.d", default=7),
    Column("r", "str", "n.r", required=True),
]

FITTING = {
    "a": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "b": st.one_of(st.none(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False)),
    "c": st.one_of(st.none(), st.text(max_size=4)),
    "odd key": st.one_of(st.none(), st.booleans()),
    "when": st.one_of(st.none(), st.just("2018-02-07T01:49:14.5+01:00")),
    "tree": VALUES,
    "n": st.one_of(
        st.none(),
        st.fixed_dictionaries(
            {"r": st.text(max_size=3)},
            optional={
                "day": st.sampled_from([None, "2018-02-07"]),
                "price": st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([0.1, "1.50"])),
                "list": st.lists(st.integers(0, 9), max_size=4),
                "d": st.one_of(st.none(), st.integers(0, 9)),
            },
        ),
    ),
}


def mixed_rows() -> st.SearchStrategy[list[Any]]:
    """Rows that mostly fit `COLUMNS`, with something odd here and there."""
    fitting = st.fixed_dictionaries({}, optional=FITTING)
    odd = st.dictionaries(st.sampled_from(list(FITTING)), VALUES, max_size=3)
    row = st.one_of(fitting, fitting, fitting, odd, st.builds(lambda a, b: a | b, fitting, odd))
    return st.lists(st.one_of(row, row, row, row, SCALARS), max_size=6)


def general(form: Form) -> Form:
    """Take the quick way away from *form*."""
    form._plan.shape = None
    return form


def outcome(form: Form, page: Page, built: Built) -> dict[str, Any]:
    """Return everything that a poll sees of a page."""
    return {
        "rows": built.rows.to_pylist(),
        "schema": built.rows.schema.to_string(),
        "dead": built.dead,
        "since": page.since,
        "next": page.next,
        "memory": form.memory,
        "n": page.n_rows,
    }


def run(form: Form, body: bytes, skip: set[int] | None = None) -> dict[str, Any]:
    """Parse and build one page."""
    page = form.parse(body)
    return outcome(form, page, page.build(skip or set()))


quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(rows=mixed_rows(), skip=st.sets(st.integers(0, 5)), since=st.sampled_from(["a", "n.r", "z"]))
def test_declared_columns_come_out_the_same_both_ways(
    rows: list[Any], skip: set[int], since: str
) -> None:
    """A page gives the same rows, dead letters, since and next, decoded quickly or not."""
    body = json.dumps({"meta": {"next": len(rows)}, "data": rows}).encode()

    def form() -> Form:
        return Form(rows="data", columns=COLUMNS, next="meta.next", since=since)

    assert run(form(), body, skip) == run(general(form()), body, skip)


@quick
@given(rows=mixed_rows(), skip=st.sets(st.integers(0, 5)))
def test_declared_rows_land_or_are_dead(rows: list[Any], skip: set[int]) -> None:
    """Rows in, those skipped aside, are rows out and dead letters; each letter holds its row."""
    seen = run(Form(rows=None, columns=COLUMNS), json.dumps(rows).encode(), skip)
    kept = [i for i in range(len(rows)) if i not in skip]
    assert len(seen["rows"]) + len(seen["dead"]) == len(kept)
    for letter in seen["dead"]:
        assert json.loads(letter.content) == rows[letter.row]
        assert letter.row in kept


PAGES = st.lists(
    st.lists(
        st.one_of(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5), SCALARS), max_size=5
    ),
    max_size=4,
)
#: Pages whose columns have few types, so that the quick way is taken often.
TAME = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {"a": st.integers(-9, 2**53 + 1), "b": st.sampled_from([0.5, 1, None])},
            optional={
                "c": st.sampled_from(["2018-02-07T01:49:14Z", "x", None]),
                "né": st.sampled_from([None, [1], {"x": 1}]),
                "odd key": st.sampled_from([None, True]),
            },
        ),
        max_size=4,
    ),
    max_size=5,
)


@quick
@given(
    pages=st.one_of(PAGES, TAME),
    schema=st.sampled_from(["evolve", "freeze", "ignore"]),
    since=st.sampled_from([None, "a", "c", '"né".x']),
)
def test_inferred_columns_come_out_the_same_both_ways(
    pages: list[list[Any]], schema: Any, since: str | None
) -> None:
    """Page after page gives the same rows, letters and memory, decoded quickly or not."""
    one = Form(rows=None, columns=None, schema=schema, since=since)
    for rows in pages:
        body = json.dumps(rows).encode()
        memory = json.loads(json.dumps(one.memory))
        other = Form(rows=None, columns=None, schema=schema, since=since, memory=memory)
        assert run(one, body) == run(general(other), body)


@quick
@given(pages=st.one_of(PAGES, TAME), schema=st.sampled_from(["evolve", "freeze", "ignore"]))
def test_inferred_rows_land_or_are_dead(pages: list[list[Any]], schema: Any) -> None:
    """No row is lost, whatever the pages hold; columns never vanish once they are there."""
    form = Form(rows=None, columns=None, schema=schema)
    columns: list[str] = []
    for rows in pages:
        seen = form.parse(json.dumps(rows).encode()).build()
        assert seen.rows.num_rows + len(seen.dead) == len(rows)
        names = seen.rows.schema.names
        assert [name for name in names if name in columns] == columns
        columns = names


def test_a_page_parsed_before_the_memory_changed_is_built_after_it() -> None:
    """A page that was decoded into older types takes the general way."""
    form = Form(rows=None, columns=None)
    form.parse(b'[{"a": 1}]').build()
    late = form.parse(b'[{"a": 2}]')
    form.parse(b'[{"a": 1.5, "b": true}]').build()
    assert late.build().rows.to_pylist() == [{"a": 2.0, "b": None}]


@pytest.mark.parametrize("path", ["n.x", "n.x || `5`", "n | x"])
def test_expressions_find_what_plain_paths_find(path: str) -> None:
    """More than a plain path is computed row by row, with the same result."""
    form = Form(rows="d", columns=[Column("x", "int", path)])
    built = form.parse(b'{"d": [{"n": {"x": 1}}, {"n": {"x": 2}}]}').build()
    assert built.rows.to_pylist() == [{"x": 1}, {"x": 2}]
