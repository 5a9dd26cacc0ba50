"""Steps before the table: each documented example, and what must not be lost."""

from __future__ import annotations

import copy
import logging
import re
from typing import Any

import pytest

from api2db.core.errors import ConfigError, FormError
from api2db.ingest import (
    ApiForm,
    BadRowSwap,
    Feature,
    FeatureFlatten,
    GlobalExtract,
    ListExtract,
)
from api2db.ingest.pre_process.pre import Pre

DATED = {"date": "2021-04-19", "data_array": [{"id": 1, "name": "Foo"}, {"id": 2, "name": "Bar"}]}


# -- ListExtract ---------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [lambda x: x["data_array"], "data_array"], ids=["lambda", "path"])
def test_list_extract(lam: Any) -> None:
    """The example: the list of rows is found, by a lambda and by a path."""
    rows = [{"data_id": 1, "name": "name_1"}, {"data_id": 2, "name": "name_2"}]
    pre = ListExtract(lam=lam)
    assert pre.lam_wrap({"Foo": "Metadata", "data_array": rows}) == rows
    assert pre({"data_array": tuple(rows)}) == rows
    assert (pre.ctype, pre.dtype) == ("list_extract", list)


def test_no_list(caplog: pytest.LogCaptureFixture) -> None:
    """Where there is no list the result is None, and a line in the log, without a traceback."""
    for data in ({"error": "busy"}, {"data_array": None}, "text"):
        assert ListExtract(lam=lambda x: x["data_array"]).lam_wrap(data) is None  # type: ignore[arg-type]
        (record,) = caplog.records
        assert (record.message, record.exc_info) == ("list_not_found", None)
        caplog.clear()


# -- GlobalExtract -------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [lambda x: x["date"], "date"], ids=["lambda", "path"])
def test_global_extract(lam: Any) -> None:
    """The example: a value that stands once becomes a column of all rows."""
    pre = GlobalExtract(key="publish_time", lam=lam, dtype=str)
    assert pre.ctype == "global_extract"
    assert pre.lam_wrap(DATED) == {"value": "2021-04-19", "dtype": str}
    features = [Feature("id", "id", int), Feature("name", "name", str)]
    frame = ApiForm("doc", [pre, ListExtract("data_array")], features).frame(DATED)
    assert frame is not None
    assert frame.to_dict("list") == {
        "id": [1, 2],
        "name": ["Foo", "Bar"],
        "publish_time": ["2021-04-19"] * 2,
    }
    assert frame["publish_time"].dtype == "string"


@pytest.mark.parametrize("dtype", [int, float, bool, str])
def test_global_that_is_missing(dtype: Any) -> None:
    """What is missing, null or of another type is NULL in all rows, in a column of the type."""
    pre = GlobalExtract(key="g", lam=lambda x: x["g"], dtype=dtype)
    form = ApiForm("doc", [pre, ListExtract("rows")], [Feature("id", "id", int)])
    for data in ({}, {"g": None}, {"g": "x"} if dtype in (int, float) else {}):
        assert pre.lam_wrap(data) == {"value": None, "dtype": dtype}
        table = form.table(data | {"rows": [{"id": 1}, {"id": 2}]})
        assert table is not None
        assert table["g"].to_pylist() == [None, None]
        assert table["g"].type == form.table({"g": 1, "rows": [{}]})["g"].type  # type: ignore[index]


def test_global_before_the_list_is_gone() -> None:
    """A global is looked for in what the steps before it left."""
    late = [ListExtract("data_array"), GlobalExtract("first", lambda x: x[0]["id"], int)]
    table = ApiForm("doc", late, [Feature("id", "id", int)]).table(DATED)
    assert table is not None
    assert table["first"].to_pylist() == [1, 1]


# -- FeatureFlatten ------------------------------------------------------------------------


def test_feature_flatten() -> None:
    """The example: a list becomes a row for each item, an object stays."""
    data = [
        {"data_id": 1, "data_features": {"Foo": 5, "Bar": 10}},
        {"data_id": 2, "data_features": [{"Foo": 5, "Bar": 10}, {"Foo": 7, "Bar": 15}]},
    ]
    assert FeatureFlatten(key="data_features").lam_wrap(data) == [
        {"data_id": 1, "data_features": {"Foo": 5, "Bar": 10}},
        {"data_id": 2, "data_features": {"Foo": 5, "Bar": 10}},
        {"data_id": 2, "data_features": {"Foo": 7, "Bar": 15}},
    ]


