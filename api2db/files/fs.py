"""The calls of the durable parts to the disk, in one place, so that a test can break them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Buffers that one system call takes (IOV_MAX is 1024 on Linux).
_BUFFERS = 1000


class Fs:
    """
    Thin real calls; every method raises OSError. Thread-safe, without state.

    Files are made owner-only (0600), folders too (0700), whatever the umask.
    """

    # -- folders -------------------------------------------------------------------

    def mkdir(self, path: Path) -> None:
        """Make a folder and its parents, durably; it may exist."""
        if path.is_dir():
            return
        self.mkdir(path.parent)
        try:
            path.mkdir(0o700)
        except FileExistsError:
            return
        self.fsync_dir(path.parent)

    def listdir(self, path: Path) -> list[str]:
        """Return the names in a folder, in no order."""
        return [entry.name for entry in path.iterdir()]

    def fsync_dir(self, path: Path) -> None:
        """Make the names in a folder durable: creations, renames, removals."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file; *new* is replaced. Durable after `fsync_dir`."""
        old.rename(new)

    def unlink(self, path: Path) -> None:
        """Remove a file's name."""
        path.unlink()

    # -- files ---------------------------------------------------------------------

    def create(self, path: Path) -> int:
        """Make a file that must not exist; return its descriptor, open to read and write."""
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o600)

    def open(self, path: Path, *, write: bool = False) -> int:
        """Open a file that exists; return its descriptor."""
        access = os.O_RDWR if write else os.O_RDONLY
        return os.open(path, access | os.O_CLOEXEC | os.O_NOFOLLOW)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        os.close(fd)

    def size(self, fd: int) -> int:
        """Return a file's length in bytes."""
        return os.fstat(fd).st_size

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        """Return up to *size* bytes at *offset*; fewer only at the end of the file."""
        data = os.pread(fd, size, offset)
        # A disk that fails behind the first page returns that page, and the error only next time.
        while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
            data += more
        return data

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """Write at *offset*; return how many bytes were written: fewer on a full disk."""
        return os.pwrite(fd, data, offset)

    def pwritev(self, fd: int, buffers: Sequence[bytes], offset: int) -> int:
        """Write *buffers* one after the other at *offset*; return as `pwrite`."""
        written = 0
        for at in range(0, len(buffers), _BUFFERS):
            part = buffers[at : at + _BUFFERS]
            count = os.pwritev(fd, part, offset + written)
            written += count
            if count != sum(map(len, part)):
                break
        return written

    def allocate(self, fd: int, size: int) -> None:
        """Give a file *size* bytes of blocks of its own."""
        os.posix_fallocate(fd, 0, size)

    def ftruncate(self, fd: int, size: int) -> None:
        """Cut a file to *size* bytes."""
        os.ftruncate(fd, size)

    def fdatasync(self, fd: int) -> None:
        """Make a file's content and length durable."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Make a file durable, with all that the file system knows of it."""
        os.fsync(fd)
