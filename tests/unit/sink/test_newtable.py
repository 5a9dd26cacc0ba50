"""`if_exists="fail"`: a table that must not have been there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.errors import SinkMisconfigured
from api2db.sink.base import Delivery
from api2db.sink.sqlite import SqliteSink

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, delivery: Delivery, number: int) -> int:
    sink = SqliteSink("sqlite:///x.db", delivery, base=folder)
    rows = pa.RecordBatch.from_pydict({"n": [number]})
    try:
        sink.open()
        return sink.write([Batch(f"{number:032x}", number, number, rows)]).rows
    finally:
        sink.close()


def test_only_a_table_of_our_own_is_filled(tmp_path: Path) -> None:
    """The first load makes it, the next ones of the same stream add to it, others are refused."""
    ours = Delivery("s" * 32, "c", "a", "t", must_be_new=tmp_path / "ours" / "a")
    assert _write(tmp_path, ours, 1) == 1
    assert _write(tmp_path, ours, 2) == 1
    other = replace(ours, stream="b", must_be_new=tmp_path / "ours" / "b")
    with pytest.raises(SinkMisconfigured, match="t was there before.*if_exists is 'fail'"):
        _write(tmp_path, other, 3)
