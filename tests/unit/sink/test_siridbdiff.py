"""Completing a batch of unknown outcome."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.sink.siridbdiff import Have, equal, key_of, missing

column = pytest.importorskip("api2db.sink.siridbpackage").Column.of

_points = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0, float("nan"), -0.0])), max_size=8
)


@given(_points, st.lists(_points, min_size=1, max_size=3), st.data())
def test_a_load_broken_off_anywhere_is_completed(
    before: list[tuple[int, float]], load: list[list[tuple[int, float]]], data: st.DataObject
) -> None:
    """Whatever of its points landed, each batch adds what it lacks: all are there, once."""
    there: Have = Counter(map(key_of, before))
    bases = []
    for batch in load:
        bases.append(equal(column(batch, float), there))
        there.update(map(key_of, batch))
    sent = [point for batch in load for point in batch]
    landed = data.draw(
        st.lists(st.sampled_from([True, False]), min_size=len(sent), max_size=len(sent))
    )
    now: Have = Counter(map(key_of, before))
    now.update(key_of(point) for point, came in zip(sent, landed, strict=True) if came)
    for batch, base in zip(load, bases, strict=True):
        now.update(map(key_of, missing(column(batch, float), now, base)))
    assert now == there
