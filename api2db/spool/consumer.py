"""One stream's way through the log: where it reads, what it has acknowledged, what waits."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from api2db.core.errors import SpoolFailed
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool.cursor import Mark
from api2db.spool.log import End
from api2db.spool.quarantine import Damage
from api2db.spool.record import Totals
from api2db.spool.segment import Bad, Good

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api2db.core.batch import Batch
    from api2db.files.fs import Fs
    from api2db.spool.cursor import Cursor
    from api2db.spool.log import Log
    from api2db.spool.quarantine import Quarantine
    from api2db.spool.segment import Segment


class Place(NamedTuple):
    """A place between two records: segment, offset in it, totals of what lies before it."""

    base: int
    offset: int
    done: Totals


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

    def __init__(self, log: Log, cursor: Cursor, quarantine: Quarantine) -> None:
        self.ready = threading.Event()
        self.cursor = cursor
        self._log = log
        self._quarantine = quarantine
        self._marks: dict[int, Place] = {}  # by seq, of what was read and not acknowledged
        self._oldest: tuple[Place, float] | None = None
        self._place = self._find_start()
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

    def waiting(self) -> bool:
        """Return whether `read` would find something; as `n_waiting`."""
        return self.n_waiting() > 0

    def needs(self) -> int | None:
        """Return the base of the oldest segment that is needed, None if none is; as `n_waiting`."""
        if not self.waiting():
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

    # -- read ----------------------------------------------------------------------

    def read(self, *, batches: int, rows: int, size: int) -> list[Batch]:
        """
        Return what waits, oldest first, up to the limits, but at least one batch.

        Raises:
            OSError: A segment cannot be read.
        """
        with self._log.lock:
            start = self._place
        reading = _Reading(start, self._quarantine)
        for segment, found in self._log.scan(start.base, start.offset, verify=True):
            if isinstance(found, Good) and found.header.kind == fmt.DATA:
                header = found.header
                reading.rows += header.rows
                reading.bytes += header.payload_raw
                full = (
                    len(reading.batches) == batches or reading.rows > rows or reading.bytes > size
                )
                if reading.batches and full:
                    break
            reading.take(segment, found)
        with self._log.lock:
            if self._place == start:
                self._place = reading.start
                self._marks = reading.marks
        return reading.batches

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

    def remove(self, fs: Fs) -> None:
        """Remove the cursor's file; a failure only leaves it there."""
        self.cursor.close()
        with suppress(OSError):
            fs.unlink(self.cursor.path)

    def _find(self, seq: int) -> Place:
        place = self._place
        for segment, found in self._log.scan(place.base, place.offset, verify=False):
            if isinstance(found, Good):
                if found.header.seq > seq:
                    break
                place = Place(segment.base, found.end, found.header.after)
        return place


class _Reading:
    """
    What one `read` collects.

    Attributes:
        start: The place from which the next read of the same batches can begin.
        marks: By seq of each batch, the place behind it and what follows undelivered.
    """

    def __init__(self, start: Place, quarantine: Quarantine) -> None:
        self.batches: list[Batch] = []
        self.marks: dict[int, Place] = {}
        self.start = start
        self.rows = 0
        self.bytes = 0
        self._done = start.done
        self._bad: list[tuple[Segment, Bad]] = []
        self._quarantine = quarantine

    def take(self, segment: Segment, found: Good | Bad | End) -> None:
        """Take the next thing in the log."""
        if isinstance(found, Bad):
            self._bad.append((segment, found))
            return
        if isinstance(found, End):
            self._settle(segment, found.offset, found.totals)
            self._move(Place(segment.base, found.offset, found.totals))
            return
        header = found.header
        self._settle(segment, found.offset, header.before)
        if header.kind == fmt.DATA:
            assert found.body is not None
            try:
                batch = fmt.decode(header, found.body)
            except (pa.ArrowException, OSError, ValueError):
                self._bad.append((segment, Bad(found.offset, found.end, header)))
                return
            self.batches.append(batch)
            self.marks[header.seq] = Place(segment.base, found.end, header.after)
        self._done = header.after
        if header.kind == fmt.STATE:
            self._move(Place(segment.base, found.end, header.after))

    def _move(self, place: Place) -> None:
        """Pass something that is delivered to nobody."""
        if self.batches:
            self.marks[self.batches[-1].seq] = place
        else:
            self.start = place

    def _settle(self, segment: Segment, offset: int, before: Totals) -> None:
        """Report what is damaged or missing between the last record and this place."""
        lost = (self._done, before)
        for i, (where, bad) in enumerate(self._bad):
            self._quarantine.record(where, bad, lost if i == 0 else (before, before))
        if not self._bad and before.batches > self._done.batches:
            note = "records before this place are not there"
            batches, rows = before.batches - self._done.batches, before.rows - self._done.rows
            name = f"seg/{segment.path.name}"
            self._quarantine.report(Damage("missing", name, offset, 0, batches, rows, note))
        self._bad = []
        self._done = before


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