def test_feature_flatten_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    """Rows without a list or an object are left out, and counted in the log; None is no rows."""
    pre = FeatureFlatten(key="f")
    assert pre.lam_wrap([{"id": 1}, {"f": None}, None, {"f": []}, {"f": [1]}]) == [{"f": 1}]  # type: ignore[list-item]
    (record,) = caplog.records
    assert vars(record) | {"count": 3, "key": "f"} == vars(record)
    assert pre.lam_wrap(None) == []


# -- BadRowSwap ----------------------------------------------------------------------------


def _swapped(x: dict[str, Any]) -> bool:
    return re.match(r"[0-9][0-9]\.[0-9]+", x["id"]) is not None


def _place(name: str, latitude: str | None) -> dict[str, Any]:
    at = {} if latitude is None else {"latitude": latitude}
    return {"coords": at | {"longitude": "-20.43"}, "name": name}


def test_bad_row_swap(caplog: pytest.LogCaptureFixture) -> None:
    """The example: values are swapped back at any depth; rows without the keys are left out."""
    rows = [
        {"id": "16.53", "place": _place("place_1", "ID_1"), "details": "Some details... etc"},
        {"id": "ID_2", "place": _place("place_2", "15.43"), "details": "Some details... etc"},
        {"id": "10.21", "place": _place("place_2", None), "details": "Some details... etc"},
        {"place": _place("place_2", "ID_4"), "details": "Some details... etc"},
        {"id": "ID_5", "place": _place("place_2", None), "details": "Some details... etc"},
    ]
    before = copy.deepcopy(rows)
    assert BadRowSwap(key_1="id", key_2="latitude", lam=_swapped).lam_wrap(rows) == [
        {"id": "ID_1", "place": _place("place_1", "16.53"), "details": "Some details... etc"},
        rows[1],
        rows[4],
    ]
    assert rows == before
    (record,) = caplog.records
    assert vars(record) | {"message": "rows_left_out", "count": 2} == vars(record)


def test_bad_row_swap_summary() -> None:
    """The summary: the row whose id is no number gets it from the other key."""
    data = [{"id": "17.0", "size": "Foo"}, {"id": "Bar", "size": "10.0"}]
    pre = BadRowSwap(key_1="id", key_2="size", lam=_swapped)
    assert pre.lam_wrap(data) == [{"id": "Foo", "size": "17.0"}, data[1]]


def test_bad_row_swap_keeps() -> None:
    """A null is a value that is swapped, and a row that the lambda cannot judge is kept."""
    pre = BadRowSwap(key_1="id", key_2="size", lam=_swapped)
    assert pre.lam_wrap([{"id": "17.0", "size": None}]) == [{"id": None, "size": "17.0"}]
    assert pre.lam_wrap([{"id": 5, "size": "x"}]) == [{"id": 5, "size": "x"}]
    lenient = BadRowSwap(key_1="id", key_2="size", lam=lambda x: False)
    assert lenient.lam_wrap([{"size": 1}]) == []


# -- one's own -----------------------------------------------------------------------------


def test_own_step() -> None:
    """A subclass of Pre is a step as any other; one that fails is named in the error."""

    class Cents(Pre):
        def lam_wrap(self, lam_arg: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [{"price": row["price"] / 100} for row in lam_arg]

    form = ApiForm("shop", [ListExtract("rows"), Cents()], [Feature("price", "price", float)])
    table = form.table({"rows": [{"price": 250}]})
    assert table is not None
    assert table.to_pylist() == [{"price": 2.5}]
    with pytest.raises(FormError, match=r"pre_process\[1\] \(Cents\) failed: KeyError: 'price'"):
        form.table({"rows": [{}]})


def test_paths_are_checked() -> None:
    """A text that is no path is refused when the step is made."""
    with pytest.raises(ConfigError, match="JMESPath"):
        ListExtract("a b")
    with pytest.raises(ConfigError, match="JMESPath"):
        GlobalExtract("g", "a b", int)


def test_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A global that is missing, or no number, is nothing to log."""
    with caplog.at_level(logging.DEBUG):
        GlobalExtract("g", lambda x: x["g"], int).lam_wrap({})
        GlobalExtract("g", lambda x: "x", int).lam_wrap({})
    assert caplog.records == []
