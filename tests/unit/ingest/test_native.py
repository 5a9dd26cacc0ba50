"""Python's own values as rows."""

from __future__ import annotations

import enum
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pytest

from api2db.core.errors import FormError
from api2db.core.types import JSON, name_of
from api2db.ingest.chunk import Chunk
from api2db.ingest.form import Column, Form
from api2db.ingest.native import chunks

CET = timezone(timedelta(hours=1))


class Colour(enum.Enum):
    RED = "red"


def rows(item: object) -> list[dict[str, Any]]:
    return [row for chunk in chunks(item) for row in chunk.values]


def built(*items: object, columns: list[Column] | None = None) -> list[pa.RecordBatch]:
    """Return the columns of each item, by one form that remembers."""
    form = Form(rows=None, columns=columns)
    return [form.parse(chunk).build().rows for item in items for chunk in chunks(item)]


def kinds(batch: pa.RecordBatch) -> dict[str, str]:
    return {field.name: str(field.type) for field in batch.schema}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (float("nan"), None),
        (Decimal("NaN"), None),
        (pd.NaT, None),
        (pd.NA, None),
        (2**70, 2**70),
        (datetime(2024, 1, 2, 3, tzinfo=CET), "2024-01-02T03:00:00+01:00"),
        (datetime(2024, 1, 2, 3), "2024-01-02T03:00:00Z"),
        (pd.Timestamp("2024-01-02T03:00:00Z"), "2024-01-02T03:00:00Z"),
        (date(2024, 1, 2), date(2024, 1, 2)),
        (time(3, 4), "03:04:00"),
        (b"\x00\xff", "00ff"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/a"), "/a"),
        (Colour.RED, "red"),
        ((1, {"a": b"\x01"}), [1, {"a": "01"}]),
        (pd.Series([5]).to_numpy()[0], 5),
        (pd.Series([1, 2]).to_numpy(), [1, 2]),
    ],
)
def test_each_type_has_one_form(value: object, expected: object) -> None:
    """What a dict holds comes out as JSON, a date or a Decimal."""
    [row] = rows({"v": value})
    assert row["v"] == expected
    assert type(row["v"]) is type(expected)


@pytest.mark.parametrize("item", [3, "text", b"bytes", [1], [["a"]], {"d": timedelta(1)}, object()])
def test_what_is_no_row_is_refused(item: object) -> None:
    """Nothing is guessed: the poll fails and says what came."""
    with pytest.raises(FormError):
        rows(item)


@pytest.mark.parametrize(
    "bad", [[1j], pd.to_timedelta([1], unit="s"), pd.Series([object()]), pd.Series([1])]
)
def test_a_column_without_a_place_says_so(bad: Any) -> None:
    """Whatever pandas and Arrow raise for it, the error is one, and names the column."""
    item = bad if str(getattr(bad, "dtype", "")) == "int64" else pd.DataFrame({"s": bad})
    with pytest.raises(FormError, match="'s'|Series"):
        rows(item)


def test_periods_are_texts_and_sparse_columns_are_dense() -> None:
    """A month was the number of months since 1970."""
    months = pd.PeriodIndex(["2024-01", None], freq="M")
    df = pd.DataFrame({"month": months, "few": pd.arrays.SparseArray([0, 1])})
    assert rows(df) == [{"month": "2024-01", "few": 0}, {"month": None, "few": 1}]


def test_late_keys_and_integers_beside_null_stay() -> None:
    """A key that the first row lacks is a column, and 1 beside None is a 64-bit integer."""
    [batch] = built([{"a": None}, {"a": 2**60}, {"late": "x"}])
    assert kinds(batch) == {"a": "int64", "late": "string"}
    assert batch.to_pylist()[1:] == [{"a": 2**60, "late": None}, {"a": None, "late": "x"}]


def test_dates_and_decimals_have_columns_of_their_own() -> None:
    """They do not become text and float on their way, and are remembered."""
    day, price = date(2024, 1, 2), Decimal("12.345678901234567890123")
    first, then = built([{"d": day, "m": price}], [{"d": None, "m": 5}])
    assert kinds(first)["d"] == kinds(then)["d"] == "date32[day]"
    assert kinds(then)["m"].startswith("decimal")
    assert first.to_pylist()[0]["m"] == price
    assert then.to_pylist()[0]["m"] == 5


