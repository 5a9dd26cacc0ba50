"""Steps on the table: each documented example, and what must not be lost."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api2db.core.errors import FileUnreadable, FormError, SourceUnavailable
from api2db.ingest import (
    ApiForm,
    ColumnAdd,
    ColumnApply,
    ColumnsCalculate,
    DateCast,
    DropNa,
    Feature,
    MergeStatic,
)
from api2db.ingest.post_process.post import Post


def _foobar() -> pd.DataFrame:
    return pd.DataFrame({"Foo": [1, 2, 3], "Bar": ["A", "B", "C"]})


def test_typecast() -> None:
    """The pandas dtype of each Python type is as documented."""
    for typecast in (Post.typecast, ApiForm.typecast):
        found = [typecast(dtype) for dtype in (int, float, bool, str, dict)]
        assert found == ["Int64", "Float64", "bool", "string", "string"]


def test_column_add() -> None:
    """The example: a column with one value. (The lambda takes nothing, as the summary has it.)"""
    post = ColumnAdd(key="FooBar", lam=lambda: 5, dtype=int)
    found = post.lam_wrap(_foobar())
    assert found.to_dict("list") == _foobar().to_dict("list") | {"FooBar": [5, 5, 5]}
    assert (found["FooBar"].dtype, post.dtype, post.ctype) == ("Int64", "Int64", "column_add")


def test_column_apply() -> None:
    """The example: each value of a column is replaced."""
    post = ColumnApply(key="Foo", lam=lambda x: x + 1, dtype=int)
    found = post.lam_wrap(_foobar())
    assert found.to_dict("list") == {"Foo": [2, 3, 4], "Bar": ["A", "B", "C"]}
    assert (found["Foo"].dtype, post.ctype) == ("Int64", "column_apply")


def test_columns_calculate() -> None:
    """The example: columns are computed from others. (``dtypes`` is a list, as its type says.)"""

    def foobar(d: pd.DataFrame) -> pd.DataFrame:
        d["Foo+Bar"] = d["Foo"] + d["Bar"]
        d["Foo*Bar"] = d["Foo"] * d["Bar"]
        return d[["Foo+Bar", "Foo*Bar"]]

    post = ColumnsCalculate(keys=["Foo+Bar", "Foo*Bar"], lam=foobar, dtypes=[int, int])
    found = post.lam_wrap(pd.DataFrame({"Foo": [1, 2, 3], "Bar": [2, 4, 8]}))
    assert found.to_dict("list") == {
        "Foo": [1, 2, 3],
        "Bar": [2, 4, 8],
        "Foo+Bar": [3, 6, 11],
        "Foo*Bar": [2, 8, 24],
    }
    assert [str(found[key].dtype) for key in post.keys] == post.dtypes == ["Int64", "Int64"]


def test_null_is_not_false() -> None:
    """A computed bool that is NULL stays NULL."""
    frame = pd.DataFrame({"a": pd.array([1, None], "Int64")})
    found = ColumnsCalculate(["b"], lambda d: pd.DataFrame({"b": d["a"] > 0}), [bool])(frame)
    assert (found["b"].dtype, found["b"].isna().tolist()) == ("boolean", [False, True])


def test_date_cast() -> None:
    """The example: texts become datetime64[ns]; what is none becomes NaT."""
    days = ["2021-04-29 01:39:00", "2021-04-29 01:39:00", "Bar!"]
    frame = pd.DataFrame({"Foo": pd.array(days, "string"), "Bar": [False, False, True]})
    found = DateCast(key="Foo", fmt="%Y-%m-%d %H:%M:%S").lam_wrap(frame)
    assert [str(dtype) for dtype in found.dtypes] == ["datetime64[ns]", "bool"]
    assert found["Foo"].tolist()[:2] == [pd.Timestamp("2021-04-29 01:39:00")] * 2
    assert found["Foo"].isna().tolist() == [False, False, True]


def test_date_cast_with_zones() -> None:
    """Instants with different zones become UTC."""
    frame = pd.DataFrame({"t": ["2021-04-29 01:00+0200", "2021-04-29 01:00-0300", None]})
    found = DateCast(key="t", fmt="%Y-%m-%d %H:%M%z").lam_wrap(frame)
    assert str(found["t"].dtype) == "datetime64[ns, UTC]"
    assert found["t"].dt.strftime("%d %H").tolist()[:2] == ["28 23", "29 04"]


@pytest.mark.skipif(pd.__version__ < "3", reason="pandas 2 knows no other unit here")
def test_date_cast_beyond_nanoseconds() -> None:
    """A date that nanoseconds cannot count is kept."""
    frame = pd.DataFrame({"t": ["1500-01-02", "x"]})
    found = DateCast(key="t", fmt="%Y-%m-%d").lam_wrap(frame)
    assert found["t"].dt.strftime("%Y-%m-%d").tolist()[0] == "1500-01-02"


def test_drop_na() -> None:
    """Rows with NULL in one of the keys go, others stay; the rest is numbered anew."""
    form = ApiForm(
        "x",
        data_features=[Feature(key, key, int) for key in "abc"],
        post_process=[DropNa(keys=["a", "b"])],
    )
    rows = [{"a": 1}, {"a": 2, "b": 3}, {"b": 1, "c": 1}, {"a": 4, "b": 5, "c": 6}]
    frame = form.frame(rows)
    assert frame is not None
    assert frame["a"].tolist() == [2, 4]
    assert frame.index.tolist() == [0, 1]


# -- MergeStatic ---------------------------------------------------------------------------


def _merged(path: Path) -> list[Any]:
    frame = pd.DataFrame({"id": pd.array([2, 1, 9], "Int64")})
    found = MergeStatic(key="id", path=str(path)).lam_wrap(frame)
    assert found["id"].tolist() == [2, 1, 9]
    return [None if pd.isna(name) else name for name in found["name"]]


def test_merge_static(tmp_path: Path) -> None:
    """The columns of the pickled DataFrame are joined; rows without a match stay."""
    path = tmp_path / "places.pickle"
    pd.DataFrame({"id": [1, 2], "name": ["one", "two"]}).to_pickle(path)
    assert _merged(path) == ["two", "one", None]


def test_merge_static_parquet(tmp_path: Path) -> None:
    """The file may be Parquet too."""
    path = tmp_path / "places.parquet"
    pq.write_table(pa.table({"id": [1, 2], "name": ["one", "two"]}), path)
    assert _merged(path) == ["two", "one", None]


def test_merge_static_without_file(tmp_path: Path) -> None:
    """A missing file is an error that names it; a later poll tries again."""
    form = ApiForm("x", post_process=[MergeStatic(key="id", path=str(tmp_path / "no.pickle"))])
    with pytest.raises(SourceUnavailable, match="there is no file .*no.pickle"):
        form.frame([])


class _Evil:
    def __reduce__(self) -> Any:
        return print, ("run",)


def test_merge_static_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pickle that holds more than a DataFrame is refused, and nothing in it is run."""
    path = tmp_path / "places.pickle"
    path.write_bytes(pickle.dumps(_Evil()))
    with pytest.raises(FileUnreadable, match="no DataFrame"):
        MergeStatic("id", str(path)).lam_wrap(pd.DataFrame({"id": [1]}))
    assert capsys.readouterr().out == ""


