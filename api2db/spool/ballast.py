"""Disk space that is kept in reserve, so that a full disk can still be emptied."""

from __future__ import annotations

import errno
import logging
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from api2db.files.fs import Fs

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Errors that mean: no room. EFBIG is what a limit on the file size gives.
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: What is left of the disk to this many bytes is taken, where there is no room for all.
BLOCK = 4096


class Ballast:
    """
    A file of its own blocks. It is given up for what makes room in the end, then made again.

    It hides its own OSErrors: without it everything still works until the disk is full. Any
    thread; one at a time has the space.
    """

    def __init__(self, fs: Fs, path: Path, size: int) -> None:
        self._fs = fs
        self._path = path
        self._size = size
        self._has = 0  # bytes of the file
        self._lock = threading.Lock()

    def restore(self) -> None:
        """Give the file what it lacks, as far as there is room."""
        with self._lock:
            self._restore()

    def spare(self, action: Callable[[], T]) -> T:
        """Return what *action* does; on a full disk, give the space up and try once more."""
        try:
            return action()
        except OSError as exc:
            if exc.errno not in FULL:
                raise
            logger.warning("ballast_released", extra={"path": str(self._path)})
            with self.given():
                return action()

    @contextmanager
    def given(self) -> Iterator[None]:
        """Give the space up for the block; then take back what is left of it."""
        with self._lock:
            self._has = 0
            with suppress(OSError):
                self._fs.unlink(self._path)
            try:
                yield
            finally:
                self._restore()

    def _restore(self) -> None:
        if self._has >= self._size:
            return
        with suppress(OSError):
            try:
                fd = self._fs.create(self._path)
            except FileExistsError:
                fd = self._fs.open(self._path, write=True)
            try:
                self._has = self._fs.size(fd)
                self._grow(fd, max(self._size - self._has, BLOCK))
            finally:
                self._fs.close(fd)

    def _grow(self, fd: int, step: int) -> None:
        while self._has < self._size and step >= BLOCK:
            more = min(self._has + step, self._size)
            try:
                self._fs.allocate(fd, more)
                self._has = more
            except OSError:
                step //= 2