def test_dates_and_decimals_widen_as_json_does() -> None:
    """A date beside text is text; a decimal goes into a column of floats if it is exact there."""
    _, text, number = built(
        [{"d": date(2024, 1, 2), "f": 0.5}],
        [{"d": "soon", "f": Decimal("0.1")}, {"d": date(2024, 1, 3), "f": None}],
        [{"d": Decimal("1.50"), "f": 1}],
    )
    assert text.to_pylist() == [{"d": "soon", "f": 0.1}, {"d": "2024-01-03", "f": None}]
    assert number.to_pylist() == [{"d": "1.5", "f": 1.0}]


def test_a_frame_keeps_zones_integers_and_named_index() -> None:
    """Instants keep their zone's instant; whole numbers beside NaN were integers."""
    frame = pd.DataFrame(
        {
            "t": pd.to_datetime(["2024-07-01", None]).tz_localize("Europe/Berlin"),
            "n": [1.0, None],
            "x": [0.5, None],
            "i": pd.array([2**60, None], dtype="Int64"),
            "s": ["a", None],
            "c": pd.Categorical(["u", "v"]),
        },
        index=pd.Index(["k1", "k2"], name="key"),
    )
    [batch] = built(frame)
    assert kinds(batch) == {
        "key": "string",
        "t": "timestamp[us, tz=UTC]",
        "n": "int64",
        "x": "double",
        "i": "int64",
        "s": "string",
        "c": "string",
    }
    first, second = batch.to_pylist()
    assert first["t"] == datetime(2024, 6, 30, 22, tzinfo=UTC)
    assert (second["t"], second["n"], first["i"], second["c"]) == (None, None, 2**60, "v")


def test_nanoseconds_are_not_cut_off() -> None:
    """An instant finer than the columns' microsecond stays a text, as it does from JSON."""
    fine = pa.table({"t": pa.array([1], pa.timestamp("ns", "UTC"))})
    assert rows(fine) == [{"t": "1970-01-01T00:00:00.000000001Z"}]


def test_arrow_types_stay() -> None:
    """Arrow's dates, decimals, nested and binary values follow the same rules as Python's."""
    table = pa.table(
        {
            "d": pa.array([date(2024, 1, 2), None]),
            "m": pa.array([Decimal("1.25"), None]),
            "l": pa.array([[1, 2], None]),
            "b": pa.array([b"\x01", None]),
            "j": pa.ExtensionArray.from_storage(JSON, pa.array(['{"a":1}', None])),
            "naive": pa.array([datetime(2024, 1, 2), None], pa.timestamp("ms")),
        }
    )
    expected = {
        "d": date(2024, 1, 2),
        "m": Decimal("1.25"),
        "l": [1, 2],
        "b": "01",
        "j": {"a": 1},
        "naive": "2024-01-02T00:00:00.000000Z",
    }
    assert rows(table)[0] == expected
    assert set(rows(table)[1].values()) == {None}
    assert rows(table.to_batches()[0]) == rows(table)


def test_a_large_table_comes_in_parts() -> None:
    """50,000 rows at most are Python values at a time."""
    assert [len(chunk.values) for chunk in chunks(pa.table({"a": range(120_000)}))] == [
        50_000,
        50_000,
        20_000,
    ]


def test_declared_columns_take_python_values() -> None:
    """`columns` work as for JSON: paths, types, defaults; a misfit is a dead letter."""
    columns = [
        Column("day", "date", "d"),
        Column("price", "decimal", "m"),
        Column("first", "int", "l[0]"),
    ]
    form = Form(rows=None, columns=columns)
    [chunk] = chunks([{"d": date(2024, 1, 2), "m": Decimal("1.50"), "l": [7]}, {"d": "no date"}])
    result = form.parse(chunk).build()
    assert result.rows.to_pylist() == [
        {"day": date(2024, 1, 2), "price": Decimal("1.5"), "first": 7}
    ]
    assert [(dead.row, dead.content) for dead in result.dead] == [(1, '{"d":"no date"}')]


