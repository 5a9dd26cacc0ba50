"""A feature: where a column's values lie, and what each becomes."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

from api2db.core.errors import ConfigError
from api2db.ingest import ApiForm, Feature
from api2db.ingest.data_feature.rows import Rows
from api2db.ingest.tally import Tally

NAN = float("nan")


def _first(x: dict[str, Any]) -> Any:
    return x["a"]


def _column(feature: Feature, values: list[Any]) -> list[Any]:
    return feature.column(Rows([{"a": value} for value in values]), Tally()).to_pylist()


def test_summary() -> None:
    """The documented features find their values, at any depth, under the names given."""
    data = [{"id": 1, "name": "Foo", "nest0": {"nest1": {"x": True}, "y": 14.3}}]
    form = ApiForm(
        name="doc",
        data_features=[
            Feature(key="uuid", lam=lambda x: x["id"], dtype=int),
            Feature(key="name", lam=lambda x: x["name"], dtype=str),
            Feature(key="x", lam=lambda x: x["nest0"]["nest1"]["x"], dtype=bool),
            Feature(key="y", lam=lambda x: x["nest0"]["y"], dtype=bool),
        ],
    )
    table = form.table(data)
    assert table is not None
    assert table.to_pylist() == [{"uuid": 1, "name": "Foo", "x": True, "y": True}]
    row = {feature.key: feature(data[0]) for feature in form.data_features}
    assert row == table.to_pylist()[0]


#: Python type -> a value, and what becomes of it.
CASTS: list[tuple[Any, Any, Any]] = [
    (int, 5, 5),
    (int, "5", 5),
    (int, 2.9, 2),
    (int, -2.9, -2),
    (int, True, 1),
    (int, "x", None),
    (int, NAN, None),
    (int, 2**63, None),
    (int, math.inf, None),
    (int, {}, None),
    (int, pd.NA, None),
    (int, np.int64(7), 7),
    (float, 5, 5.0),
    (float, "2.5", 2.5),
    (float, 2**60 + 1, float(2**60)),
    (float, NAN, None),
    (float, math.inf, math.inf),
    (float, "nan", None),
    (float, "x", None),
    (bool, 1, True),
    (bool, 0.0, False),
    (bool, "x", True),
    (bool, "", False),
    (bool, None, None),
    (bool, NAN, None),
    (bool, pd.NA, None),
    (str, "x", "x"),
    (str, 5, "5"),
    (str, True, "True"),
    (str, {"b": 1}, "{'b': 1}"),
    (str, None, None),
    (str, NAN, None),
    (str, b"x", "x"),
    (str, "NaN", None),
    (str, "None", None),
    (str, "NULL", None),
    (str, "nIl", None),
    (str, "nilly", "nilly"),
    (str, "\ud800", None),
]


@pytest.mark.parametrize(("dtype", "value", "expected"), CASTS, ids=repr)
def test_casts(dtype: Any, value: Any, expected: Any) -> None:
    """A value becomes the same with lambda and path, and whatever lies beside it."""
    for lam in (_first, "a"):
        feature = Feature(key="a", lam=lam, dtype=dtype, nan_bool=None)
        for beside in ([], [None], ["12"], [12], [1.5], [object()]):
            assert _column(feature, [value, *beside])[0] == expected, beside


@pytest.mark.parametrize(("dtype", "value", "expected"), CASTS, ids=repr)
def test_one_row(dtype: Any, value: Any, expected: Any) -> None:
    """`lam_wrap` makes the same of one row, but for what only a column cannot hold."""
    if value is not pd.NA and value in (2**63, "\ud800"):
        expected = value
    feature = Feature(key="a", lam=_first, dtype=dtype, nan_bool=None)
    assert feature.lam_wrap({"a": value}) == expected


@pytest.mark.parametrize(
    ("dtype", "replacement", "name"),
    [
        (int, -1, "nan_int"),
        (float, -0.5, "nan_float"),
        (bool, True, "nan_bool"),
        (str, "-", "nan_str"),
    ],
)
def test_replacements(dtype: Any, replacement: Any, name: str) -> None:
    """What is null, missing or cannot be cast is replaced; of other types it is not."""
    feature = Feature("a", lambda x: x["b"], dtype, **{name: replacement})
    assert _column(feature, [None, 5]) == [replacement] * 2
    feature = Feature("a", "a", dtype, **{name: replacement})
    assert _column(feature, [None, NAN]) == [replacement] * 2
    assert feature({}) == feature({"a": None}) == replacement
    others = {"nan_int": 1, "nan_float": 1.0, "nan_bool": None, "nan_str": "x"} | {name: None}
    assert _column(Feature("a", "a", dtype, **others), [None]) == [None]  # type: ignore[arg-type]


def test_bool_is_false_by_default() -> None:
    """Without a replacement a missing bool is False, and the column is pandas' ``bool``."""
    frame = ApiForm("x", data_features=[Feature("b", lambda x: x["b"], bool)]).frame([{}, {"b": 1}])
    assert frame is not None
    assert frame["b"].dtype == bool
    assert frame["b"].tolist() == [False, True]


