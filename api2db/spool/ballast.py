"""Disk space that is kept in reserve, so that a full disk can still be emptied."""

from __future__ import annotations

import errno
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from api2db.files.fs import Fs

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Errors that mean: no room. EFBIG is what a limit on the file size gives.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Ballast:
    """
    A file of its own blocks. It is given up to acknowledge or to free a segment, then made again.

    It hides its own OSErrors: without it everything still works until the disk is full.
    """

    def __init__(self, fs: Fs, path: Path, size: int) -> None:
        self._fs = fs
        self._path = path
        self._size = size
        self._there = False

    def restore(self) -> None:
        """Make the file, if it is not there and there is room."""
        if self._there or not self._size:
            return
        with suppress(OSError):
            try:
                fd = self._fs.create(self._path)
            except FileExistsError:
                self._there = True
                return
            try:
                self._fs.allocate(fd, self._size)
                self._there = True
            except OSError:
                self._fs.unlink(self._path)
                raise
            finally:
                self._fs.close(fd)

    def spare(self, action: Callable[[], T]) -> T:
        """Return what *action* does; on a full disk, give the space up and try once more."""
        try:
            return action()
        except OSError as exc:
            if exc.errno not in FULL:
                raise
            self.release()
            return action()

    def release(self) -> None:
        """Give the space back."""
        self._there = False
        with suppress(OSError):
            self._fs.unlink(self._path)
            logger.warning("ballast_released", extra={"path": str(self._path)})
