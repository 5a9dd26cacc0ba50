"""Which batches have a marker at the target, and which of the markers can go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from api2db.core.batch import Batch


class Markers:
    """
    What one worker knows of its markers.

    A marker must live until nothing can send its batch again: neither the log nor a shard.

    Attributes:
        known: Ids of batches that have a marker.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()

    def found(self, ids: Iterable[str]) -> None:
        """Add what the target holds, maybe of an earlier life."""
        self.known.update(ids)

    def prunable(self, batches: Sequence[Batch]) -> set[str]:
        """
        Return the markers that can go with the load of *batches*, the oldest that wait.

        Markers of an earlier life may belong to batches that come later: they landed, but were
        not acknowledged. Batches land in order, so these come first: once a batch without a
        marker is met, all marked ones lie behind or among *batches*.
        """
        ids = {batch.id for batch in batches}
        return set() if ids <= self.known else self.known - ids

    def landed(self, batches: Sequence[Batch], pruned: set[str]) -> None:
        """Note a load of *batches* that removed the markers *pruned*."""
        self.known -= pruned
        self.known.update(batch.id for batch in batches)

    def clear(self) -> None:
        """Note that all are removed."""
        self.known = set()
