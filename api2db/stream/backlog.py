"""What waits for one stream, oldest first: its shards, then its part of the log."""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.core.batch import GROUP, Limit
from api2db.core.distinct import distinct
from api2db.core.errors import SpoolError, SpoolFailed
from api2db.core.faults import crash_point

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from api2db.core.batch import Batch
    from api2db.core.distinct import Keys
    from api2db.spool.ballast import Ballast
    from api2db.spool.spool import Spool
    from api2db.stream.spill import Spill

logger = logging.getLogger(__name__)

#: What one transaction takes of shards once the target is back; until then it is the sink's own.
BULK = Limit(2_000, 200_000, 64 * 2**20)


class Backlog:
    """
    The way of one stream's batches, from the log to the target, by way of shards if need be.

    A batch that is spilled has left the log, and has not landed. One thread, the worker's,
    reads and removes; `batches`, `bytes` and `oldest_at` are for any thread.

    Args:
        distinct: What tells the rows of a batch apart; see `core.distinct`.

    Attributes:
        duplicates: How many rows were left out of batches that have landed.
    """

    def __init__(self, spool: Spool, stream: str, spill: Spill, *, distinct: Keys = False) -> None:
        self.stream = stream
        self.spilled = spill
        self.duplicates = 0
        self._keys = distinct
        self._dropped: dict[str, int] = {}  # by batch id, until it has landed
        self._spool = spool
        self._from_spill = False
        self._settled = False  # whether no batch is both in a shard and in the log
        self._end_spill()

    def _end_spill(self) -> None:
        """Acknowledge what a crash has left both in a shard and in the log."""
        crash_point("recover.before_ack")
        with suppress(SpoolError):  # `read` tries again, and says it
            self._settle()
        crash_point("recover.after_ack")

    def _settle(self) -> None:
        """
        Acknowledge what is in a shard; nothing is read before.

        Once a shard has landed its marker may go: the log must not bring its batch again.
        Times tell, too: an older copy of the log gives the same places to other batches.

        Raises:
            SpoolFailed: The disk is full or fails.
        """
        while not self._settled:
            batches = self._spool.read(self.stream, GROUP)
            newest = self.spilled.newest(batches[0].timestamp_ns) if batches else None
            seq, timestamp_ns = (newest.seq, newest.timestamp_ns) if newest else (0, 0)
            spilled = [b for b in batches if b.seq <= seq and b.timestamp_ns <= timestamp_ns]
            if spilled:
                self._spool.ack(self.stream, spilled[-1].seq)
            self._settled = len(spilled) < len(batches) or not batches

    # -- for any thread ------------------------------------------------------------

    @property
    def queued(self) -> int:
        """How many batches wait in the log."""
        return self._spool.depth(self.stream).batches

    @property
    def batches(self) -> int:
        """How many batches wait, in shards and in the log."""
        return self.spilled.batches + self.queued

    @property
    def unfinished(self) -> bool:
        """Whether batches may come that have landed before: a person may mend a damaged shard."""
        return bool(self.batches or self.spilled.damaged)

    @property
    def ballast(self) -> Ballast:
        """For what lets batches leave the log, and needs room beside it."""
        return self._spool.ballast

    @property
    def oldest_at(self) -> float:
        """
        Epoch seconds at which the oldest was put; infinite if nothing waits.

        It is its name in seconds. The beginning of time where the disk does not tell.
        """
        spilled, depth = self.spilled.oldest_at, self._spool.depth(self.stream)
        if spilled is not None:
            return spilled
        return (depth.oldest_at or 0.0) if depth.batches else math.inf

    def wake(self) -> None:
        """Make `wait` return."""
        self._spool.wake()

    # -- for the worker ------------------------------------------------------------

    def wait(self, stop: threading.Event, timeout: float) -> bool:
        """Block until something waits, or as `Spool.wait`; return whether something does."""
        return bool(self.spilled.batches) or self._spool.wait(self.stream, stop, timeout)

    def wait_for_log(self, stop: threading.Event, timeout: float) -> bool:
        """Block until something waits in the log, or as `Spool.wait`; return whether it does."""
        return self._spool.wait(self.stream, stop, timeout)

    def gather(self, stop: threading.Event, most: int, timeout: float) -> None:
        """Block while more pages of a poll are about to come, up to *most*; see `Spool.gather`."""
        if not self.spilled.batches:
            self._spool.gather(self.stream, stop, batches=most, timeout=timeout)

    def holds(self, limit: Limit) -> bool:
        """Return whether as much waits as one transaction takes."""
        depth, spilled = self._spool.depth(self.stream), self.spilled
        return (
            max(depth.batches, spilled.batches) >= limit.batches
            or depth.rows >= limit.rows
            or max(depth.bytes, spilled.bytes) >= limit.bytes
        )

    def read(self, limit: Limit, *, bulk: bool) -> list[Batch]:
        """
        Return the oldest batches, in order, for one transaction; the same until `done`.

        Args:
            limit: How much at most; of shards in bulk, more.
            bulk: Read shards in large groups, and the next group in advance.

        Raises:
            SpoolFailed: The disk cannot be read, or what was spilled not acknowledged.
        """
        self._settle()
        batches = self.spilled.read(BULK if bulk else limit, ahead=bulk)
        self._from_spill = bool(batches)
        batches = batches or self._spool.read(self.stream, limit)
        return [self._distinct(batch) for batch in batches]

    def _distinct(self, batch: Batch) -> Batch:
        if self._keys is False:
            return batch
        rows = distinct(batch.rows, self._keys)
        self._dropped[batch.id] = batch.rows.num_rows - rows.num_rows
        return batch.with_rows(rows)

    def done(self, batches: Sequence[Batch]) -> None:
        """
        Say that *batches*, as `read` returned them, have landed; durable on return.

        Raises:
            SpoolFailed: They may be read again.
        """
        if self._from_spill:
            self._remove(batches)
        else:
            self._spool.ack(self.stream, batches[-1].seq)
        dropped = sum(self._dropped.pop(batch.id, 0) for batch in batches)
        if dropped:
            self.duplicates += dropped
            logger.info("duplicates_dropped", extra={"stream": self.stream, "rows": dropped})

    def _remove(self, batches: Sequence[Batch]) -> None:
        crash_point("recompose.before_remove")
        try:
            self.spilled.remove(batches)
        except OSError as exc:
            where = f"cannot remove shards in {self.spilled.folder}: {exc}"
            raise SpoolFailed(where, hint="check the disk and the rights") from exc
        crash_point("recompose.after_remove")

    def spill(self, stop: threading.Event) -> int:
        """
        Move what waits in the log into shards, in order, until *stop*; return how many batches.

        Raises:
            SpoolFailed: The disk is full or fails. The log keeps what has no shard.
        """
        moved = 0
        self._settle()
        while not stop.is_set():
            batches = self._spool.read(self.stream, GROUP)
            if not batches:
                break
            kept = None
            try:
                for batch in batches:
                    self.spilled.put(batch)
                    kept = batch
                    moved += 1
            except OSError as exc:
                where = f"cannot spill to {self.spilled.folder}: {exc.strerror or exc}"
                hint = "make room on the disk; the batches wait in the log"
                raise SpoolFailed(where, hint=hint) from exc
            finally:
                if kept is not None:
                    crash_point("spill.before_ack")
                    self._settled = False
                    self._spool.ack(self.stream, kept.seq)
                    self._settled = True
                    crash_point("spill.after_ack")
        return moved