# -- as Arrow ------------------------------------------------------------------------------


def test_table() -> None:
    """With steps after the columns too, the table has plain Arrow types and no index."""
    form = ApiForm(
        "x",
        data_features=[Feature("s", "s", str), Feature("b", "b", bool, nan_bool=None)],
        post_process=[
            ColumnAdd("n", lambda: 5, int),
            ColumnApply("s", str.upper, str),
            DateCast("day", "%Y-%m-%d"),
        ],
    )
    form.post_process.insert(0, ColumnAdd("day", lambda: "2021-04-29", str))
    table = form.table([{"s": "x"}, {"s": "y", "b": True}])
    assert table is not None
    assert table.schema == pa.schema(
        {"s": pa.string(), "b": pa.bool_(), "day": pa.timestamp("ns"), "n": pa.int64()}
    )
    assert table.select(["s", "b", "n"]).to_pylist() == [
        {"s": "X", "b": None, "n": 5},
        {"s": "Y", "b": True, "n": 5},
    ]


def test_failing_step() -> None:
    """A step that fails fails the poll, and the error says which it was."""
    form = ApiForm("x", data_features=[Feature("s", "s", str)])
    form.add_post(ColumnAdd("n", lambda: 5, int))
    form.add_post(ColumnApply("s", lambda x: x.upper(), str))
    message = r"post_process\[1\] \(ColumnApply 's'\) failed: AttributeError"
    with pytest.raises(FormError, match=message):
        form.table([{"s": None}])


