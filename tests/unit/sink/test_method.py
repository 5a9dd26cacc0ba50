"""A function of the user's as a target."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.errors import SinkUnavailable
from api2db.sink.base import Delivery
from api2db.sink.method import MethodSink
from api2db.sink.target import Method


def _batch(number: int) -> Batch:
    rows = pa.RecordBatch.from_pydict({"n": [number], "text": ["a"]})
    return Batch(f"{number:032x}", number, number, rows)


def test_each_call_gets_a_frame_that_nobody_else_has() -> None:
    """What one call does to its DataFrame is not seen by another, nor by other streams."""
    batch, frames = _batch(1), []

    def spoil(frame: Any) -> None:
        frames.append(frame["n"].tolist())
        frame.loc[:, "n"] = 99
        frame["more"] = 1

    for _ in range(2):
        sink = MethodSink(Method(spoil, "stream"), Delivery("s", "c", "t", "c"))
        assert sink.write([batch]).rows == 1
    assert frames == [[1], [1]]
    assert batch.rows.column("n").to_pylist() == [1]


def test_a_batch_that_was_taken_is_not_sent_again_when_a_later_one_fails() -> None:
    """Each call that returned is remembered until the whole attempt has succeeded."""
    calls: list[int] = []

    def second_fails_once(frame: Any) -> None:
        calls.append(int(frame["n"][0]))
        if calls == [1, 2]:
            raise ConnectionError("gone")

    sink = MethodSink(Method(second_fails_once, "stream"), Delivery("s", "c", "t", "c"))
    batches = [_batch(1), _batch(2)]
    with pytest.raises(SinkUnavailable, match="ConnectionError: gone"):
        sink.write(batches)
    landed = sink.write(batches)
    assert calls == [1, 2, 2]
    assert (landed.rows, landed.repeated) == (1, {batches[0].id})


def test_a_rehearsal_calls_nothing() -> None:
    """`commit=False` cannot be undone in somebody else's code."""
    calls: list[Any] = []
    sink = MethodSink(Method(calls.append, "stream"), Delivery("s", "c", "t", "c"))
    sink.write([_batch(1)], commit=False)
    assert calls == []
