"""Disk space that is kept in reserve, so that a full disk can still be emptied."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.files.fs import Fs

logger = logging.getLogger(__name__)


class Ballast:
    """
    A file of its own blocks. It is given up to acknowledge or to free a segment, then made again.

    Nothing here raises OSError: without the ballast everything still works until the disk is full.
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

    def release(self) -> None:
        """Give the space back."""
        self._there = False
        with suppress(OSError):
            self._fs.unlink(self._path)
            logger.warning("ballast_released", extra={"path": str(self._path)})
