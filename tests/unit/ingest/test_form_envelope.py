"""Bodies: where the rows are, where the next page is, and bodies that are broken."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.errors import FormError
from api2db.ingest.form import Column, Form
from api2db.ingest.form_mend import mend

X = [Column("x", "json")]


def rows_of(body: bytes, rows: str | None = "data") -> list[str | None]:
    """Return the JSON of column ``x``."""
    built = Form(rows=rows, columns=X).parse(body).build()
    texts: list[str | None] = built.rows.column("x").storage.to_pylist()
    return texts


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b'[{"x":1},{"x":2}]', None),
        (b'{"data":[{"x":1},{"x":2}]}', "data"),
        (b'{"a":{"b c":[{"x":1},{"x":2}]}}', 'a."b c"'),
        (b'[{"page":1},[{"x":1},{"x":2}]]', "[1]"),
        (b'{"data":{"k":{"x":1},"l":{"x":2}}}', "values(data)"),
        (b'{"data":[{"items":[{"x":1}]},{"items":[{"x":2}]}]}', "data[].items[]"),
        (b'[{"x":1},{"x":2}]', "@"),
        (b'\xef\xbb\xbf [{"x":1},{"x":2}]', None),
        ('\ufeff[{"x":1},{"x":2}]'.encode("utf-16-le"), None),
    ],
)
def test_rows_are_found(body: bytes, rows: str | None) -> None:
    """A path, an expression, or none; a byte order mark does no harm."""
    assert rows_of(body, rows) == ["1", "2"]


def test_without_rows_an_object_is_one_row() -> None:
    """A body that is an object is its only row."""
    assert rows_of(b' {"x": [1]} ', None) == ["[1]"]


def test_an_empty_list_is_success() -> None:
    """No rows is not an error."""
    page = Form(rows="data", columns=X).parse(b'{"data": []}')
    assert (page.n_rows, page.build().rows.num_rows) == (0, 0)


@pytest.mark.parametrize(
    ("body", "rows", "message"),
    [
        (b'{"items": []}', "data", r"'data' is missing or null, not a list.*keys are: items"),
        (b'{"data": null}', "data", "missing or null"),
        (b'{"data": {"x": 1}}', "data", "is an object, not a list"),
        (b'{"data": "x"}', "data", "is a string, not a list"),
        (b'{"data": 5}', "data[].x", "missing or null"),
        (b"[]", "data", "missing or null"),
        (b"5", None, "the body is a number, neither a list nor an object"),
        (b"null", None, "missing or null"),
        (b"", None, "the body is empty"),
        (b"  \n", None, "the body is empty"),
        (b"<!DOCTYPE html><html></html>", None, "the body is HTML, not JSON"),
        (b"<?xml version='1.0'?><a/>", None, "XML or HTML, not JSON"),
        (b'{"data": [{"x": 1}, {"x', "data", "cut off: it ends at byte 23"),
        (b'{"data": [{"x": 1}]', "data", "cut off"),
        (b'{"data": []} {"data": []}', "data", "trailing characters"),
        (b'{"data": [NaNo]}', "data", "not JSON: invalid character"),
        (b"\xff\xfe\x00", None, "not utf-16"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, None, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("columns", [X, None])
def test_a_body_that_cannot_be_used_says_why(
    body: bytes, rows: str | None, message: str, columns: list[Column] | None
) -> None:
    """The error is short, and carries the body for the dead letters."""
    with pytest.raises(FormError, match=message) as caught:
        Form(rows=rows, columns=columns).parse(body)
    assert caught.value.body == body
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (rb'{"x": NaN}', "holds NaN or Infinity"),
        (rb'{"x": [1, -Infinity]}', "holds NaN or Infinity"),
        (rb'{"x": "\ud800"}', "holds a lone surrogate"),
        (rb'{"x": "a\udc00b"}', "holds a lone surrogate"),
        (rb'{"\ud83d": 1}', "holds a lone surrogate"),
        (b'{"x": "\xff"}', "the row is not UTF-8"),
        (b'{"x": ' + b"9" * 5000 + b"}", "out of range"),
    ],
)
@pytest.mark.parametrize("columns", [[Column("x", "str")], None])
def test_good_rows_land_beside_a_row_that_is_no_json(
    row: bytes, reason: str, columns: list[Column] | None
) -> None:
    """One row is dead, with its very text; those around it land, NaN in a string included."""
    good = rb'{"x": "NaN \ud83d\ude00 \\ud800"}'
    body = b'{"took": NaN, "data": [' + good + b"," + row + b"," + good + b"]}"
    built = Form(rows="data", columns=columns).parse(body).build()
    assert built.rows.to_pylist() == [{"x": "NaN \U0001f600 \\ud800"}] * 2
    (letter,) = built.dead
    assert letter.row == 1
    assert reason in letter.reason
    assert letter.content == row.decode("utf-8", "backslashreplace")


def test_an_expression_finds_rows_around_a_number_beyond_all_floats() -> None:
    """It costs its own row, not the poll."""
    body = b'{"data": [{"x": 1e999}, {"x": 1}, {"y": 2}], "n": 1e999}'
    built = Form(rows="data[?x]", columns=None, next="n == `1`").parse(body).build()
    assert built.rows.to_pylist() == [{"x": 1}]
    assert [letter.row for letter in built.dead] == [0]


def test_duplicate_keys_last_wins() -> None:
    """As every JSON decoder does."""
    assert rows_of(b'{"data": [], "data": [{"x": 1, "x": 2}]}') == ["2"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("next", "c2"),
        ("meta.next", 7),
        ("meta.none", None),
        ("data.next", None),
        ("meta.next.deeper", None),
        ("links[1].href", "u2"),
        ("links[?rel=='next'].href | [0]", "u2"),
        ("links[?rel=='nope'].href | [0]", None),
        ("data[-1].x", 2),
        ("@.next", "c2"),
    ],
)
def test_the_next_page_is_found(path: str, value: object) -> None:
    """Plain paths and expressions, beside the rows or among them; null and nothing are None."""
    body = json.dumps(
        {
            "next": "c2",
            "meta": {"next": 7, "none": None},
            "links": [{"rel": "self", "href": "u1"}, {"rel": "next", "href": "u2"}],
            "data": [{"x": 1}, {"x": 2}],
        }
    ).encode()
    for rows in ("data", "data[]"):
        page = Form(rows=rows, columns=X, next=path).parse(body)
        assert page.next == value
        assert page.n_rows == 2


def test_a_list_without_envelope_has_no_next_key() -> None:
    """The body is the list: a key leads nowhere, an index to a row."""
    body = b'[{"x": 1}, {"x": 2}]'
    assert Form(rows=None, columns=X, next="next").parse(body).next is None
    assert Form(rows=None, columns=X, next="[-1].x").parse(body).next == 2


@given(st.text(), st.text())
def test_mending_changes_nothing_but_what_is_no_json(before: str, after: str) -> None:
    """Marks are undone exactly; a body that is JSON is left alone."""
    good = json.dumps([before, after]).encode()
    assert mend(good) is None
    body = b"[" + json.dumps(before).encode() + rb',NaN,"\udfff",-Infinity]'
    mended = mend(body)
    assert mended is not None
    assert json.loads(mended.body)[0] == before
    assert mended.undo(mended.body) == body
