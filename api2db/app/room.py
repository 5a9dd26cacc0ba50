"""Room in the log for a poll that is larger than its quota."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolFull

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import pyarrow as pa

    from api2db.core.clock import Clock
    from api2db.core.pulse import Pulse
    from api2db.ingest.held import Keys
    from api2db.ingest.heldkeys import HeldKeys
    from api2db.spool.spool import Record, Spool

logger = logging.getLogger(__name__)

#: Seconds without any progress of the streams after which a full log refuses the poll.
PATIENCE = 30.0
#: Seconds between two looks at the streams, and two tries without any: others may make room.
LOOK, RETRY = 0.05, 1.0


class Room:
    """
    Puts the records of one collector's polls; used by its poller's thread.

    A full log has two remedies. The open poll gives up its hold on its own records (an API
    that refuses to resume makes it begin again) for the keys of their rows, so that what all
    streams have can go. For the rest, it waits as long as the streams deliver.
    """

    def __init__(
        self,
        name: str,
        spool: Spool,
        keys: HeldKeys,
        *,
        clock: Clock,
        stop: threading.Event,
        pulse: Pulse,
    ) -> None:
        self._name = name
        self._spool = spool
        self._keys = keys
        self._clock = clock
        self._stop = stop
        self._pulse = pulse

    def put(self, record: Record) -> None:
        """
        Put *record*; wait for room while the streams make some.

        Raises:
            SpoolFull: There is none, and no stream has delivered anything for a while, or the
                poller is stopping. Nothing was taken.
            SpoolFailed: The disk failed. Nothing was taken.
        """
        try:
            self._spool.put(record)
        except SpoolFull as full:
            self._put_when_there_is_room(record, full)
        if record.hold is None:  # the poll has ended
            with suppress(OSError):  # another poll writes it anew
                self._keys.clear()

    def held(self, poll: str, first_seq: int) -> Iterator[pa.RecordBatch | Keys]:
        """Yield the rows of an open poll's records, or their keys where these are left."""
        after = first_seq
        for chunk in self._keys.of(poll, first_seq):
            yield chunk.keys
            after = chunk.after
        for batch in self._spool.poll(poll, after):
            yield batch.rows

    def _put_when_there_is_room(self, record: Record, full: SpoolFull) -> None:
        began = self._clock.monotonic()
        logger.info("poll_waits_for_room", extra={"collector": self._name, "why": str(full)})
        before: tuple[int, ...] = ()
        until = began
        while True:
            if (now := self._progress()) != before:
                before, until = now, self._clock.monotonic() + PATIENCE
                self._pulse.beat(PATIENCE)
                with suppress(OSError):  # what streams deliver may make room all the same
                    self._let_go(record.poll)
            try:
                self._spool.put(record)
            except SpoolFull as exc:
                full = exc
            else:
                seconds = round(self._clock.monotonic() - began, 3)
                logger.info("poll_has_room", extra={"collector": self._name, "waited": seconds})
                return
            self._wait(before)
            if self._stop.is_set() or self._clock.monotonic() >= until:
                raise full

    def _let_go(self, poll: str) -> None:
        """Keep only the keys of the poll's rows that are in the log."""
        hold, after = self._spool.hold, self._spool.next_seq
        if not hold:
            return
        chunks = self._keys.of(poll, 0)
        first = max(hold, chunks[-1].after if chunks else 0)
        if after > first:
            self._spool.ballast.spare(lambda: self._keep_keys(poll, first, after))
        self._spool.let_go(after)

    def _keep_keys(self, poll: str, first: int, after: int) -> None:
        batches = (batch.rows for batch in self._spool.poll(poll, first))
        self._keys.add(poll, first, after, batches)

    def _progress(self) -> tuple[int, ...]:
        """Return something that changes when a stream has delivered, or room was made."""
        spool = self._spool
        return (spool.room, *(spool.depth(stream).batches for stream in spool.streams))

    def _wait(self, before: tuple[int, ...]) -> None:
        """Wait for progress since *before*, to stop, or until it is time to try without."""
        until = self._clock.monotonic() + RETRY
        while self._progress() == before and not self._stop.is_set():
            if self._clock.monotonic() >= until:
                return
            self._clock.wait(self._stop, LOOK)
