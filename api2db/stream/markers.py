"""Which batches have a marker at the target, and which of the markers can go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from api2db.core.batch import Batch


class Markers:
    """
    What one worker knows of its markers.

    A marker must live until nothing can send its batch again: neither the log nor a shard. What
    an earlier life has left may belong to any batch that waits, wherever that is: a mended
    shard, or one of dead rows, may have come in front of it.

    Attributes:
        known: Ids of batches that have a marker.
        done: Those of them that can never be sent again.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.done: set[str] = set()

    def found(self, ids: Iterable[str]) -> None:
        """Say what the target holds, maybe of an earlier life."""
        self.known = set(ids)
        self.done &= self.known

    def landed(self, batches: Sequence[Batch], pruned: set[str], *, last: bool) -> None:
        """
        Note that *batches* are done with, by a load that removed the markers *pruned*.

        Args:
            last: Whether nothing else waits: then no batch that has a marker can come again.
        """
        self.known -= pruned
        self.known.update(batch.id for batch in batches)
        self.done -= pruned
        self.done.update(self.known if last else (batch.id for batch in batches))

    def forgotten(self) -> None:
        """Note that the markers of all that is done are removed."""
        self.known -= self.done
        self.done = set()
