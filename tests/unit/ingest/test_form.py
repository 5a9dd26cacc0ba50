"""What a form makes of real values: declared columns, `since`, hashes, the USGS page."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api2db.core.errors import ConfigError
from api2db.core.types import JSON
from api2db.ingest.form import Built, Column, Form


def build(columns: list[Column], *rows: Any) -> Built:
    """Build one page whose body is the list of rows."""
    return Form(rows=None, columns=columns).parse(json.dumps(rows).encode()).build()


def values(type_: str, *given: Any) -> tuple[list[Any], list[str]]:
    """Return what column ``x`` holds of the given values, and why the others died."""
    built = build([Column("x", type_)], *({"x": value} for value in given))
    return built.rows.column("x").to_pylist(), [letter.reason for letter in built.dead]


def test_types_are_those_of_the_table() -> None:
    """Each declared type gives its Arrow type, on an empty page too."""
    kinds = ["int", "float", "bool", "str", "datetime", "date", "decimal", "json"]
    built = build([Column(kind, kind) for kind in kinds])
    assert built.rows.num_rows == 0
    assert built.rows.schema.types == [
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.timestamp("us", "UTC"),
        pa.date32(),
        pa.decimal128(38, 9),
        JSON,
    ]


def test_integers_are_whole_and_have_64_bits() -> None:
    """5.0 is an integer; 5.5, text, true and 2^63 are not, and name the column."""
    kept, dead = values("int", 2**63 - 1, 5.0, None, 5.5, "5", True, 2**63)
    assert kept == [2**63 - 1, 5, None]
    assert dead == [
        "column 'x' is a number with a fraction, not a whole number",
        "column 'x' is a string, not a whole number",
        "column 'x' is a boolean, not a whole number",
        "column 'x' is a number beyond 64 bits; the type decimal holds it",
    ]


def test_floats_hold_integers_only_exactly() -> None:
    """2^60 is exact in a float64; 2^53 + 1 is not, and is not rounded."""
    kept, dead = values("float", 1, 0.1, 2**60, 2**53 + 1, "1.5")
    assert kept == [1.0, 0.1, float(2**60)]
    assert len(dead) == 2


def test_a_number_is_no_string() -> None:
    """Text columns take strings alone, as they are."""
    kept, dead = values("str", "", "007", " x ", 7, True)
    assert kept == ["", "007", " x "]
    assert len(dead) == 2


def test_instants_have_a_zone_and_lose_no_digit() -> None:
    """RFC 3339 alone is an instant: no epoch numbers, no naive times, no nanoseconds."""
    kept, dead = values(
        "datetime",
        "2018-02-07T01:49:14Z",
        "2018-02-07 02:49:14.5+01:00",
        "2018-02-07t01:49:14.1234560z",
        "2018-02-07T01:49:14",
        "2018-02-07T01:49:14.1234567Z",
        "2018-02-07T01:49Z",
        1517968154,
    )
    assert kept == [
        datetime(2018, 2, 7, 1, 49, 14, tzinfo=UTC),
        datetime(2018, 2, 7, 1, 49, 14, 500000, tzinfo=UTC),
        datetime(2018, 2, 7, 1, 49, 14, 123456, tzinfo=UTC),
    ]
    assert len(dead) == 4


def test_dates_are_iso_days() -> None:
    """A date has ten characters and exists."""
    kept, dead = values("date", "2018-02-07", "2018-02-30", "2018-02-07T00:00:00Z", "0000-01-01")
    assert kept == [date(2018, 2, 7)]
    assert len(dead) == 3


def test_decimals_keep_every_digit() -> None:
    """Numbers do not pass through a float; strings are read; more digits widen the column."""
    form = Form(rows=None, columns=[Column("x", "decimal")])
    body = b'[{"x": 0.10000000000000000555}, {"x": "1.50"}, {"x": 7}, {"x": "NaN"}, {"x": 1e80}]'
    built = form.parse(body).build()
    assert built.rows.column("x").to_pylist() == [
        Decimal("0.10000000000000000555"),
        Decimal("1.5"),
        Decimal(7),
    ]
    assert built.rows.schema.field("x").type == pa.decimal256(76, 38)
    assert [letter.row for letter in built.dead] == [3, 4]
    again = Form(rows=None, columns=[Column("x", "decimal")], memory=form.memory)
    assert again.parse(b'[{"x": 1}]').build().rows.schema.field("x").type == pa.decimal256(76, 38)


@pytest.mark.parametrize("far", ["1e999", "-1e999", "1e" + "9" * 25])
@pytest.mark.parametrize("type_", ["float", "int", "decimal", "str"])
def test_a_number_beyond_all_floats_is_dead(type_: str, far: str) -> None:
    """It does not become infinity, nor cost the rows beside it."""
    body = f'[{{"x": {far}}}, {{"x": null, "y": {far}}}]'.encode()
    built = Form(rows=None, columns=[Column("x", type_)]).parse(body).build()
    assert built.rows.to_pylist() == [{"x": None}]
    assert [(letter.row, letter.content) for letter in built.dead] == [(0, f'{{"x": {far}}}')]
    assert "infinit" not in built.dead[0].reason


def test_json_is_kept_as_the_api_wrote_it() -> None:
    """JSON columns hold the very text; null and nothing are NULL."""
    body = b'[{"x": {"b":1,  "a":1.50}}, {"x": null}, {}, {"x": "s"}, {"x": 1e999}]'
    built = Form(rows=None, columns=[Column("x", "json")]).parse(body).build()
    texts = built.rows.column("x").storage.to_pylist()
    assert texts == ['{"b":1,  "a":1.50}', None, None, '"s"', "1e999"]


def test_nothing_is_the_default_or_a_dead_letter() -> None:
    """A missing value and null are the same: the default, or dead if required."""
    columns = [
        Column("d", "datetime", default="2000-01-01T00:00:00Z"),
        Column("j", "json", default={"a": 1}),
        Column("r", "int", required=True),
    ]
    built = build(columns, {"r": 1}, {"d": None, "r": None}, {})
    assert built.rows.column("d").to_pylist() == [datetime(2000, 1, 1, tzinfo=UTC)]
    assert built.rows.column("j").storage.to_pylist() == ['{"a":1}']
    assert [letter.row for letter in built.dead] == [1, 2]
    assert built.dead[0].reason == "column 'r' is missing or null, and required"


def test_paths_go_through_whatever_is_there() -> None:
    """Null parents, missing keys, short lists and scalars on the way give NULL."""
    columns = [Column("x", "int", 'a."odd key"[1].v'), Column("id", "int")]
    rows = [
        {"id": 1, "a": {"odd key": [0, {"v": 5}]}},
        {"id": 2, "a": {"odd key": [0]}},
        {"id": 3, "a": None},
        {"id": 4},
        {"id": 5, "a": {"odd key": None}},
    ]
    expected = [5, None, None, None, None]
    form = Form(rows=None, columns=columns)
    page = form.parse(json.dumps(rows).encode())
    assert page.items is not None, "the quick way"
    assert page.build().rows.column("x").to_pylist() == expected
    page = form.parse(json.dumps([*rows, {"id": 6, "a": "scalar"}]).encode())
    assert page.items is None, "the general way"
    assert page.build().rows.column("x").to_pylist() == [*expected, None]


def test_rows_may_be_arrays() -> None:
    """Paths that begin with an index read rows that are lists; other rows are dead."""
    columns = [Column("t", "int", "[0]"), Column("high", "float", "[2]")]
    built = build(columns, [1, 0.5, 2.5], [2], {"t": 1})
    assert built.rows.to_pylist() == [{"t": 1, "high": 2.5}, {"t": 2, "high": None}]
    assert built.dead[0].reason == "the row is an object, not an array"


def test_a_row_that_is_no_object_is_dead() -> None:
    """A scalar or null in the list of rows does not become a row of NULLs."""
    built = build([Column("x", "int")], {"x": 1}, None, 5, [1])
    assert built.rows.to_pylist() == [{"x": 1}]
    assert [letter.content for letter in built.dead] == ["null", "5", "[1]"]


def test_an_expression_that_fails_kills_its_row_only() -> None:
    """A JMESPath function that does not take the value makes a dead letter."""
    built = build([Column("n", "int", "length(xs)")], {"xs": [1, 2]}, {"xs": 5})
    assert built.rows.to_pylist() == [{"n": 2}]
    assert "cannot be computed" in built.dead[0].reason


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], "there is none"),
        ([Column("x", "integer")], "'integer' is not a type"),
        ([Column("x", "int", "a..b")], "not a JMESPath"),
        ([Column("x", "int", "nope(a)")], "not a JMESPath"),
        ([Column("x", "int", default="5")], "the default '5' is a string"),
        ([Column("x", "int"), Column("x", "str")], "comes twice"),
    ],
)
def test_wrong_columns_are_configuration_errors(columns: list[Column], message: str) -> None:
    """What can never work is said before the first poll."""
    with pytest.raises(ConfigError, match=message):
        Form(rows=None, columns=columns)


@pytest.mark.parametrize("columns", [None, [Column("id", "int")]])
def test_since_is_as_the_api_wrote_it(columns: list[Column] | None) -> None:
    """Texts, integers and floats stay what they are; anything else is its JSON text."""
    given = ["2018-02-07T01:49:14.10+01:00", 2**70, 1.5, None, True, [1], 7]
    rows = [{"id": i, "m": {"at": value}} for i, value in enumerate(given)]
    form = Form(rows=None, columns=columns, since="m.at")
    expected = [*given[:4], "true", "[1]", 7]
    for _ in range(2):
        page = form.parse(json.dumps(rows).encode())
        page.build()
        assert page.since == expected
        assert [type(x) for x in page.since] == [type(x) for x in expected]
    quick = form.parse(json.dumps(rows[:4]).encode())
    assert quick.items is not None
    assert quick.since == expected[:4]


def test_since_passes_by_a_number_beyond_all_floats() -> None:
    """Nothing could be sent for it, and nothing would ever be newer."""
    page = Form(rows=None, columns=None, since="at").parse(b'[{"at": 1e999}, {"at": 7}]')
    assert page.since == [None, 7]


def test_hashes_ignore_order_and_space() -> None:
    """Equal rows have equal hashes however they are written; others do not."""
    page = Form(rows=None, columns=None).parse(
        b'[{"a":1,"b":{"x":1,"y":2}}, { "b" : {"y":2, "x":1}, "a": 1 }, {"a":2,"b":{"x":1,"y":2}}]'
    )
    first, second, third = (page.row_hash(i) for i in range(3))
    assert first == second != third
    assert len(first) == 16


def test_the_hash_is_the_same_in_every_process() -> None:
    """Hashes are kept across restarts, so nothing random goes into them."""
    code = (
        "from api2db.ingest.form import Form;"
        'print(Form(rows=None,columns=None).parse(b\'[{"b":[1.5,"x"],"a":null}]\')'
        ".row_hash(0).hex())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_a_real_page_is_decoded_the_quick_way() -> None:
    """The USGS page: 1,707 rows, every value as a plain decoder reads it."""
    found = list(Path(__file__).parents[3].rglob("usgs_all_week_2018-02-07.geojson"))
    if not found:
        pytest.skip("the page is not in the tree yet")
    body = found[0].read_bytes()
    columns = [
        Column("id", "str"),
        Column("mag", "float", "properties.mag"),
        Column("time", "int", "properties.time"),
        Column("lon", "float", "geometry.coordinates[0]"),
        Column("depth", "float", "geometry.coordinates[2]"),
    ]
    page = Form(rows="features", columns=columns, next="metadata.status").parse(body)
    assert page.items is not None
    assert page.next == 200
    expected = [
        {
            "id": row["id"],
            "mag": row["properties"]["mag"],
            "time": row["properties"]["time"],
            "lon": row["geometry"]["coordinates"][0],
            "depth": row["geometry"]["coordinates"][2],
        }
        for row in json.loads(body)["features"]
    ]
    assert page.build().rows.to_pylist() == expected