@pytest.mark.parametrize("columns", [None, "declared"])
def test_infinity_is_what_it_is_or_its_row_is_dead(columns: str | None) -> None:
    """A float column holds it, declared or not; where there is no place for it, it is no NULL."""
    declared = [Column("f", "float"), Column("j", "json"), Column("s", "str"), Column("n", "json")]
    form = Form(rows=None, columns=None if columns is None else declared)
    form.parse(Chunk([{"f": 0.5, "j": {}, "s": "a", "n": None}])).build()
    inf = math.inf
    good = {"f": inf, "j": {"a": 1}}, {"f": -inf, "j": None}, {"f": None, "s": "b"}
    bad = {"j": inf}, {"j": [{"a": -inf}]}, {"s": inf, "f": inf}, {"n": {"a": [inf]}, "f": inf}
    built = form.parse(Chunk([*good, *bad])).build()
    assert built.rows.column("f").to_pylist() == [inf, -inf, None]
    assert built.rows.column("j").storage.to_pylist() == ['{"a":1}', None, None]
    assert [letter.row for letter in built.dead] == [3, 4, 5, 6]


@pytest.mark.parametrize("type_", ["int", "decimal", "str", "bool", "date"])
def test_infinity_in_another_declared_column_is_a_dead_letter(type_: str) -> None:
    """It was NULL once."""
    form = Form(rows=None, columns=[Column("x", type_)])
    built = form.parse(Chunk([{"x": math.inf}, {"x": None}])).build()
    assert (built.rows.num_rows, [letter.row for letter in built.dead]) == (1, [0])


def test_infinity_in_an_expression_for_json_is_a_dead_letter() -> None:
    """What an expression makes of a row has no infinity either."""
    form = Form(rows=None, columns=[Column("x", "json", "{a: f}"), Column("f", "float")])
    built = form.parse(Chunk([{"f": math.inf}, {"f": 1.5}])).build()
    assert built.rows.column("x").storage.to_pylist() == ['{"a":1.5}']
    assert "infinite" in built.dead[0].reason


@pytest.mark.parametrize("columns", [None, [Column("x", "float"), Column("j", "json")]])
def test_an_infinite_decimal_costs_its_row(columns: list[Column] | None) -> None:
    """Beside JSON, or in it, it failed the poll."""
    form, far = Form(rows=None, columns=columns), Decimal("Infinity")
    rows = [{"x": 0.5, "j": {"a": "Infinity"}}, {"x": far, "j": [1]}, {"x": 1.5, "j": {"a": far}}]
    built = form.parse(Chunk(rows)).build()
    assert built.rows.column("x").to_pylist() == [0.5]
    assert [letter.row for letter in built.dead] == [1, 2]


def test_json_columns_of_arrow_hold_numbers_of_any_size() -> None:
    """A store composes shards of such rows: they are no reason to fail for ever."""
    texts = pa.array(['{"a":1e999}', "[1]", None])
    table = pa.table({"j": pa.ExtensionArray.from_storage(JSON, texts)})
    built = Form(rows=None, columns=None).parse(next(chunks(table))).build()
    assert built.rows.column("j").storage.to_pylist() == ['{"a":1E+999}', "[1]", None]


def test_half_a_character_is_a_dead_letter() -> None:
    """A lone surrogate costs its row, not the others."""
    result = Form(rows=None, columns=None).parse(Chunk([{"a": "x"}, {"a": "\ud800"}])).build()
    assert result.rows.num_rows == 1
    assert "surrogate" in result.dead[0].reason


# -- columns that are taken as they are ------------------------------------------------------


def _form_that_knows(**columns: pa.DataType) -> Form:
    form = Form(rows=None, columns=None)
    chunk = Chunk([])
    chunk.types = {name: name_of(type_) for name, type_ in columns.items()}
    form.parse(chunk)
    return form


def _taken(form: Form, table: pa.Table) -> tuple[list[Any], bool]:
    """Return the rows that *form* makes of *table*, and whether it looked at rows at all."""
    looked: list[int] = []
    (chunk,) = chunks(table)
    make = chunk._values
    assert callable(make)
    chunk._values = lambda: looked.append(1) or make()
    built = form.parse(chunk).build()
    assert not built.dead
    return built.rows.to_pylist(), bool(looked)


