"""
What is left of an open poll's records that had to go: the keys of their rows, in a file.

::

    STORE/spool/<collector>/held.keys    chunks, each appended and synced before records go
        8s  magic "A2DBHELD"    32s poll id    Q first seq    Q seq after the last
        Q   keys                4x  I  CRC32C of the header up to here and the keys
        keys, 8 bytes each: see `held`

A chunk without its end was never relied upon, and is cut off before the next is written.
"""

from __future__ import annotations

import logging
import os
import struct
from typing import TYPE_CHECKING, NamedTuple

import google_crc32c
import numpy as np

from api2db.files.atomic import sync_folder
from api2db.ingest.held import CAPACITY, Keys, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

logger = logging.getLogger(__name__)

MAGIC = b"A2DBHELD"
HEADER = struct.Struct("<8s32sQQQ4xI")


class Chunk(NamedTuple):
    """Keys of the rows in the records from *first* up to and without *after*."""

    first: int
    after: int
    keys: Keys


class HeldKeys:
    """The file of one collector. Used by its poller's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, poll: str, first_seq: int) -> list[Chunk]:
        """
        Return what is known of a poll's records from *first_seq* on, oldest first.

        Raises:
            OSError: The file cannot be read.
        """
        chunks = [chunk for _, chunk in self._read(poll)]
        return [chunk for chunk in chunks if chunk.after > first_seq]

    def add(self, poll: str, first: int, after: int, batches: Iterable[pa.RecordBatch]) -> None:
        """
        Keep the keys of *batches*, the poll's records from *first* and before *after*, durably.

        What the file knew of another poll goes. Beyond the capacity only the place is kept.

        Raises:
            OSError: Nothing was added that counts.
        """
        known = list(self._read(poll))
        parts = [keys_of(rows) for rows in batches]
        keys = np.concatenate(parts) if parts else np.empty(0, np.uint64)
        if sum(len(chunk.keys) for _, chunk in known) + len(keys) > CAPACITY:
            fields = {"rows": len(keys), "capacity": CAPACITY}
            hint = "raise 'quota', or use 'since' or upsert"
            why = "these rows land twice if the API refuses to resume the poll"
            logger.error("held_rows_overflow", extra={**fields, "consequence": why, "hint": hint})
            keys = keys[:0]
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path, flags, 0o600), "r+b") as file:
            file.seek(known[-1][0] if known else 0)
            file.truncate()
            content = keys.tobytes()
            plain = HEADER.pack(MAGIC, _id(poll), first, after, len(keys), 0)[:-4]
            crc: int = google_crc32c.extend(google_crc32c.value(plain), content)
            file.write(plain + crc.to_bytes(4, "little") + content)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._path.parent)

    def clear(self) -> None:
        """Remove the file, if there is one: the poll has ended."""
        self._path.unlink(missing_ok=True)

    def _read(self, poll: str) -> Iterator[tuple[int, Chunk]]:
        """Yield each whole chunk of *poll*, and where it ends."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return
        with file:
            size = os.fstat(file.fileno()).st_size
            while len(head := file.read(HEADER.size)) == HEADER.size:
                magic, owner, first, after, n, crc = HEADER.unpack(head)
                if magic != MAGIC or owner != _id(poll) or file.tell() + 8 * n > size:
                    return
                content = file.read(8 * n)
                if google_crc32c.extend(google_crc32c.value(head[:-4]), content) != crc:
                    logger.warning("held_keys_cut", extra={"path": str(self._path)})
                    return
                yield file.tell(), Chunk(first, after, np.frombuffer(content, np.uint64))


def _id(poll: str) -> bytes:
    return poll.encode()[:32].ljust(32, b"\0")
