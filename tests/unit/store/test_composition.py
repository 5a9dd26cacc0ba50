"""What a store leaves out of a composition."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from api2db.core.clock import SystemClock
from api2db.store.composition import Composition
from api2db.store.folder import Folder
from api2db.store.intents import Intents

ROWS = [
    [{"n": 1, "at": 10}, {"n": 2, "at": 10}],
    [{"n": 1, "at": 20}, {"n": None, "at": 20}, {"n": None, "at": 30}, {"n": 1, "at": 10}],
]


def composed(folder: Path, **options: Any) -> tuple[list[dict[str, Any]], int]:
    """Return the rows that a store makes of the shards in *folder*, and how many it left out."""
    clock = SystemClock()
    store = Composition(
        "s",
        Folder(folder, "parquet", clock),
        Intents(folder / "intents"),
        **options,
        recorded=list,
        landed=lambda: True,
        clock=clock,
        stop=threading.Event(),
    )
    rows = [row for part in store.parts(None, None) for row in part.rows.values]
    return rows, store.duplicates


@pytest.mark.parametrize(
    ("ignored", "expected", "dropped"),
    [
        ((), [(1, 10), (2, 10), (1, 20), (None, 20), (None, 30)], 1),
        (("at",), [(1, 10), (2, 10), (None, 20)], 3),
    ],
)
def test_columns_that_do_not_tell_rows_apart(
    tmp_path: Path, ignored: tuple[str, ...], expected: list[object], dropped: int
) -> None:
    """`drop_duplicate_exclude`: the first row stays, of all shards of a composition; counted."""
    for i, rows in enumerate(ROWS):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{i}.parquet")
    found, duplicates = composed(tmp_path, drop_duplicates=True, ignored=ignored)
    assert [(row["n"], row["at"]) for row in found] == expected
    assert duplicates == dropped


def test_rows_are_equal_in_whichever_order_their_columns_stand(tmp_path: Path) -> None:
    """So they are for pandas; and a column that a shard lacks is NULL there."""
    shards = [{"a": [1], "b": [2]}, {"b": [2], "a": [1]}, {"a": [1], "b": [2], "c": [None]}]
    for i, columns in enumerate(shards):
        pq.write_table(pa.table(columns), tmp_path / f"{i}.parquet")
    assert composed(tmp_path, drop_duplicates=True) == ([{"a": 1, "b": 2}], 2)


def test_a_key_that_was_misspelt_costs_no_row(tmp_path: Path) -> None:
    """All rows but one were left out, and their shards removed."""
    pq.write_table(pa.table({"id": [1, 1, 2]}), tmp_path / "0.parquet")
    assert composed(tmp_path, drop_duplicates=["idd"]) == ([{"id": 1}, {"id": 1}, {"id": 2}], 0)
    assert composed(tmp_path, drop_duplicates=["id"]) == ([{"id": 1}, {"id": 2}], 1)
