"""What a store leaves out of a composition."""

from __future__ import annotations

import threading
from pathlib import Path

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
    clock = SystemClock()
    for i, rows in enumerate(ROWS):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{i}.parquet")
    store = Composition(
        "s",
        Folder(tmp_path, "parquet", clock),
        Intents(tmp_path / "intents"),
        drop_duplicates=True,
        ignored=ignored,
        recorded=list,
        landed=lambda: True,
        clock=clock,
        stop=threading.Event(),
    )
    rows = [row for part in store.parts(None, None) for row in part.rows.values]
    assert [(row["n"], row["at"]) for row in rows] == expected
    assert store.duplicates == dropped
