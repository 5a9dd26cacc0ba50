"""Rows at the watermark that were taken already: why an inclusive API doubles nothing."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from api2db.ingest import watermark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api2db.ingest.watermark import Value

logger = logging.getLogger(__name__)

#: Most rows remembered; each costs about 24 bytes in every record of the log.
CAPACITY = 100_000


class Taken:
    """
    A multiset of raw-row hashes, each under the row's `since` value.

    It holds the rows at or above the value that the next poll sends, for these an
    inclusive API sends again. Rows whose value is null have no place in the order; they
    are held as long as every poll brings them.
    """

    def __init__(self, rows: Mapping[Value, Mapping[str, int]] | None = None) -> None:
        self._rows: dict[Value, Counter[str]] = {
            value: Counter(hashes) for value, hashes in (rows or {}).items()
        }

    def __len__(self) -> int:
        return sum(len(hashes) for hashes in self._rows.values())

    def __contains__(self, value: Value) -> bool:
        """Return whether any row with this `since` value is held (a hash may be worth it)."""
        return bool(self._rows.get(value))

    def add(self, value: Value, row: bytes) -> None:
        """Hold one more row."""
        self._rows.setdefault(value, Counter())[row.hex()] += 1

    def take(self, value: Value, row: bytes) -> bool:
        """Remove one such row; return whether there was one."""
        hashes = self._rows.get(value)
        if hashes is None or not hashes[row.hex()]:
            return False
        hashes[row.hex()] -= 1
        return True

    def copy(self) -> Taken:
        """Return an independent copy."""
        return Taken(self._rows)

    def prune(self, lowest: Value) -> None:
        """Let go of every row below *lowest*; None lets go of nothing. Null rows stay."""
        limit = watermark.key(lowest)
        if limit is not None:
            self._rows = {
                value: hashes
                for value, hashes in self._rows.items()
                if (place := watermark.key(value)) is None or place >= limit
            }
        self._overflow()

    def forget_null(self) -> None:
        """Let go of the rows without a value (a poll begins: it will bring them again)."""
        self._rows.pop(None, None)

    def _overflow(self) -> None:
        excess = len(self) - CAPACITY
        if excess <= 0:
            return
        logger.error(
            "taken_overflow",
            extra={
                "rows": len(self),
                "capacity": CAPACITY,
                "consequence": "rows that share the watermark may land twice",
                "hint": "use a finer 'since' field, a shorter 'lag', or upsert",
            },
        )
        lowest_first = sorted(self._rows, key=lambda v: watermark.key(v) or (-1, ""))
        for value, row in [(v, row) for v in lowest_first for row in self._rows[v]][:excess]:
            del self._rows[value][row]

    def to_json(self) -> list[list[Any]]:
        """Return ``[[value, {hash: count}], ...]``."""
        found = ((value, dict(+hashes)) for value, hashes in self._rows.items())
        return [[value, hashes] for value, hashes in found if hashes]

    @classmethod
    def from_json(cls, value: list[list[Any]]) -> Taken:
        """Undo `to_json`."""
        return cls(dict(map(tuple, value)))