UTC_US = pa.timestamp("us", "UTC")
KNOWN = {"i": pa.int64(), "f": pa.float64(), "b": pa.bool_(), "s": pa.string(), "t": UTC_US}


def test_columns_are_taken_as_they_are() -> None:
    """Columns of the types that the form knows become its columns, and no row is made."""
    values = {"t": [None, datetime(2024, 1, 2)], "s": ["2024-01-01T00:00:00Z", None]}
    for unit in ("s", "ms", "us", "ns"):
        table = pa.table(
            {
                "t": pa.array(values["t"], pa.timestamp(unit)),
                "s": pa.array(values["s"]),
                "i": pa.array([2**60, None]),
                "b": pa.array([None, False]),
            }
        )
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
        rows, looked = _taken(_form_that_knows(**KNOWN), table)
        assert not looked
        assert rows == [
            {"i": 2**60, "f": None, "b": None, "s": "2024-01-01T00:00:00Z", "t": None},
            {"i": None, "f": None, "b": False, "s": None, "t": datetime(2024, 1, 2, tzinfo=UTC)},
        ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, float("inf")]),
        pa.array([1.0, float("nan")]),
        pa.array([1, 2]),
        pa.array(["x", "y"]),
        pa.array([True, None]),
    ],
    ids=str,
)
def test_other_columns_go_the_general_way(column: pa.Array[Any]) -> None:
    """What JSON does not hold, or is of another type, is looked at row by row, as ever."""
    form, general = _form_that_knows(f=pa.float64()), _form_that_knows(f=pa.float64())
    (chunk,) = chunks(pa.table({"f": column}))
    found, expected = form.parse(chunk).build(), general.parse(Chunk(chunk.values)).build()
    assert found.rows.equals(expected.rows)
    assert found.dead == expected.dead
    assert form.memory == general.memory


def test_instants_that_are_too_fine() -> None:
    """An instant finer than a microsecond is not cut off because the column knows instants."""
    table = pa.table({"t": pa.array([1], pa.timestamp("ns", "UTC"))})
    form = _form_that_knows(t=UTC_US)
    page = form.parse(next(chunks(table)))
    assert page.table is None


def test_rows_of_columns() -> None:
    """Rows may be left out, and shown, though they came as columns."""
    form = _form_that_knows(**KNOWN)
    page = form.parse(next(chunks(pa.table({"i": [1, 2, 3], "s": ["a", "b", "c"]}))))
    assert page.table is not None
    assert (page.n_rows, page.raw(1)) == (3, b'{"i":2,"s":"b"}')
    assert page.row_hash(0) != page.row_hash(1)
    assert [row["i"] for row in page.build([0, 2]).rows.to_pylist()] == [2]


def test_columns_after_the_form_has_changed() -> None:
    """A page that waited while the form learned another column has that column, too."""
    form = _form_that_knows(i=pa.int64())
    page = form.parse(next(chunks(pa.table({"i": [1]}))))
    form.parse(Chunk([{"i": 1, "new": "x"}])).build()
    assert page.build().rows.to_pylist() == [{"i": 1, "new": None}]


def test_new_columns_of_a_frozen_form() -> None:
    """With ``schema: freeze`` a new column's rows are dead letters, however they come."""
    form = Form(rows=None, columns=None, schema="freeze")
    form.parse(Chunk([{"i": 1}])).build()
    built = form.parse(next(chunks(pa.table({"i": [1], "new": ["x"]})))).build()
    assert (built.rows.num_rows, len(built.dead)) == (0, 1)


def test_big_integers_are_remembered() -> None:
    """A column that held integers beyond 2^53 does not become a float later."""
    form = _form_that_knows(i=pa.int64())
    form.parse(next(chunks(pa.table({"i": [2**60]})))).build()
    built = form.parse(Chunk([{"i": 0.5}])).build()
    assert pa.types.is_decimal(built.rows.schema.field("i").type)


def test_infinity_is_no_null_once_its_column_is_known() -> None:
    """JSON has no infinity; a row that holds one is not read from its JSON."""
    form = Form(rows=None, columns=None, memory={"columns": {"x": "float"}})
    built = form.parse(Chunk([{"x": 1.5}, {"x": float("-inf")}])).build()
    assert built.rows.column("x").to_pylist() == [1.5, float("-inf")]
