"""A form: how it is put together, and how it is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api2db.ingest import (
    Api2Pandas,
    ApiForm,
    ColumnAdd,
    Feature,
    GlobalExtract,
    ListExtract,
    MergeStatic,
)

PAGE = Path(__file__).resolve().parents[3] / "demo/data/usgs_all_week_2018-02-07.geojson"


def test_parts_may_be_added() -> None:
    """What is left out is an empty list of its own, to which parts are added in order."""
    form, other = ApiForm("a"), ApiForm("b")
    form.add_pre(ListExtract("rows"))
    form.add_feature(Feature("id", "id", int))
    form.add_feature(Feature("name", "name", str))
    form.add_post(ColumnAdd("n", lambda: 5, int))
    assert other.pre_process == other.data_features == other.post_process == []
    frame = form.frame({"rows": [{"id": 1, "name": "x"}]})
    assert frame is not None
    assert frame.to_dict("list") == {"id": [1], "name": ["x"], "n": [5]}


def test_one_object_is_one_row() -> None:
    """Without a ListExtract an object is a row, and a list is rows."""
    form = ApiForm("a", data_features=[Feature("id", "id", int)])
    for data, ids in (({"id": 1}, [1]), ([{"id": 1}, {"id": 2}], [1, 2])):
        table = form.table(data)
        assert table is not None
        assert table["id"].to_pylist() == ids


def test_a_name_that_comes_twice() -> None:
    """The later of two parts with the same name wins, a global over a feature."""
    features = [Feature("a", "a", int), Feature("b", "b", int), Feature("a", "b", str)]
    table = ApiForm("x", [GlobalExtract("b", "[0].c", int)], features).table(
        [{"a": 1, "b": 2, "c": 3}]
    )
    assert table is not None
    assert table.to_pylist() == [{"a": "2", "b": 3}]


def test_a_real_page() -> None:
    """Lambdas and paths make the same of a page of a real API, as Arrow and as DataFrame."""
    data = json.loads(PAGE.read_text())
    keys = {"mag": float, "place": str, "time": int, "felt": int, "tsunami": bool}

    def lam(key: str) -> Any:
        return lambda x: x["properties"][key]

    lambdas = ApiForm(
        "q",
        [ListExtract(lambda x: x["features"])],
        [Feature(key, lam(key), dtype) for key, dtype in keys.items()],
    )
    paths = ApiForm(
        "q",
        [ListExtract("features")],
        [Feature(key, f"properties.{key}", dtype) for key, dtype in keys.items()],
    )
    table = lambdas.table(data)
    assert table is not None
    assert table.equals(paths.table(data))
    assert table.num_rows == len(data["features"])
    for key in ("mag", "place", "time", "felt"):
        assert table[key].to_pylist() == [row["properties"][key] for row in data["features"]]
    frame = Api2Pandas(lambda: paths).extract(data)
    assert frame is not None
    assert frame["felt"].isna().sum() == table["felt"].null_count > 0


def test_data_stays_as_it_is() -> None:
    """Extraction leaves the data alone: `import_target` may return the same object again."""
    data = {"t": 1, "rows": [{"id": "5", "n": {"x": None}}]}
    before = json.dumps(data)
    form = ApiForm(
        "a",
        [GlobalExtract("t", "t", str), ListExtract("rows")],
        [Feature("id", "id", int), Feature("x", "n.x", str, nan_str="-")],
    )
    assert form.table(data) == form.table(data)
    assert json.dumps(data) == before


def test_dependencies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A form whose file is missing is not satisfied, and the log names the file."""
    path = tmp_path / "places.pickle"
    extractor = Api2Pandas(lambda: ApiForm("x", post_process=[MergeStatic("id", str(path))]))
    assert not extractor.dependencies_satisfied()
    (record,) = caplog.records
    assert vars(record) | {"message": "file_missing", "path": str(path)} == vars(record)
    path.touch()
    assert extractor.dependencies_satisfied()


def test_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An experiment is True when the form is whole; with the cache the API is asked once."""
    monkeypatch.chdir(tmp_path)
    asked = []

    def load() -> list[dict[str, Any]]:
        asked.append(1)
        return [{"rows": [{"id": "x"}, {"id": 2}]}]

    form = ApiForm("lab", [ListExtract("rows")], [Feature("id", "id", int)], [])
    assert form.experiment(True, load)
    assert form.experiment(CACHE=True, import_target=load)
    assert asked == [1]
    assert "feature_nulled (feature: id, error: ValueError): 1" in capsys.readouterr().out
    assert form.experiment(False, load)
    assert asked == [1, 1]
    assert not ApiForm("lab", [ListExtract("rows")]).experiment(True, load)
    assert not form.experiment(False, list)
    assert not (tmp_path / "lab_cache.pickle").exists()
