"""
What a start finds: the segments, and where the log really ends.

Nothing is changed before every file was seen to be of a version that this code knows. A record
counts as accepted if something proves that it was synced: a later record that was written in a
later group, a later segment, or a cursor that has seen it. What is damaged at the end and proven
by nothing was cut off while it was written, and is cut away.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolFailed
from api2db.core.faults import crash_point
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool.log import Tip
from api2db.spool.quarantine import Damage
from api2db.spool.segment import Bad, Good, Segment

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.files.fs import Fs
    from api2db.spool.quarantine import Quarantine
    from api2db.spool.record import Totals
    from api2db.spool.segment import SegmentHeader

logger = logging.getLogger(__name__)

UPGRADE = "install the version of api2db that wrote it, or a newer one; nothing was changed"


@dataclass(slots=True)
class SegmentFile:
    """A segment file as it was found; *header* is None where it is damaged."""

    path: Path
    base: int
    size: int
    header: SegmentHeader | None


@dataclass(slots=True)
class Recovered:
    """What `recover` returns; *must_roll*: nothing may be appended to the last segment."""

    segments: list[Segment]
    tip: Tip = field(default_factory=Tip)
    timestamp_ns: int = 0
    must_roll: bool = False


def list_segments(fs: Fs, folder: Path) -> list[SegmentFile]:
    """
    Read the header of every segment, oldest first; change nothing.

    Raises:
        SpoolFailed: A segment needs a newer version.
        OSError: A file cannot be read.
    """
    files = []
    for name in sorted(fs.listdir(folder)):
        stem = name.removesuffix(seg.SUFFIX)
        if stem == name or not (stem.isascii() and stem.isdigit()):
            continue
        fd = fs.open(folder / name)
        try:
            header = seg.parse_header(fs.pread(fd, seg.HEADER.size, 0))
            size = fs.size(fd)
        finally:
            fs.close(fd)
        if header is not None and header.min_reader > seg.FORMAT:
            raise SpoolFailed(
                f"{folder / name} has format {header.format}, newer than {seg.FORMAT}", hint=UPGRADE
            )
        files.append(SegmentFile(folder / name, int(stem), size, header))
    return files


def recover(
    fs: Fs, files: list[SegmentFile], queue: bytes, proven: int, quarantine: Quarantine
) -> Recovered:
    """
    Set aside what does not belong here, find the newest record, cut what was never accepted.

    Args:
        proven: Newest seq that a cursor knows to have been durable.

    Raises:
        OSError: A segment cannot be read.
    """
    segments = _segments(files, queue, quarantine)
    found = Recovered(segments, must_roll=not segments)
    newest, base = None, 0
    if segments:
        base = segments[-1].base
        newest = _Tail(fs, segments[-1], proven, quarantine).recover(found)
        for segment in reversed(segments[:-1]):
            if newest is not None:
                break
            newest, base = _newest_in(fs, segment), segment.base
    if newest is not None:
        header, body = newest.header, newest.body
        assert body is not None
        state = fmt.state_of(header, body)
        found.tip = Tip(header.seq, header.after, state, header.hold, base)
        found.timestamp_ns = header.timestamp_ns
    if proven > found.tip.seq:
        note = f"records {found.tip.seq + 1} to {proven} were durable, and are gone"
        quarantine.report(Damage("tail", "seg", offset=found.tip.seq, note=note))
        # Behind the gap, what is torn would look as if a cursor had proven it.
        found.must_roll = True
    return found


def _segments(files: list[SegmentFile], queue: bytes, quarantine: Quarantine) -> list[Segment]:
    """Return the segments of this queue, each with the end that its successor knows."""
    own: list[SegmentFile] = []
    for file in files:
        where = f"seg/{file.path.name}"
        header = file.header
        if header is not None and (header.queue != queue or header.base != file.base):
            note = "it belongs to another queue, or is a copy under another name"
            saved = quarantine.take(file.path)
            quarantine.report(Damage("segment", where, 0, file.size, note=note, saved=saved))
            continue
        if header is None:
            note = "its header is damaged; its records are read all the same"
            quarantine.report(Damage("segment", where, 0, seg.HEADER.size, note=note))
        own.append(file)
    segments = []
    for i, file in enumerate(own):
        end = file.size
        following = own[i + 1].header if i + 1 < len(own) else None
        if following is not None and following.previous == file.base:
            end = following.previous_end
            if end > file.size:
                note = "it was cut off"
                where, missing = f"seg/{file.path.name}", end - file.size
                quarantine.report(Damage("segment", where, file.size, missing, note=note))
        end = max(min(end, file.size), seg.HEADER.size)
        seed = seg.seed_of(queue, file.base)
        segments.append(Segment(file.path, file.base, end, file.size, seed))
    return segments


def _newest_in(fs: Fs, segment: Segment) -> Good | None:
    fd = fs.open(segment.path)
    try:
        newest = None
        walk = seg.walk(fs, fd, segment, seg.HEADER.size, segment.end, verify=True)
        for found in walk:
            if isinstance(found, Good):
                newest = found
        return newest
    finally:
        fs.close(fd)


@dataclass(slots=True)
class _Doubt:
    """Bytes that are no record, and the totals before and after them, where a record tells."""

    bad: Bad
    before: Totals | None
    after: Totals | None = None


class _Tail:
    """The end of the last segment."""

    def __init__(self, fs: Fs, segment: Segment, proven: int, quarantine: Quarantine) -> None:
        self._fs = fs
        self._segment = segment
        self._proven = proven
        self._quarantine = quarantine

    def recover(self, found: Recovered) -> Good | None:
        """Return the newest record; set the segment's end there."""
        segment = self._segment
        fd = self._fs.open(segment.path, write=True)
        try:
            safe, newest, doubtful = self._newest(fd)
            seq = safe.header.seq + 1 if safe is not None else segment.base
            # A segment gets its name when its first record is durable.
            if doubtful and (self._proven >= seq or safe is None):
                self._report(doubtful)
            elif doubtful:
                newest = safe
                self._set_aside(doubtful[0].bad)
            segment.end = newest.end if newest is not None else seg.HEADER.size
            if newest is None:
                found.must_roll = True
            else:
                found.must_roll = not self._cut(fd)
        finally:
            self._fs.close(fd)
        return newest

    def _cut(self, fd: int) -> bool:
        """End the file with the newest record; return whether it can be appended to."""
        segment = self._segment
        with suppress(OSError):
            if segment.size > segment.end:
                crash_point("recover.before_cut")
                self._fs.ftruncate(fd, segment.end)
                crash_point("recover.after_cut")
            # What the last process cut off must be gone before anything is written there.
            self._fs.fsync(fd)
            segment.size = segment.end
            return True
        return False

    def _newest(self, fd: int) -> tuple[Good | None, Good | None, list[_Doubt]]:
        """
        Return the newest record before all doubtful bytes, the newest of all, the doubtful bytes.

        Bytes are doubtful unless a record follows that was written after they were synced.
        """
        safe: Good | None = None
        newest: Good | None = None
        doubtful: list[_Doubt] = []
        segment = self._segment
        walk = seg.walk(self._fs, fd, segment, seg.HEADER.size, segment.size, verify=True)
        for found in walk:
            if isinstance(found, Bad):
                doubtful.append(_Doubt(found, newest.header.after if newest else None))
                continue
            newest = found
            for i, doubt in enumerate(d for d in doubtful if d.after is None):
                doubt.after = found.header.before
                if i:  # what is missing is charged to the first
                    doubt.before = doubt.after
            if doubtful and found.header.group > doubtful[0].bad.offset:
                self._report(doubtful)
                doubtful = []
            if not doubtful:
                safe = found
        return safe, newest, doubtful

    def _report(self, doubtful: list[_Doubt]) -> None:
        for doubt in doubtful:
            lost = None
            if doubt.before is not None and doubt.after is not None:
                lost = (doubt.before, doubt.after)
            self._quarantine.record(self._segment, doubt.bad, lost)

    def _set_aside(self, first: Bad) -> None:
        """Keep a copy of what is cut away, unless it is a record that lacks its end."""
        end, header = self._segment.size, first.header
        length = header.length if header is not None else fmt.HEADER.size
        if first.end == end and first.offset + length > end:
            return
        saved = self._quarantine.keep(self._segment.path, first.offset, end)
        fields = {"path": str(self._segment.path), "offset": first.offset, "saved": saved}
        logger.warning("torn_tail_set_aside", extra=fields)
