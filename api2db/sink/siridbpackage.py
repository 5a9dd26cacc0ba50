"""
The packages in which points are inserted, such that a server that is killed doubles none.

The server keeps some points of each series of numbers in a buffer, and moves them into a shard when
that is full. The shard is written at once, the empty buffer with the next series: killed between,
the server finds the points in both. So each package ends with a point of no meaning, and a piece of
it, after which the server rests, never ends with a series that is buffered.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: A point: its time in the database's unit, and its value.
Point = tuple[int, Any]

#: Most points of a package; the server recommends less than 1 MB.
INSERT_POINTS = 40_000
#: As many numbers of a series miss the buffer, unless it is one that is written at once (4 KiB).
BUFFERED = 256
#: What the server does in a piece, and what a series counts there at most beside its points.
PIECE = 3_000
SERIES_WEIGHT = 150


def packages(points: Mapping[str, Sequence[Point]]) -> Iterator[dict[str, Sequence[Point]]]:
    """
    Yield *points* in packages.

    What passes through the server's buffer comes last, and no more of it than is done in a piece.
    """
    package: dict[str, Sequence[Point]] = {}
    size = weight = 0
    for name, some in sorted(points.items(), key=lambda item: _buffered(item[1])):
        most = PIECE - SERIES_WEIGHT if _buffered(some) else sys.maxsize
        for start in range(0, len(some), INSERT_POINTS):
            part = some[start : start + INSERT_POINTS]
            more = SERIES_WEIGHT + len(part)
            if package and (size + len(part) > INSERT_POINTS or weight + more > most):
                yield package
                package, size, weight = {}, 0, 0
            package[name] = part
            size += len(part)
            weight += more
    if package or not points:
        yield package


def _buffered(points: Sequence[Point]) -> bool:
    return len(points) < BUFFERED and not isinstance(points[0][1], str)
