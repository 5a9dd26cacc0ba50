"""Which points of a batch of unknown outcome are not there yet."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api2db.sink.siridbpackage import Column, Point

#: Points, by tick and value, with how often each is there; see `key_of`.
Have = Counter[tuple[int, Any]]


def key_of(point: Sequence[Any]) -> Point:
    """
    Return *point* as a key; NaN, which equals nothing, as a text.

    Texts count by their ticks alone: the server's ``select ... between`` gives them the wrong
    values if the range begins within one of its chunks (seen in 2.0.52). Points of a load are
    inserted in order, so of several at one tick the first ones are there.
    """
    tick, value = point
    if isinstance(value, str):
        return tick, ""
    return tick, value if value == value else "NaN"


def equal(points: Column, there: Have) -> list[tuple[int, Any, int]]:
    """Return those of *points* that are there already, and how often."""
    return [(*key, there[key]) for key in dict.fromkeys(map(key_of, points)) if there[key]]


def missing(points: Column, there: Have, base: Sequence[tuple[int, Any, int]]) -> Column:
    """
    Return those of *points* that are not there yet.

    Args:
        there: All that the series holds at their ticks.
        base: Those equal to some of *points* that were there before them, and how often.
    """
    due = Counter({(tick, value): count for tick, value, count in base})
    left = []
    for i, point in enumerate(points):
        key = key_of(point)
        due[key] += 1
        if due[key] > there[key]:
            left.append(i)
    return points[left]
