"""Tables come back from files as they were, as far as the format can say it."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api2db.core.errors import ConfigError, FileUnreadable
from api2db.core.types import JSON
from api2db.files import codec

if TYPE_CHECKING:
    from pathlib import Path

STAMP = pa.timestamp("us", "UTC")
INSTANTS = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))
KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "i": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "f": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "b": (pa.bool_(), st.booleans()),
    "s": (pa.string(), st.text()),
    "t": (STAMP, INSTANTS.map(lambda t: t.replace(tzinfo=UTC))),
    "d": (pa.date32(), st.dates()),
    "n": (pa.decimal128(38, 9), st.decimals(-(10**20), 10**20, places=9)),
    "z": (pa.null(), st.none()),
}
ROW = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in KINDS.items()})
NESTED = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.text(), st.lists, max_leaves=5
)
_QUICK = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def table(rows: list[dict[str, Any]], nested: list[Any] | None = None) -> pa.Table:
    """Return *rows*, and *nested* as a column of JSON."""
    columns: dict[str, Any] = {
        name: pa.array([row[name] for row in rows], type_) for name, (type_, _) in KINDS.items()
    }
    if nested is not None:
        text = pa.array([orjson.dumps(value).decode() for value in nested])
        columns["j"] = pa.ExtensionArray.from_storage(JSON, text)
    return pa.table(columns)


def written(rows: pa.Table, path: Path) -> Path:
    """Write *rows* in the format that the name of *path* says."""
    with path.open("wb") as file:
        codec.write(rows, file, path.suffix[1:])
    return path


@_QUICK
@given(st.lists(ROW, min_size=1, max_size=5))
def test_parquet_and_pickle_keep_types_and_values(tmp_path: Path, rows: list[Any]) -> None:
    """What is written is read, with its types, column for column; JSON as its text."""
    want = table(rows, [row["s"] for row in rows])
    for fmt in ("parquet", "pickle"):
        found = codec.read(written(want, tmp_path / f"t.{fmt}"), fmt)
        assert found.schema.remove_metadata() == want.schema
        assert found.to_pylist() == want.to_pylist()


@_QUICK
@given(st.lists(st.tuples(ROW, NESTED.map(lambda x: {"a": x})), min_size=1, max_size=5))
def test_json_says_all_values(tmp_path: Path, rows: list[Any]) -> None:
    """Another reader finds every value: numbers with all digits, text, nested ones, null."""
    want = table([row for row, _ in rows], [nested for _, nested in rows])
    records = json.loads(written(want, tmp_path / "t.json").read_text(), parse_float=Decimal)
    for record, (row, nested) in zip(records, rows, strict=True):
        assert list(record) == want.column_names
        assert record["j"] == nested
        for name in ("i", "b", "s", "n"):
            assert record[name] == row[name]
        assert record["f"] is row["f"] is None or float(record["f"]) == row["f"]
        if row["t"] is not None:
            assert datetime.fromisoformat(record["t"]) == row["t"]
        if row["d"] is not None:
            assert date.fromisoformat(record["d"]) == row["d"]


@_QUICK
@given(st.lists(st.tuples(ROW, NESTED.map(lambda x: [x])), min_size=1, max_size=5))
def test_csv_says_all_values(tmp_path: Path, rows: list[Any]) -> None:
    """Another reader finds each value's text; NULL is an empty field, an empty text quoted."""
    want = table([row for row, _ in rows], [nested for _, nested in rows])
    path = written(want, tmp_path / "t.csv")
    with path.open(newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file, strict=True))
    for record, (row, nested) in zip(records, rows, strict=True):
        assert orjson.loads(record["j"]) == nested
        assert record["s"] == (row["s"] or "")
        assert record["i"] == ("" if row["i"] is None else str(row["i"]))
        assert record["n"] == "" or Decimal(record["n"]) == row["n"]
        assert record["f"] == "" or float(record["f"]) == row["f"]
    text = codec.read(path, "csv")["s"].to_pylist()
    assert [t is None for t in text] == [row["s"] is None for row, _ in rows]


@_QUICK
@given(st.sampled_from(["i", "f", "b", "s", "t", "n"]), st.data())
def test_json_and_csv_read_what_would_be_written_again(
    tmp_path: Path, name: str, data: st.DataObject
) -> None:
    """Types are found anew, and writing them again gives the same file."""
    type_, values = KINDS[name]
    column = data.draw(st.lists(st.none() | values, min_size=1, max_size=5))
    rows = pa.table({"id": list(range(len(column))), name: pa.array(column, type_)})
    for fmt in ("json", "csv"):
        path = written(rows, tmp_path / f"t.{fmt}")
        before = path.read_bytes()
        found = written(codec.read(path, fmt), path).read_bytes()
        if fmt == "json":  # of a small decimal: the same number, as floats are written
            assert json.loads(found) == json.loads(before)
        else:
            assert found == before


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        ([1, None, -(2**63)], pa.int64()),
        ([1, 0.5], pa.float64()),
        ([2**53 + 1, 0.5], pa.decimal128(38, 9)),
        ([2**70], pa.decimal128(38, 0)),
        ([Decimal("0.12345678901234567890123")], pa.decimal256(76, 38)),
        ([True, None], pa.bool_()),
        (["2024-01-01T00:00:00Z", None], STAMP),
        (["007", "1e3"], pa.string()),
        ([None], pa.null()),
        ([1, "x"], JSON),
        ([{"a": Decimal("0.12345678901234567890123")}], JSON),
    ],
)
def test_types_found_in_json(tmp_path: Path, values: list[Any], type_: pa.DataType) -> None:
    """A column has the type that holds all its values exactly."""
    path = tmp_path / "t.json"
    records = [{"v": value} for value in values]
    text = json.dumps(records, default=lambda number: f"#{number}#")
    path.write_text(text.replace('"#', "").replace('#"', ""))
    found = codec.read(path, "json")
    assert found.schema.field("v").type == type_
    assert b"0.12345678901234567890123" in path.read_bytes() or found["v"].null_count < 2


