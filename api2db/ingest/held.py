"""Rows that an open poll's records hold already, left out when the poll begins again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from api2db.core.canon import row_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

#: n keys of rows, 8 bytes each.
Keys: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]

logger = logging.getLogger(__name__)

#: Most rows compared; 16 bytes of memory each.
CAPACITY = 20_000_000


class HeldRows:
    """
    A multiset of typed rows, by 64-bit keys (`core.canon.row_keys`), in two sorted arrays.

    Built only when an API refuses to resume a poll, so nothing is paid for it before.

    Args:
        held: The poll's batches, or their keys where these are all that is left.
    """

    def __init__(self, held: Iterable[pa.RecordBatch | Keys]) -> None:
        keys = [rows if isinstance(rows, np.ndarray) else keys_of(rows) for rows in held]
        every = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        if len(every) > CAPACITY:
            logger.error(
                "held_rows_overflow",
                extra={
                    "rows": len(every),
                    "capacity": CAPACITY,
                    "consequence": "rows of this poll may land twice",
                    "hint": "use 'since', or upsert",
                },
            )
            every = every[-CAPACITY:]
        self._keys, self._counts = np.unique(every, return_counts=True)

    @property
    def left(self) -> bool:
        """Whether rows were held that have not been taken."""
        return bool(self._counts.any())

    def take(self, rows: pa.RecordBatch) -> list[bool]:
        """
        Remove the rows of *rows* (n x k) from the multiset, as far as they are in it.

        Returns:
            For each row, whether it was held: it is in the log already.
        """
        held = []
        for key in keys_of(rows):
            at = int(np.searchsorted(self._keys, key))
            found = at < len(self._keys) and self._keys[at] == key and self._counts[at] > 0
            if found:
                self._counts[at] -= 1
            held.append(bool(found))
        return held


def keys_of(rows: pa.RecordBatch) -> Keys:
    """Return the key of each row of *rows* (n x k)."""
    return np.frombuffer(b"".join(key[:8] for key in row_keys(rows)), np.uint64)
