"""The whole polls that wait for a stream which replaces what its target holds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from api2db.core.batch import NO_ROWS
from api2db.core.errors import SpoolFailed
from api2db.stream.backlog import Backlog

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from api2db.core.batch import Batch, Limit
    from api2db.core.distinct import Keys
    from api2db.spool.spool import Spool
    from api2db.stream.spill import Spill

logger = logging.getLogger(__name__)


class PollBacklog(Backlog):
    """
    A backlog of which only whole polls are taken, of any length, and written the last one only.

    Each batch is read once as it comes, to see where its poll ends; what is kept of it is its
    id. The last poll is read again, a batch at a time, to be written. A poll of which a page is
    damaged, or was delivered before the stream began to replace, is passed over; it goes with
    the next one. One that was abandoned, for it could not resume, goes when another begins.
    Shards of a time before that are delivered first, as they are.
    """

    def __init__(self, spool: Spool, stream: str, spill: Spill, *, distinct: Keys = False) -> None:
        super().__init__(spool, stream, spill, distinct=distinct)
        self._whole: list[Batch] = []  # without rows: up to the end of the last whole poll
        self._rest: list[Batch] = []  # behind it
        self._written = 0  # how many of the first list's last ones are of the poll to be written
        self._begun = -1  # where in the second one the poll under way begins; -1: not whole

    @property
    def queued(self) -> int:
        """How many batches wait in the log, but for those of a poll that has not ended."""
        return len(self._whole) + self._spool.unseen(self.stream)

    @property
    def replaces(self) -> bool:
        """Whether the last `read` was of whole polls."""
        return not self._from_spill

    def wait(self, stop: threading.Event, timeout: float) -> bool:
        """Block until a whole poll waits or pages come that may end one; as `Backlog.wait`."""
        if self._whole or self.spilled.batches:
            return True
        return self._spool.wait(self.stream, stop, timeout, ahead=True)

    def read(self, limit: Limit, *, bulk: bool) -> list[Batch]:
        """Return the batches of all whole polls, without their rows; or shards, if there are."""
        if self.spilled.batches:
            return super().read(limit, bulk=bulk)
        self._from_spill = False
        while found := self._spool.read_ahead(self.stream):
            for batch, whole in found:
                self._take(batch, whole=whole)
        self._leave_abandoned()
        return list(self._whole)

    def pages(self) -> Iterator[Batch]:
        """
        Yield what `read` has returned, with the rows of the last poll; one batch in memory.

        Raises:
            SpoolFailed: The disk cannot be read, or a page has been damaged meanwhile.
        """
        older, last = self._whole[: -self._written], self._whole[-self._written :]
        yield from older
        expected = iter(last)
        for batch in self._spool.poll(last[0].poll, last[0].seq):
            if batch.id != next(expected).id:
                break
            yield self._distinct(batch)
            if batch.id == last[-1].id:
                return
        hint = "it is passed over when the next poll has ended"
        raise SpoolFailed("a page of the poll that waits is damaged", hint=hint)

    def done(self, batches: Sequence[Batch]) -> None:
        """Say that *batches* have landed; see `Backlog.done`."""
        super().done(batches)
        if self.replaces:
            self._whole = []

    def _leave_abandoned(self) -> None:
        """Acknowledge polls that will never end, so that they take no room of the one that may."""
        if self._begun > 0 and not self._whole:
            self._spool.ack(self.stream, self._rest[self._begun - 1].seq)
            del self._rest[: self._begun]
            self._begun = 0

    def _take(self, batch: Batch, *, whole: bool) -> None:
        if batch.first:
            self._begun = len(self._rest)
        elif not whole:
            self._begun = -1
        self._rest.append(batch.with_rows(NO_ROWS))
        if not batch.last:
            return
        if self._begun < 0:
            fields = {"stream": self.stream, "poll": batch.poll}
            logger.warning("poll_passed_over", extra=fields)
            return
        self._written = len(self._rest) - self._begun
        self._whole += self._rest
        self._rest, self._begun = [], -1
