"""
One file of the log, and the walk over its records.

::

    seg/<first seq, 20 digits>.seg
        8s  magic "A2DBLOG1"    H  format 1    H  oldest reader that can read it    I  flags 0
        Q   base: lowest seq in it    Q  base of the segment before, 0 for none
        Q   bytes of the segment before that are valid: what follows there was never accepted
        16s queue id    4x    I  CRC32C of the header up to here
        records, the first a state record; see `record`
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import google_crc32c

from api2db.spool import record as fmt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api2db.files.fs import Fs
    from api2db.spool.record import Header

MAGIC = b"A2DBLOG1"
FORMAT = 1
HEADER = struct.Struct("<8sHHIQQQ16s4xI")
SUFFIX = ".seg"

#: Bytes read at once; a record that is longer is read whole.
AHEAD = 2 * 2**20
HOP = 64 * 2**10
_SEARCH = 2**20


@dataclass(slots=True)
class Segment:
    """
    One segment file. Plain data; the log guards `end` and `size` with its lock.

    Attributes:
        base: Lowest seq that it can hold; its name.
        end: Bytes that hold durable records; readers go no further.
        size: Bytes on disk.
        seed: What the CRC of each record header begins with.
    """

    path: Path
    base: int
    end: int
    size: int
    seed: int


class SegmentHeader(NamedTuple):
    """A segment's header; see the module."""

    format: int
    min_reader: int
    flags: int
    base: int
    previous: int
    previous_end: int
    queue: bytes

    def pack(self) -> bytes:
        """Return it as bytes."""
        plain = HEADER.pack(MAGIC, *self, 0)[:-4]
        crc: int = google_crc32c.value(plain)
        return plain + crc.to_bytes(4, "little")


def parse_header(raw: bytes) -> SegmentHeader | None:
    """Return the header in the first bytes of a segment, None if they are damaged."""
    raw = raw[: HEADER.size]
    if len(raw) < HEADER.size or raw[: len(MAGIC)] != MAGIC:
        return None
    fields = HEADER.unpack(raw)
    if google_crc32c.value(raw[:-4]) != fields[-1]:
        return None
    return SegmentHeader(*fields[1:-1])


def name_of(base: int) -> str:
    """Return the file name of the segment that begins with seq *base*."""
    return f"{base:020d}{SUFFIX}"


def seed_of(queue: bytes, base: int) -> int:
    """Return the seed of the record CRCs in one segment of one queue."""
    return int(google_crc32c.value(queue + base.to_bytes(8, "little")))


@dataclass(frozen=True, slots=True)
class Good:
    """A record; *body* is None where the walk did not verify it."""

    offset: int
    header: Header
    body: bytes | None

    @property
    def end(self) -> int:
        """Offset of what follows."""
        return self.offset + self.header.length


@dataclass(frozen=True, slots=True)
class Bad:
    """
    Bytes that are no record.

    Attributes:
        header: The header at *offset*, if that is good and only what follows is not.
    """

    offset: int
    end: int
    header: Header | None


def walk(
    fs: Fs, fd: int, segment: Segment, start: int, end: int, *, verify: bool
) -> Iterator[Good | Bad]:
    """
    Yield what lies between *start* and *end*, in order, without gaps.

    Args:
        verify: Read the bodies and check them; else hop from header to header.
    """
    window = _Window(fs, fd, end, AHEAD if verify else HOP)
    offset, low = start, segment.base
    while offset < end:
        header = window.header(offset, segment.seed, low)
        if header is None:
            found = window.find(offset + 1, end, segment.seed, low)
            yield Bad(offset, found, None)
            offset = found
            continue
        stop = offset + header.length
        body = None
        if stop <= end and verify:
            body = window.bytes(offset + fmt.HEADER.size, header.body_len)
        if stop > end or (verify and (body is None or fmt.crc_of((body,)) != header.body_crc)):
            # The body is damaged where it is, or bytes are missing and another record begins.
            found = window.find(offset + 1, min(stop, end), segment.seed, header.seq + 1)
            yield Bad(offset, found, header)
            offset = found
            continue
        yield Good(offset, header, body)
        low = header.seq + 1
        offset = stop


class _Window:
    """Reads a file forward, a large piece at a time."""

    def __init__(self, fs: Fs, fd: int, end: int, ahead: int) -> None:
        self._fs = fs
        self._fd = fd
        self._end = end
        self._ahead = ahead
        self._start = 0
        self._data = b""

    def bytes(self, offset: int, size: int) -> bytes | None:
        """Return *size* bytes at *offset*, None if the file is shorter."""
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            ahead = min(max(size, self._ahead), self._end - offset)
            try:
                self._data = self._fs.pread(self._fd, ahead, offset)
            except OSError:
                if ahead <= size:
                    raise
                # What cannot be read may lie behind what is wanted.
                self._data = self._fs.pread(self._fd, size, offset)
            self._start, at = offset, 0
        found = self._data[at : at + size]
        return found if len(found) == size else None

    def header(self, offset: int, seed: int, low: int) -> Header | None:
        """Return the record header at *offset* if there is one, with a seq of *low* or more."""
        raw = self.bytes(offset, min(fmt.HEADER.size, self._end - offset))
        header = fmt.parse(raw, 0, seed) if raw is not None else None
        return header if header is not None and header.seq >= low else None

    def find(self, offset: int, end: int, seed: int, low: int) -> int:
        """Return where a record header begins, from *offset* on and before *end*; else *end*."""
        while offset < end:
            size = min(_SEARCH + fmt.HEADER.size, self._end - offset)
            data = self._fs.pread(self._fd, size, offset)
            at = data.find(fmt.MAGIC)
            while 0 <= at < end - offset:
                header = fmt.parse(data, at, seed)
                if header is not None and header.seq >= low:
                    return offset + at
                at = data.find(fmt.MAGIC, at + 1)
            offset += _SEARCH
        return end
