"""A declared collector: what one poll of it yields."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from api2db.core.errors import FormError, SourceUnavailable
from api2db.ingest import ApiForm, Collector, Feature, ListExtract, MergeStatic
from api2db.ingest.collector import frames


def _form() -> ApiForm:
    return ApiForm(
        name="quakes",
        pre_process=[ListExtract(lam=lambda x: x["rows"])],
        data_features=[Feature(key="id", lam=lambda x: x["id"], dtype=int)],
    )


def _collector(returned: Any, form: Any = _form) -> Collector:
    return Collector(
        name="quakes",
        seconds=30,
        import_target=lambda: returned,
        api_form=form,
        streams=list,
        stores=list,
    )


def test_attributes() -> None:
    """A collector holds what it was given; `debug` is on, and `q` is set by `set_q`."""
    collector = _collector([])
    assert (collector.name, collector.seconds, collector.debug) == ("quakes", 30, True)
    assert collector.streams() == collector.stores() == []
    assert collector.q is None
    collector.set_q("queue")
    assert collector.q == "queue"


def test_each_data_point_is_a_table() -> None:
    """Each data point becomes a table; None and one without rows do not end the others."""
    data = [{"rows": [{"id": 1}, {"id": 2}]}, None, {"error": "busy"}, {"rows": [{"id": 3}]}]
    tables = list(frames(_collector(data)))
    assert [table.to_pylist() for table in tables] == [[{"id": 1}, {"id": 2}], [{"id": 3}]]


def test_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A data point that is None is no row, and nothing to log; those behind it are there."""
    data = [None, {"rows": [{"id": 1}]}, None, {"rows": [{"id": 2}]}]
    tables = list(frames(_collector(data)))
    assert [table["id"].to_pylist() for table in tables] == [[1], [2]]
    assert caplog.records == []


def test_nothing() -> None:
    """None in place of a list is a poll without rows; an empty list of rows, an empty table."""
    assert list(frames(_collector(None))) == []
    (table,) = frames(_collector([{"rows": []}]))
    assert (table.num_rows, table.schema.names) == (0, ["id"])


def test_no_list() -> None:
    """Anything else than a list is an error that says what came."""
    with pytest.raises(FormError, match="quakes: import_target returned a dict, no list"):
        list(frames(_collector({"rows": []})))


def test_failing_import_target() -> None:
    """An exception in `import_target` fails the poll, and names the file and line."""
    collector = _collector([])
    collector.import_target = lambda: [{}["token"]]
    with pytest.raises(SourceUnavailable, match=r"test_collector.py:\d+: KeyError: 'token'"):
        list(frames(collector))


def test_file_is_not_there_yet() -> None:
    """While the file of a MergeStatic is missing the API is not asked, and the error names it."""
    asked = []
    form = ApiForm(name="quakes", post_process=[MergeStatic(key="id", path="no/places.pickle")])
    collector = _collector([], lambda: form)
    collector.import_target = lambda: asked.append(1)  # type: ignore[assignment,func-returns-value]
    with pytest.raises(SourceUnavailable, match="no/places.pickle"):
        list(frames(collector))
    assert asked == []


def test_one_line_for_each_step(caplog: pytest.LogCaptureFixture) -> None:
    """Data points without rows are counted, and logged with the collector's name, once a poll."""
    assert list(frames(_collector([{"error": "busy"}, {"error": "busy"}]))) == []
    (record,) = caplog.records
    expected = {"message": "list_not_found", "collector": "quakes", "error": "KeyError", "count": 2}
    assert vars(record) | expected == vars(record)


def test_one_line_for_each_feature(caplog: pytest.LogCaptureFixture) -> None:
    """What does not fit is logged once a poll, with a count; a missing key is not."""
    rows: list[Any] = [{"id": "x"}, {"id": "y"}, {}, {"id": None}, {"id": 5}]
    with caplog.at_level(logging.DEBUG):
        tables = list(frames(_collector([{"rows": rows}, {"rows": rows}])))
    assert [table["id"].to_pylist() for table in tables] == [[None] * 4 + [5]] * 2
    (record,) = caplog.records
    assert record.message == "feature_nulled"
    assert vars(record) | {
        "feature": "id",
        "error": "ValueError",
        "count": 4,
        "collector": "quakes",
    } == vars(record)
    assert record.exc_info is None
