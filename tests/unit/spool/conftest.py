"""A spool on the real disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps
from api2db.spool.spool import Record, Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def rows(*values: int) -> pa.RecordBatch:
    """Return a batch with one column ``v``."""
    return pa.record_batch({"v": pa.array(values, pa.int64())})


def record(*values: int, state: bytes = b"s", **more: Any) -> Record:
    """Return a record with one column ``v``; without values, a state record."""
    return Record(rows(*values) if values else None, state, **more)


def values_of(spool: Spool, stream: str, **limits: int) -> list[list[int]]:
    """Return what `Spool.read` gives a stream: the column ``v`` of each batch."""
    return [batch.rows.column("v").to_pylist() for batch in spool.read(stream, Limit(**limits))]


@pytest.fixture
def open_spool(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Return a function that opens the spool of this test; all are closed at the end."""
    opened: list[Spool] = []

    def open_(streams: tuple[str, ...] = ("a",), **options: Any) -> Spool:
        clock = options.pop("clock", None) or SystemClock()
        options.setdefault("timestamps", Timestamps(clock))
        spool = Spool.open(tmp_path / "orders", streams=streams, clock=clock, **options)
        opened.append(spool)
        return spool

    yield open_
    for spool in opened:
        spool.close()
