"""Finds the rows that a target refuses, where the target does not say which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.core.batch import DeadRow
from api2db.core.errors import SinkRejected

if TYPE_CHECKING:
    from api2db.core.batch import Batch
    from api2db.sink.base import Sink


def refused_rows(sink: Sink, batch: Batch) -> list[DeadRow]:
    """
    Return the rows of *batch* (n x k) that *sink* refuses, in order; empty if it takes all.

    Rehearses halves: about 2 m log2(n) rehearsals for m bad rows. Called in the worker's
    thread; errors other than `SinkRejected` pass through.
    """
    return _search(sink, batch, 0, batch.rows.num_rows)


def _search(sink: Sink, batch: Batch, start: int, length: int) -> list[DeadRow]:
    part = batch.with_rows(batch.rows.slice(start, length))
    try:
        sink.write([part], commit=False)
    except SinkRejected as exc:
        named = exc.rows.get(batch.id, ())
        if named:
            dead = {start + row.row: DeadRow(start + row.row, row.reason) for row in named}
            return list(dead.values())
        if length == 1:
            return [DeadRow(start, str(exc))]
        half = length // 2
        left = _search(sink, batch, start, half)
        return left + _search(sink, batch, start + half, length - half)
    return []