def test_bool_that_may_be_null() -> None:
    """With ``nan_bool=None`` a missing bool is NULL, not False."""
    form = ApiForm("x", data_features=[Feature("b", "b", bool, nan_bool=None)])
    frame = form.frame([{}, {"b": False}])
    assert frame is not None
    assert frame["b"].dtype == "boolean"
    assert frame["b"].isna().tolist() == [True, False]


def test_dtypes() -> None:
    """Columns are Int64, Float64, bool and string, with and without rows, as documented."""
    features = [Feature(t.__name__, t.__name__, t) for t in (int, float, bool, str)]
    form = ApiForm("x", data_features=features)
    expected = {"int": "Int64", "float": "Float64", "bool": "bool", "str": "string"}
    assert form.pandas_typecast() == expected
    for rows in ([], [{"int": 1}], [{"int": None, "float": 1}]):
        frame = form.frame(rows)
        assert frame is not None
        assert frame.equals(frame.astype(expected))


def test_each_row_is_asked_once() -> None:
    """A lambda that fails in some rows is called once a row, and the others keep their values."""
    asked: list[int] = []

    def lam(x: dict[str, int]) -> int:
        asked.append(x["a"])
        if x["a"] % 3 == 0:
            raise {0: KeyError, 3: StopIteration, 6: TypeError}[x["a"]]
        return x["a"]

    assert _column(Feature("a", lam, int), [0, 1, 2, 3, 4, 5, 6]) == [None, 1, 2, None, 4, 5, None]
    assert asked == [0, 1, 2, 3, 4, 5, 6]


def test_another_type() -> None:
    """Of any other type the column is the text of what it makes."""
    feature = Feature("a", "a", lambda value: value / 2, nan_str="none given")
    assert _column(feature, [5, "x", None]) == ["2.5", "none given", "none given"]


def test_paths() -> None:
    """A path goes into objects and lists; what is not there, or is something else, is NULL."""
    rows = [
        {"p": {"xy": [1, 2]}},
        {"p": {"xy": [3]}},
        {"p": {"xy": "45"}},
        {"p": None},
        {"p": [{"xy": [6]}]},
        None,
    ]
    found = Rows(rows)
    for lam, expected in {
        "p.xy[0]": [1, 3, None, None, None, None],
        "p.xy[-1]": [2, 3, None, None, None, None],
        "p.xy[1]": [2, None, None, None, None, None],
        "length(p.xy)": [2, 1, 2, None, None, None],
    }.items():
        assert Feature("a", lam, int).column(found, Tally()).to_pylist() == expected


def test_a_text_is_no_list() -> None:
    """An index finds nothing in a text, in rows that have nothing else there either."""
    found = Rows([{"p": "45"}, {"p": "67"}])
    assert Feature("a", "p[0]", str).column(found, Tally()).to_pylist() == [None, None]


def test_path_that_is_none() -> None:
    """A text that is no path is refused when the feature is made."""
    with pytest.raises(ConfigError, match="'a..b' is not a JMESPath"):
        Feature("a", "a..b", int)


def test_replacement_of_another_type() -> None:
    """A replacement that the column cannot hold is refused when the feature is made."""
    with pytest.raises(ConfigError, match="Feature 'a': 'x' is no int64"):
        Feature("a", "a", int, nan_int="x")  # type: ignore[arg-type]


def test_subclass() -> None:
    """A subclass with its own `lam_wrap` is asked for each row."""

    class Doubled(Feature):
        def lam_wrap(self, data: dict[str, Any]) -> Any:
            return super().lam_wrap(data) * 2

    assert _column(Doubled("a", "a", int), [1, "2"]) == [2, 4]


def test_subclass_decides() -> None:
    """What a subclass returns is neither taken for nothing nor replaced."""

    class Plain(Feature):
        def lam_wrap(self, data: dict[str, Any]) -> Any:
            return data["a"]

    assert _column(Plain("a", "a", str, nan_str="-"), ["None", None]) == ["None", None]


def test_pickle() -> None:
    """A feature can be pickled; one with a lambda where dill is installed."""
    copy = pickle.loads(pickle.dumps(Feature("a", "a", int)))
    assert _column(copy, ["5"]) == [5]
    assert _column(pickle.loads(pickle.dumps(Feature("a", _first, int))), ["5"]) == [5]
    pytest.importorskip("dill")
    copy = pickle.loads(pickle.dumps(Feature("a", lambda x: x["a"] + 1, int)))
    assert _column(copy, [5]) == [6]
