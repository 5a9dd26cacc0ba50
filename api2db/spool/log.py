"""The segments of one spool: where the log begins and ends, scan, removal."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, NamedTuple

from api2db.core.faults import crash_point
from api2db.spool import segment as seg
from api2db.spool.record import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api2db.files.fs import Fs
    from api2db.spool.segment import Bad, Good, Segment

logger = logging.getLogger(__name__)


class Tip(NamedTuple):
    """
    The newest durable record.

    Attributes:
        totals: With it.
        hold: Its hold, 0 for none.
        base: Its segment; never removed, because the state is in it.
    """

    seq: int = 0
    totals: Totals = Totals()
    state: bytes = b""
    hold: int = 0
    base: int = 0


class End(NamedTuple):
    """Everything durable has been scanned: the offset, and the totals up to here."""

    offset: int
    totals: Totals


class Log:
    """
    The segments, their ends and the newest record; `Writer` moves them on.

    Attributes:
        lock: Guards `segments`, their ends, `tip`, and the places of the consumers.
        segments: Oldest first; the last one takes the appends.
        keep_from: Returns, under `lock`, the base of the oldest segment that a stream needs;
            beyond all of them if none needs any.
    """

    def __init__(self, fs: Fs, segments: list[Segment], tip: Tip) -> None:
        self.lock = threading.Lock()
        self.segments = segments
        self.tip = tip
        self.keep_from: Callable[[], int] = lambda: 0
        self._let_go = 0
        self._fs = fs
        self._collecting = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes of the segments on disk."""
        with self.lock:
            return sum(segment.size for segment in self.segments)

    @property
    def hold(self) -> int:
        """Lowest seq that an open poll needs, 0 for none. Called under `lock`."""
        return max(self.tip.hold, self._let_go) if self.tip.hold else 0

    def let_go(self, seq: int) -> None:
        """No open poll needs what lies below *seq* any more, while this process lives."""
        with self.lock:
            self._let_go = max(self._let_go, seq)
        self.collect()

    def collect(self) -> None:
        """
        Remove the segments that no stream and no open poll needs; never the active one.

        Called after a cursor is durable. A file that cannot be removed goes at the next start.
        """
        with self._collecting:
            with self.lock:
                needed, hold = min(self.keep_from(), self.tip.base), self.hold
                doomed = []
                while (
                    len(self.segments) > 1
                    and self.segments[0].base < needed
                    and (not hold or self.segments[1].base <= hold)
                ):
                    doomed.append(self.segments.pop(0))
            for segment in doomed:
                crash_point("spool.before_unlink")
                try:
                    self._fs.unlink(segment.path)
                except OSError as exc:
                    fields = {"path": str(segment.path), "error": str(exc)}
                    logger.warning("segment_not_removed", extra=fields)

    # -- scan ----------------------------------------------------------------------

    def scan(
        self, base: int, offset: int, *, verify: bool
    ) -> Iterator[tuple[Segment, Good | Bad | End]]:
        """
        Yield everything durable from a place on, across segments, then an `End`.

        Args:
            base: The segment; if it is gone, the scan begins with the next one.
            offset: The place in it.
            verify: As in `segment.walk`.

        Raises:
            OSError: A segment cannot be read.
        """
        while True:
            with self.lock:
                segment = next((s for s in self.segments if s.base >= base), None)
                if segment is None:
                    return
                if segment.base > base:
                    base, offset = segment.base, seg.HEADER.size
                end = segment.end
                is_end = segment is self.segments[-1] and offset >= end
                last = End(end, self.tip.totals)
            if is_end:
                yield segment, last
                return
            if offset >= end:
                base = segment.base + 1
                continue
            yield from self._scan_one(segment, offset, end, verify=verify)
            offset = end

    def _scan_one(
        self, segment: Segment, offset: int, end: int, *, verify: bool
    ) -> Iterator[tuple[Segment, Good | Bad | End]]:
        try:
            fd = self._fs.open(segment.path)
        except FileNotFoundError:  # removed since: nobody needs it; or lost: the totals tell
            return
        try:
            for found in seg.walk(self._fs, fd, segment, offset, end, verify=verify):
                yield segment, found
        finally:
            self._fs.close(fd)
