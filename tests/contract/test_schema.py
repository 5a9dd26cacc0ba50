"""What ``schema: freeze`` and ``schema: ignore`` do to a table, over every database."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Literal

import pytest

from api2db.core.errors import SinkRejected
from tests.contract.backends import Backend
from tests.contract.test_sink import batch, ids


def test_a_frozen_table_refuses_rows_with_new_columns(database: Backend) -> None:
    """Rows that fill a column which the table lacks are named; NULL there is nothing new."""
    sink = database.sink(schema="freeze")
    sink.write([batch([{"id": 1, "v": "x"}])])
    old, new = batch([{"id": 2, "v": "y"}]), batch([{"id": 3, "w": None}, {"id": 4, "w": 1}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([old, new])
    (row,) = caught.value.rows[new.id]
    assert set(caught.value.rows) == {new.id}
    assert row.row == 1
    assert "no column 'w'" in row.reason
    assert "frozen" in row.reason
    sink.write([old, new.with_rows(new.rows.slice(0, 1))])
    assert database.rows() == [{"id": 1, "v": "x"}, {"id": 2, "v": "y"}, {"id": 3, "v": None}]


def test_columns_that_are_ignored(database: Backend, caplog: pytest.LogCaptureFixture) -> None:
    """They are left out, which is said once; the other columns of their rows land."""
    sink = database.sink(schema="ignore")
    sink.write([batch([{"id": 1, "v": "x"}])])
    with caplog.at_level(logging.WARNING):
        for i in (2, 3):
            sink.write([batch([{"id": i, "w": 1}])])
    assert [record.message for record in caplog.records] == ["columns_ignored"]
    assert vars(caplog.records[0])["columns"] == ["w"]
    assert [list(row) for row in database.rows()] == [["id", "v"]] * 3
    assert ids(database) == [1, 2, 3]


@pytest.mark.parametrize("schema", ["freeze", "ignore"])
def test_nothing_is_widened(database: Backend, schema: Literal["freeze", "ignore"]) -> None:
    """
    A value that would need a wider column is refused by row; the column stays.

    Once a field has had a fraction, the form makes floats of its whole numbers, too: they land.
    """
    sink = database.sink(schema=schema)
    sink.write([batch([{"id": 1, "v": 7}])])
    one = batch([{"id": 2, "v": 8.0}, {"id": 3, "v": 0.5}, {"id": 4, "v": 2.0**63}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1, 2]
    sink.write([one.with_rows(one.rows.slice(0, 1))])
    sink.write([batch([{"id": 5, "v": 9}])])
    sink.write([batch([{"id": 6, "v": Decimal("10.0")}])])
    assert [row["v"] for row in database.rows()] == [7, 8, 9, 10]


@pytest.mark.needs("replace")
def test_a_table_that_a_user_made_or_extends(database: Backend) -> None:
    """An existing table keeps its columns from the first row on; what its owner adds is known."""
    database.execute("create table t (id bigint)")
    sink = database.sink(schema="freeze", replace=True)
    one = batch([{"id": 1, "v": 5}])
    with pytest.raises(SinkRejected):
        sink.replace([one])
    database.execute("alter table t add column v bigint")
    sink.replace([one])
    assert database.rows() == [{"id": 1, "v": 5}]


def test_a_missing_table_is_made(database: Backend) -> None:
    """The first rows decide what a table has that was not there, or was dropped."""
    sink = database.sink(schema="freeze")
    sink.write([batch([{"id": 1}])])
    database.execute("drop table t")
    sink.write([batch([{"id": 2, "v": 1}])])
    assert database.rows() == [{"id": 2, "v": 1}]
