"""The one writer of a log: append, undo, roll over to a new segment."""

from __future__ import annotations

import errno
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolError, SpoolFailed, SpoolFull
from api2db.core.faults import armed, crash_point
from api2db.core.ids import new_id
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool.ballast import FULL
from api2db.spool.log import Tip
from api2db.spool.record import Record
from api2db.spool.segment import Segment
from api2db.spool.whole import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.core.ids import Timestamps
    from api2db.files.fs import Fs
    from api2db.spool.ballast import Ballast
    from api2db.spool.log import Log
    from api2db.spool.record import Body, Header, Totals


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What `Spool.put` took.

    Attributes:
        seq: Place in the log.
        batch_id: Id of the batch, 32 hex digits.
        timestamp_ns: Its timestamp; see `core.ids.Timestamps`.
    """

    seq: int
    batch_id: str
    timestamp_ns: int


class Writer:
    """
    Appends to a log. One thread at a time is in `write`; see `GroupCommit`.

    Attributes:
        next_seq: What the next record gets; a seq is never given twice.
    """

    def __init__(
        self,
        fs: Fs,
        folder: Path,
        queue: bytes,
        log: Log,
        *,
        next_seq: int,
        must_roll: bool,
        timestamps: Timestamps,
        clock: Clock,
        ballast: Ballast,
        quota: int,
        beside: Callable[[], int],
        segment_bytes: int,
    ) -> None:
        self.next_seq = next_seq
        self._fs = fs
        self._folder = folder
        self._queue = queue
        self._log = log
        self._timestamps = timestamps
        self._clock = clock
        self._ballast = ballast
        self._quota = quota
        self._beside = beside
        # A segment can go only as a whole, so a small quota needs small ones.
        self._segment_bytes = min(segment_bytes, max(quota // 8, 4096))
        self._writing = threading.Lock()
        self._fresh_end = 0  # end of the active segment when it held its first state only
        # While this is set, what follows the active segment's end is not to be trusted.
        self._must_roll = must_roll or not log.segments
        self._fd = -1 if self._must_roll else fs.open(log.segments[-1].path, write=True)

    # -- append --------------------------------------------------------------------

    def write(self, group: Sequence[Body]) -> list[Receipt | Exception]:
        """
        Append *group* with one write and one sync; return what became of each record.

        The errors are SpoolFull and SpoolFailed; nothing of such a record was taken.
        """
        with self._writing:
            return self._write_group(group)

    def _write_group(self, group: Sequence[Body]) -> list[Receipt | Exception]:
        taken, results = self._admit(group)
        if not taken:
            return results
        done: list[Receipt | Exception]
        try:
            done = [*self._append_or_reclaim([group[i] for i in taken])]
        except SpoolError as exc:
            done = [exc] * len(taken)
        for i, result in zip(taken, done, strict=True):
            results[i] = result
        return results

    def _admit(self, group: Sequence[Body]) -> tuple[list[int], list[Receipt | Exception]]:
        """Return the indices of the records for which the quota has room, and the results."""
        if group[0].length > self.room():
            with suppress(OSError):
                self._reclaim()
        taken: list[int] = []
        results: list[Receipt | Exception] = []
        room = self.room()
        for i, body in enumerate(group):
            if body.length <= room:
                taken.append(i)
                room -= body.length
            full = f"the log in {self._folder} has {max(0, room)} bytes left of its quota"
            hint = "mend the targets that are down, or raise 'quota'"
            results.append(SpoolFull(f"{full}, a record needs {body.length}", hint=hint))
        return taken, results

    def room(self) -> int:
        """Return how many bytes the quota leaves, below 0 for none. Any thread."""
        return self._quota - self._log.size - self._beside()

    def _append_or_reclaim(self, bodies: Sequence[Body]) -> list[Receipt]:
        """Append; on a full disk, give up the space of what all streams have, and try again."""
        try:
            try:
                return self._append(bodies)
            except OSError as exc:
                if exc.errno not in FULL or not self._reclaim():
                    raise
                return self._append(bodies)
        except OSError as exc:
            where = f"cannot append to the log in {self._folder}: {exc.strerror or exc}"
            if exc.errno in FULL:
                hint = "make room on the disk; what waits is still delivered"
                raise SpoolFull(where, hint=hint) from exc
            raise SpoolFailed(where, hint="check the disk; nothing was taken") from exc

    def _append(self, bodies: Sequence[Body]) -> list[Receipt]:
        if self._must_roll or self._log.segments[-1].end >= self._segment_bytes:
            self._roll()
        active, totals = self._log.segments[-1], self._log.tip.totals
        headers: list[Header] = []
        for body in bodies:
            headers.append(self._header(body, self.next_seq, active.end, totals))
            totals = headers[-1].after
            self.next_seq += 1
        crash_point("spool.before_append")
        buffers = [
            part
            for header, body in zip(headers, bodies, strict=True)
            for part in (header.pack(active.seed), *body.parts)
        ]
        size = sum(body.length for body in bodies)
        self._write(active, buffers, size)
        with self._log.lock:
            active.end += size
            active.size = active.end
            self._log.tip = Tip(
                headers[-1].seq, totals, bodies[-1].state, headers[-1].hold, active.base
            )
        return [Receipt(h.seq, h.id.hex(), h.timestamp_ns) for h in headers]

    def _header(self, body: Body, seq: int, group: int, before: Totals) -> Header:
        return body.header(
            seq=seq,
            group=group,
            batch_id=new_id(),
            timestamp_ns=self._timestamps.next(),
            enqueued_ns=int(self._clock.now() * 1e9),
            before=before,
        )

    def _write(self, active: Segment, buffers: list[bytes], size: int) -> None:
        """Write *size* bytes behind the active segment's end, and sync; undone if it fails."""
        self._must_roll = True
        try:
            if armed("spool.mid_append"):
                data = b"".join(buffers)
                self._fs.pwrite(self._fd, data[: size // 2], active.end)
                crash_point("spool.mid_append")
            if self._fs.pwritev(self._fd, buffers, active.end) != size:
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError:
            # Synced, so that no later crash brings back a part of what was refused.
            self._fs.ftruncate(self._fd, active.end)
            self._fs.fdatasync(self._fd)
            self._must_roll = False
            raise
        crash_point("spool.before_fsync")
        try:
            self._fs.fdatasync(self._fd)
        except OSError:
            # What is on disk is unknown, and a second sync would lie: leave this segment.
            with suppress(OSError):
                self._fs.ftruncate(self._fd, active.end)
            raise
        crash_point("spool.after_fsync")
        self._must_roll = False

    # -- segments ------------------------------------------------------------------

    def _roll(self) -> None:
        """
        Begin a new segment, with the newest state in it; it is durable before its name.

        Its header says where the one before ends, so nothing may be appended there as soon
        as the new name could exist.
        """
        self._must_roll = True
        base, tip = self.next_seq, self._log.tip
        previous = self._log.segments[-1] if self._log.segments else None
        path = self._folder / "seg" / seg.name_of(base)
        header = seg.SegmentHeader(
            format=seg.FORMAT,
            min_reader=seg.FORMAT,
            flags=0,
            base=base,
            previous=previous.base if previous else 0,
            previous_end=previous.end if previous else 0,
            queue=self._queue,
        )
        body = fmt.encode(Record(None, tip.state, hold=tip.hold or None))
        segment = Segment(path, base, 0, 0, seg.seed_of(self._queue, base))
        record = self._header(body, base, seg.HEADER.size, tip.totals)
        parts = [header.pack(), record.pack(segment.seed), *body.parts]
        fd = write_whole(self._fs, path, parts)
        segment.end = segment.size = seg.HEADER.size + body.length
        old, self._fd = self._fd, fd
        with self._log.lock:
            self._log.segments.append(segment)
            self._log.tip = tip._replace(seq=base, base=base)
        self.next_seq = base + 1
        self._fresh_end = segment.end
        self._must_roll = False
        if old >= 0:
            self._fs.close(old)
        self._log.collect()

    def _reclaim(self) -> bool:
        """
        Free the active segment if nobody needs it any more; return whether it was.

        The ballast makes room for the new segment on a full disk.
        """
        with self._log.lock:
            if not self._log.segments or self._log.segments[-1].end == self._fresh_end:
                return False
            held = 0 < self._log.hold <= self._log.tip.seq
            if held or self._log.keep_from() <= self._log.segments[-1].base:
                return False
        with self._ballast.given():
            self._roll()
        return True

    def close(self) -> None:
        """Close the active segment; nothing can be appended any more. Idempotent."""
        with self._writing:
            fd, self._fd = self._fd, -1
            self._must_roll = True
            if fd >= 0:
                self._fs.close(fd)
