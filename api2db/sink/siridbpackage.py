"""
The packages in which points are inserted, such that a server that is killed doubles none.

The server keeps some points of each series of numbers in a buffer, and moves them into a shard when
that is full. The shard is written at once, the empty buffer with the next series: killed between,
the server finds the points in both. So what may be buffered is followed by a point of no meaning in
the same package, and in the same piece of it, for the server rests between two pieces.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import qpack

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

#: QPack, the client's format: what stands around a map and around an array of any length.
_MAP, _ARRAY = (b"\xfd", b"\xff"), (b"\xfc", b"\xfe")
_PAIR, _INT, _FLOAT = 0xEF, 0xEB, 0xEC


@dataclass(frozen=True, slots=True)
class Column:
    """
    Points of one series, in their order.

    Attributes:
        ticks: int64.
        values: As many, int64, float64 or object (texts).
    """

    ticks: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]

    @staticmethod
    def of(points: Sequence[Point], kind: type = object) -> Column:
        """Return *points*, whose values are of *kind*."""
        ticks = np.array([tick for tick, _ in points], np.int64)
        return Column(ticks, np.array([value for _, value in points], kind))

    def __len__(self) -> int:
        return len(self.ticks)

    def __iter__(self) -> Iterator[Point]:
        return zip(self.ticks.tolist(), self.values.tolist(), strict=True)

    def __getitem__(self, rows: Any) -> Column:
        """Return the points at *rows*, a slice or an array of numbers or booleans."""
        return Column(self.ticks[rows], self.values[rows])

    @property
    def buffered(self) -> bool:
        """Whether these points, all of a package, may pass through the server's buffer."""
        return len(self) < BUFFERED and self.values.dtype != object

    def packed(self) -> bytes:
        """Return the points as the client sends them; numbers in a tenth of its time."""
        if self.values.dtype == object:
            data: bytes = qpack.packb(list(self))
            return data
        points = np.empty(len(self), [("", "u1"), ("", "u1"), ("", "<i8"), ("", "u1"), ("", "<i8")])
        points["f0"], points["f1"], points["f2"] = _PAIR, _INT, self.ticks
        points["f3"] = _INT if self.values.dtype == np.int64 else _FLOAT
        points["f4"] = self.values.view(np.int64)
        return points.tobytes().join(_ARRAY)


def joined(columns: Sequence[Column]) -> Column:
    """Return the points of *columns*, all of one type, one behind the other."""
    if len(columns) == 1:
        return columns[0]
    ticks = np.concatenate([each.ticks for each in columns])
    return Column(ticks, np.concatenate([each.values for each in columns]))


def packages(
    points: Mapping[str, Column], last: Mapping[str, Column]
) -> Iterator[dict[str, Column]]:
    """
    Yield *points* in packages, perhaps none, such that *last* is behind what may be buffered.

    That comes at the end, and no more of it in a package than the server does in a piece.
    """
    package: dict[str, Column] = {}
    size = weight = 0
    sealed: Mapping[str, Column] = {}
    for name, part in sorted(_parts(points), key=lambda item: item[1].buffered):
        most = PIECE - SERIES_WEIGHT if part.buffered else sys.maxsize
        more = SERIES_WEIGHT + len(part)
        if package and (size + len(part) > INSERT_POINTS or weight + more > most):
            yield {**package, **sealed}
            package, size, weight = {}, 0, 0
        package[name] = part
        size += len(part)
        weight += more
        sealed = last if part.buffered else {}
    yield {**package, **last}


def _parts(points: Mapping[str, Column]) -> Iterator[tuple[str, Column]]:
    for name, some in points.items():
        for start in range(0, len(some), INSERT_POINTS):
            yield name, some[start : start + INSERT_POINTS]


def packed(package: Mapping[str, Column]) -> bytes:
    """Return *package* as the client sends it."""
    return b"".join(qpack.packb(name) + some.packed() for name, some in package.items()).join(_MAP)