@pytest.mark.parametrize("fmt", ["json", "csv"])
def test_extend_leaves_what_is_there(tmp_path: Path, fmt: str) -> None:
    """Rows are added behind the bytes that are there, whoever wrote them."""
    old = '[{"v": 1.10},\n\n {"v":"mine"} ]' if fmt == "json" else 'w,"v"\r\n1,"1.10"\r\n,mine'
    path, new = tmp_path / f"t.{fmt}", tmp_path / "new"
    path.write_text(old)
    with new.open("wb") as file:
        codec.extend(path, [pa.table({"v": ["x"]})], file, fmt)
    assert new.read_bytes().startswith(old.rstrip("] ").encode())
    path.write_bytes(new.read_bytes())
    with new.open("wb") as file:
        codec.extend(path, [pa.table({"v": ["y"], "late": [2]})], file, fmt)
    new.rename(path)
    rows = codec.read(path, fmt).to_pylist()
    assert [str(row["v"]).strip('"') for row in rows] in (
        ["1.10", "mine", "x", "y"],
        ["1.1", "mine", "x", "y"],
    )
    assert [row["late"] for row in rows] == [None, None, None, 2]


@pytest.mark.parametrize(("fmt", "empty"), [("json", "[]"), ("json", " [\n] "), ("csv", "")])
def test_extend_of_nothing(tmp_path: Path, fmt: str, empty: str) -> None:
    """An array without records, and a file without a header, take rows."""
    path, new = tmp_path / f"t.{fmt}", tmp_path / f"new.{fmt}"
    path.write_text(empty)
    with new.open("wb") as file:
        codec.extend(path, [pa.table({"v": [1]})], file, fmt)
    assert codec.read(new, fmt).to_pylist() == [{"v": 1}]


@pytest.mark.parametrize("fmt", codec.FORMATS)
@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"nonsense\0", b'{"a": 1}', b'"', b"[1, 2]", b"PAR1PAR1"),
        b'[{"a": 1e' + b"9" * 25 + b"}]",
    ],
)
def test_a_file_of_something_else(tmp_path: Path, fmt: str, content: bytes) -> None:
    """What cannot be read is one error, which names the file."""
    path = tmp_path / f"t.{fmt}"
    path.write_bytes(content)
    if fmt == "csv" and content not in (b"", b'"'):
        codec.read(path, fmt)  # any text is a CSV file
        return
    with pytest.raises(FileUnreadable, match=str(path)):
        codec.read(path, fmt)


@pytest.mark.parametrize("fmt", ["json", "csv"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b"[1]", b'[{"a":[]', b'"\xff'])
def test_extend_of_something_else(tmp_path: Path, fmt: str, content: bytes) -> None:
    """Nothing is added to what is no array of records."""
    path = tmp_path / f"t.{fmt}"
    path.write_bytes(content)
    if fmt == "csv" and b"\xff" not in content:
        return
    with (tmp_path / "new").open("wb") as file, pytest.raises(FileUnreadable):
        codec.extend(path, [pa.table({"v": [1]})], file, fmt)


def test_rows_that_a_format_cannot_hold() -> None:
    """NaN and infinity are no JSON; the year 10000 has no text; broken JSON is none."""
    far = pa.array([0, 253_402_300_800_000_000], pa.int64()).cast(STAMP)
    rows = pa.record_batch({"f": [float("nan"), 1.0], "t": far})
    assert list(codec.unfit(rows, "json")) == [1, 0]
    assert list(codec.unfit(rows, "csv")) == [1]
    assert codec.unfit(rows, "parquet") == {}
    broken = pa.ExtensionArray.from_storage(JSON, pa.array(["{}", "{", None]))
    assert list(codec.unfit(pa.record_batch({"j": broken}), "json")) == [1]


@pytest.mark.parametrize("fmt", ["json", "csv", "pickle"])
def test_a_type_without_a_place(tmp_path: Path, fmt: str) -> None:
    """Binary has no text, and no name among the types."""
    with (tmp_path / "t").open("wb") as file, pytest.raises(ConfigError, match="binary"):
        codec.write(pa.table({"v": [b"x"]}), file, fmt)


def test_a_format_that_is_none() -> None:
    """The error names the formats."""
    with pytest.raises(ConfigError, match="parquet"):
        codec.write(pa.table({"v": [1]}), io.BytesIO(), "xlsx")
