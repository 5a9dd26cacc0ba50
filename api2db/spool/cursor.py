"""
How far a stream has come: one small file, written in full when it is made.

::

    cur/<stream>.cur    8192 bytes: a slot at 0, a slot at 4096, the rest zeros
        slot    8s magic "A2DBCUR1"    Q generation    Q acknowledged seq    Q log end seq
                Q Q Q totals up to the acknowledged record    16s queue id    I CRC32C

The slots are written in turn, so that a torn write leaves the other, older one: a cursor that is
behind is harmless, because targets recognise what they have. No write needs a new block, so that
acknowledging works on a full disk. The log's newest seq is stored along: records up to there were
durable, so if they are missing later, that is a loss and no torn write.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import google_crc32c

from api2db.spool.record import Totals
from api2db.spool.whole import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.files.fs import Fs

MAGIC = b"A2DBCUR1"
SLOT = struct.Struct("<8sQQQQQQ16sI")
SIZE = 8192
SLOTS = (0, 4096)
SUFFIX = ".cur"
#: Of the cursor of a stream that is configured no more: where it goes on if it comes back.
RETIRED = ".gone"


class Mark(NamedTuple):
    """
    What a cursor says.

    Attributes:
        acked: Everything up to this seq is done.
        log_end: Newest durable seq of the log when this was written.
        done: Totals up to and with *acked*.
    """

    acked: int = 0
    log_end: int = 0
    done: Totals = Totals()


class Cursor:
    """
    The file of one stream's cursor. One thread at a time stores.

    Attributes:
        mark: What is durable.
        damaged: Whether no slot could be read: the stream begins at the oldest record.
        fresh: Whether it does not know what was in the log before.
    """

    def __init__(self, fs: Fs, path: Path, queue: bytes) -> None:
        self.path = path
        self.mark = Mark()
        self.damaged = False
        self.fresh = False
        self._fs = fs
        self._queue = queue
        self._generation = 0
        self._fd = -1

    @classmethod
    def load(cls, fs: Fs, path: Path, queue: bytes) -> Cursor:
        """
        Read a cursor that exists, and make what it says durable once more.

        A process whose sync failed leaves a mark that can be read and is not on the disk;
        nothing may be removed because of it.

        Raises:
            OSError: It cannot be read or written.
        """
        cursor = cls(fs, path, queue)
        fd = fs.open(path, write=True)
        raw = fs.pread(fd, SIZE, 0)
        slots = [slot for at in SLOTS if (slot := _parse(raw[at : at + SLOT.size], queue))]
        if slots:
            cursor._generation, cursor.mark = max(slots)
        cursor.damaged = cursor.fresh = not slots
        if len(raw) < SIZE:  # it must have all its blocks before the disk is full
            fs.pwrite(fd, bytes(SIZE - len(raw)), len(raw))
            fs.fsync(fd)
        cursor._fd = fd
        cursor.store(cursor.mark)
        return cursor

    @classmethod
    def create(cls, fs: Fs, path: Path, queue: bytes, mark: Mark) -> Cursor:
        """
        Make a cursor that says *mark*, durably.

        Raises:
            OSError: It was not made.
        """
        cursor = cls(fs, path, queue)
        fd = write_whole(fs, path, [_pack(0, mark, queue).ljust(SIZE, b"\0")])
        cursor.mark, cursor.fresh, cursor._fd = mark, mark == Mark(), fd
        return cursor

    def store(self, mark: Mark) -> None:
        """
        Make *mark* durable.

        After an error the other slot still holds, and the next call writes the same slot.

        Raises:
            OSError: It may or may not be durable.
        """
        generation = self._generation + 1
        data = _pack(generation, mark, self._queue)
        if self._fs.pwrite(self._fd, data, SLOTS[generation % 2]) != len(data):
            raise OSError(errno.ENOSPC, "no room to write a cursor")
        self._fs.fdatasync(self._fd)
        self._generation = generation
        self.mark = mark

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            self._fs.close(self._fd)
            self._fd = -1


def peek(fs: Fs, path: Path, queue: bytes) -> Mark | None:
    """Return what a cursor says, and change nothing; None if it is gone or damaged."""
    try:
        fd = fs.open(path)
    except FileNotFoundError:
        return None
    try:
        raw = fs.pread(fd, SIZE, 0)
    finally:
        fs.close(fd)
    slots = [slot for at in SLOTS if (slot := _parse(raw[at : at + SLOT.size], queue))]
    return max(slots)[1] if slots else None


def file_name(stream: str) -> str:
    """Return the name of a stream's cursor file; `stream_of` undoes it."""
    return quote(stream, safe="@").replace(".", "%2E") + SUFFIX


def stream_of(file_name: str) -> str:
    """Return the stream whose cursor file has this name."""
    return unquote(file_name.removesuffix(SUFFIX))


def _pack(generation: int, mark: Mark, queue: bytes) -> bytes:
    plain = SLOT.pack(MAGIC, generation, mark.acked, mark.log_end, *mark.done, queue, 0)[:-4]
    crc: int = google_crc32c.value(plain)
    return plain + crc.to_bytes(4, "little")


def _parse(raw: bytes, queue: bytes) -> tuple[int, Mark] | None:
    if len(raw) < SLOT.size or raw[: len(MAGIC)] != MAGIC:
        return None
    _, generation, acked, log_end, batches, rows, size, owner, crc = SLOT.unpack(raw)
    if google_crc32c.value(raw[:-4]) != crc or owner != queue:
        return None
    return generation, Mark(acked, log_end, Totals(batches, rows, size))