def test_column_without_a_type() -> None:
    """A column with values of different types is an error, not a row that is lost."""

    class Mixed(Post):
        def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
            lam_arg["m"] = [1, "x"]
            return lam_arg

    form = ApiForm("x", data_features=[Feature("s", "s", str)], post_process=[Mixed()])
    with pytest.raises(FormError, match="no one type"):
        form.table([{}, {}])


# -- without pandas ------------------------------------------------------------------------


class PandasAdd(ColumnAdd):
    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        return super().lam_wrap(lam_arg)


class PandasDrop(DropNa):
    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        return super().lam_wrap(lam_arg)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (int, 5),
        (int, None),
        (int, 2.0),
        (float, 0.5),
        (float, float("nan")),
        (float, 3),
        (bool, True),
        (bool, None),
        (str, "x"),
        (str, None),
        (str, pd.Timestamp("2021-04-29")),
        (str, 5),
    ],
    ids=repr,
)
def test_column_add_without_pandas(dtype: Any, value: Any) -> None:
    """A column that is added to an Arrow table is the one that pandas would have made."""
    asked: list[int] = []

    def lam() -> Any:
        asked.append(1)
        return value

    features = [Feature("a", "a", int), Feature("b", "b", str)]
    rows = [{"a": 1, "b": "x"}, {"a": None}]
    for key in ("a", "new"):
        tables = [
            ApiForm("x", None, features, [add(key, lam, dtype)]).table(rows)
            for add in (ColumnAdd, PandasAdd)
        ]
        assert tables[0] == tables[1]
    assert len(asked) == 4


def test_column_add_that_does_not_fit() -> None:
    """A value that is not of the type declared is an error, with pandas and without."""
    for value in ("x", 2**63):
        for add in (ColumnAdd, PandasAdd):
            form = ApiForm("x", None, [Feature("a", "a", int)], [add("n", lambda v=value: v, int)])
            with pytest.raises(FormError, match=r"post_process\[0\] \(.*Add 'n'\) failed"):
                form.table([{}])


def test_drop_na_without_pandas() -> None:
    """The rows that stay are those that pandas would leave; a column that is missing fails."""
    features = [Feature("a", "a", int), Feature("b", "b", float)]
    rows = [{"a": 1}, {"a": 2, "b": float("nan")}, {"a": 3, "b": 0.5}, {}]
    for keys in ([], ["a"], ["a", "b"]):
        table = ApiForm("x", None, features, [DropNa(keys)]).table(rows)
        assert table == ApiForm("x", None, features, [PandasDrop(keys)]).table(rows)
    with pytest.raises(FormError, match=r"DropNa \['c'\]"):
        ApiForm("x", None, features, [DropNa(["c"])]).table(rows)


def test_order_of_steps() -> None:
    """Steps with and without pandas are done once each, in the order of the list."""
    done: list[str] = []

    def step(name: str) -> Any:
        return lambda *_: done.append(name) or name

    posts = [
        ColumnAdd("a", step("add"), str),
        ColumnApply("a", step("apply"), str),
        ColumnAdd("b", step("again"), str),
        ColumnApply("b", lambda b: b.nothing, str),
    ]
    form = ApiForm("x", None, [Feature("a", "a", int)], posts[:3])
    table = form.table([{}])
    assert table is not None
    assert table.to_pylist() == [{"a": "apply", "b": "again"}]
    assert done == ["add", "apply", "again"]
    form.add_post(posts[3])
    with pytest.raises(FormError, match=r"post_process\[3\]"):
        form.table([{}])
