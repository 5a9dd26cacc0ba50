"""One stream's way through the log: where it reads, what it has acknowledged, what waits."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.errors import SpoolFailed
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool.cursor import RETIRED, Mark
from api2db.spool.log import End
from api2db.spool.reading import Place, Reading
from api2db.spool.record import Totals
from api2db.spool.segment import Bad, Good

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api2db.core.batch import Batch, Limit
    from api2db.core.clock import Clock
    from api2db.files.fs import Fs
    from api2db.spool.cursor import Cursor
    from api2db.spool.log import Log
    from api2db.spool.quarantine import Quarantine


@dataclass(frozen=True, slots=True)
class Depth:
    """
    What waits for a stream.

    Attributes:
        batches: Waiting batches; damaged ones count until the stream has come to them.
        rows: Rows in them.
        bytes: Bytes of their records on disk.
        oldest_at: Epoch seconds at which the oldest was put, None if nothing waits.
    """

    batches: int
    rows: int
    bytes: int
    oldest_at: float | None


class Consumer:
    """
    One stream. One thread at a time reads and acknowledges; `depth` is for any thread.

    Attributes:
        ready: Set when something was put, and to wake a waiter.
    """

    def __init__(self, log: Log, cursor: Cursor, quarantine: Quarantine, clock: Clock) -> None:
        self.ready = threading.Event()
        self.cursor = cursor
        self._log = log
        self._clock = clock
        self._quarantine = quarantine
        self._marks: dict[int, Place] = {}  # by seq, of what was read and not acknowledged
        self._oldest: tuple[Place, float] | None = None
        self._place = self._ahead = self._find_start()
        self._torn = False  # something is missing between `_ahead` and what came before it
        if self._place.done != cursor.mark.done:
            cursor.store(cursor.mark._replace(done=self._place.done))

    def _find_start(self) -> Place:
        """Return the place behind the newest record that is acknowledged."""
        acked, _, done = self.cursor.mark
        with self._log.lock:
            bases = [s.base for s in self._log.segments if s.base <= acked + 1]
        base = bases[-1] if bases else 0
        place = Place(base, seg.HEADER.size, done)
        for segment, found in self._log.scan(base, seg.HEADER.size, verify=False):
            if isinstance(found, End):
                return place._replace(done=min(done, found.totals))
            if isinstance(found, Bad):
                continue
            if found.header.seq > acked:
                # An older copy of the log, or a log that lost its end, may know less.
                before = found.header.before
                return place._replace(done=before if self.cursor.fresh else min(done, before))
            place = Place(segment.base, found.end, done)
        return place._replace(done=Totals())

    # -- what waits ----------------------------------------------------------------

    def n_waiting(self) -> int:
        """Return how many batches wait. Called under the log's lock."""
        return self._log.tip.totals.batches - self._place.done.batches

    def n_unseen(self) -> int:
        """Return how many batches `read_ahead` has not come to; as `n_waiting`."""
        return self._log.tip.totals.batches - max(self._ahead, self._place).done.batches

    def needs(self) -> int | None:
        """Return the base of the oldest segment that is needed, None if none is; as `n_waiting`."""
        if self.n_waiting() <= 0:
            return None
        place, segments = self._place, self._log.segments
        ended = any(s.base == place.base and place.offset >= s.end for s in segments)
        return place.base + ended

    def depth(self) -> Depth:
        """Return what waits; reads a header from the disk when the stream has moved."""
        with self._log.lock:
            place, totals = self._place, self._log.tip.totals
            oldest = self._oldest
        batches = totals.batches - place.done.batches
        if batches <= 0:
            return Depth(0, 0, 0, None)
        if oldest is None or oldest[0] != place:
            with suppress(OSError):
                self._oldest = oldest = (place, self._oldest_at(place))
        rows, size = totals.rows - place.done.rows, totals.bytes - place.done.bytes
        return Depth(batches, rows, size, oldest[1] if oldest else None)

    def _oldest_at(self, place: Place) -> float:
        for _, found in self._log.scan(place.base, place.offset, verify=False):
            if isinstance(found, Good) and found.header.kind == fmt.DATA:
                return found.header.enqueued_ns / 1e9
        return float("inf")

    def wait(self, over: Callable[[], bool], timeout: float, *, ahead: bool) -> bool:
        """Block as `Spool.wait`, or until *over* and `ready`; return whether something waits."""
        count = self.n_unseen if ahead else self.n_waiting
        with self._log.lock:
            if count() > 0:
                return True
            self.ready.clear()
        if over():
            return False
        self._clock.wait(self.ready, timeout)
        with self._log.lock:
            return count() > 0

    def gather(self, over: Callable[[], bool], batches: int, timeout: float) -> None:
        """Block as `Spool.gather`, or until *over* and `ready`."""
        deadline = self._clock.monotonic() + timeout
        while not over():
            with self._log.lock:
                if not self._log.tip.hold or self.n_waiting() >= batches:
                    return
                self.ready.clear()
            left = deadline - self._clock.monotonic()
            if left <= 0:
                return
            self._clock.wait(self.ready, left)

    # -- read ----------------------------------------------------------------------

    def read(self, limit: Limit) -> list[Batch]:
        """
        Return what waits, oldest first, up to *limit*, but at least one batch.

        Raises:
            OSError: A segment cannot be read.
        """
        with self._log.lock:
            start = self._place
        reading = self._read(Reading(start, self._quarantine), limit)
        with self._log.lock:
            if self._place == start:
                self._place = reading.start
                self._marks = reading.marks
        return reading.batches

    def read_ahead(self, limit: Limit) -> list[tuple[Batch, bool]]:
        """
        Return what comes behind all that this returned before, acknowledged or not.

        With each batch comes whether nothing is missing between it and the one before it. The
        limit and the errors are those of `read`.
        """
        with self._log.lock:
            start = max(self._ahead, self._place)
        reading = Reading(start, self._quarantine, torn=self._torn)
        self._read(reading, limit)
        self._torn = reading.torn
        found = reading.batches
        with self._log.lock:
            self._ahead = reading.marks[found[-1].seq] if found else reading.start
        return list(zip(found, reading.whole, strict=True))

    def _read(self, reading: Reading, limit: Limit) -> Reading:
        start = reading.start
        try:
            for segment, found in self._log.scan(start.base, start.offset, verify=True):
                if isinstance(found, Good) and found.header.kind == fmt.DATA:
                    reading.rows += found.header.rows
                    reading.bytes += found.header.payload_raw
                    full = reading.rows > limit.rows or reading.bytes > limit.bytes
                    if reading.batches and (full or len(reading.batches) == limit.batches):
                        break
                reading.take(segment, found)
        except OSError:
            if not reading.batches:  # else they go first; the next read meets it again
                raise
        return reading

    # -- acknowledge ---------------------------------------------------------------

    def ack(self, seq: int) -> bool:
        """
        Make durable that everything up to *seq* is done; return whether that was news.

        Raises:
            OSError: It may or may not be durable; nothing has changed otherwise.
            SpoolFailed: The log never held *seq*.
        """
        with self._log.lock:
            newest = self._log.tip.seq
            place = self._marks.get(seq)
        if seq <= self.cursor.mark.acked:
            return False
        if seq > newest:
            raise SpoolFailed(f"record {seq} cannot be acknowledged, the newest is {newest}")
        place = place or self._find(seq)
        # Never less: after a loss it still tells which seqs were given.
        log_end = max(newest, self.cursor.mark.log_end)
        self.cursor.store(Mark(seq, log_end, place.done))
        with self._log.lock:
            self._place = place
            self._marks = {s: mark for s, mark in self._marks.items() if s > seq}
        return True

    def seal(self) -> None:
        """Note where the log ends, so that a loss of its newest records will be seen."""
        mark = self.cursor.mark
        newest = self._log.tip.seq
        if mark.log_end < newest:
            self.cursor.store(mark._replace(log_end=newest))

    def retire(self, fs: Fs) -> None:
        """Lay the cursor's file aside, so that it holds nothing; a failure only leaves it there."""
        self.cursor.close()
        with suppress(OSError):
            fs.rename(self.cursor.path, self.cursor.path.with_suffix(RETIRED))
            fs.fsync_dir(self.cursor.path.parent)

    def _find(self, seq: int) -> Place:
        place = self._place
        for segment, found in self._log.scan(place.base, place.offset, verify=False):
            if isinstance(found, Good):
                if found.header.seq > seq:
                    break
                place = Place(segment.base, found.end, found.header.after)
        return place


def batches_of(log: Log, poll: str, first_seq: int) -> Iterator[Batch]:
    """
    Yield the batches of *poll* that the log holds from *first_seq* on; damaged ones are left out.

    Raises:
        OSError: A segment cannot be read.
    """
    with log.lock:
        bases = [s.base for s in log.segments if s.base <= first_seq]
    for _, found in log.scan(bases[-1] if bases else 0, seg.HEADER.size, verify=True):
        if not isinstance(found, Good) or found.body is None:
            continue
        header = found.header
        wanted = header.kind == fmt.DATA and header.seq >= first_seq
        if wanted and fmt.poll_of(header, found.body) == poll:
            with suppress(pa.ArrowException):
                yield fmt.decode(header, found.body)
