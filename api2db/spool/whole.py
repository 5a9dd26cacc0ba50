"""A file of the queue that is there in full, or not at all."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from api2db.files.fs import Fs


def write_whole(fs: Fs, path: Path, buffers: Sequence[bytes]) -> int:
    """
    Put a file that holds *buffers* in the place of *path*; durable when this returns.

    Returns:
        Its descriptor, open to read and write.

    Raises:
        OSError: *path* is as it was, unless only the sync of its name failed.
    """
    temporary = path.with_name(path.name + ".tmp")
    with suppress(FileNotFoundError):
        fs.unlink(temporary)
    fd = fs.create(temporary)
    try:
        if fs.pwritev(fd, buffers, 0) != sum(map(len, buffers)):
            raise OSError(errno.ENOSPC, "the disk is full")
        fs.fsync(fd)
        fs.rename(temporary, path)
        fs.fsync_dir(path.parent)
    except OSError:
        fs.close(fd)
        with suppress(OSError):
            fs.unlink(temporary)
        raise
    return fd
