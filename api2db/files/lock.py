"""One daemon per STORE, one writer per folder."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from api2db.core.errors import ConfigError, StoreLocked
from api2db.files.atomic import make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: Folders that threads of this process wait for, by device and inode; few, and never many.
_folders: dict[tuple[int, int], threading.Lock] = defaultdict(threading.Lock)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """
    Keep other threads (they wait) and other processes (they fail) from writing to *folder*.

    Raises:
        BlockingIOError: Another process has the folder now.
        OSError: There is no such folder.
    """
    stat = folder.stat()
    with _folders[stat.st_dev, stat.st_ino]:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(fd)


class Lock:
    """
    An advisory lock (flock) on a file, held until `release` or the end of the process.

    The kernel frees it however the process ends; what the file says is for people.
    """

    #: Descriptor and holders of each lock that this process has, by path.
    _held: ClassVar[dict[Path, tuple[int, int]]] = {}
    _guard = threading.Lock()

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key: Path | None = None

    def acquire(self, *, join: bool = False) -> None:
        """
        Take the lock, and make the STORE's folder if it is missing.

        Args:
            join: Be content if somebody else in this process has it.

        Raises:
            StoreLocked: Another process has it; the message names it.
            ConfigError: The folder cannot be made or written.
        """
        with self._guard:
            key = self._path.absolute()
            fd, holders = self._held.get(key, (-1, 0))
            if not (join and holders):
                fd, holders = self._take(), 0
            self._held[key] = fd, holders + 1
            self._key = key

    def _take(self) -> int:
        """Return the descriptor that has the lock."""
        try:
            make_folder(self._path.parent)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(
                f"store: cannot use {self._path.parent}: {exc.strerror}",
                hint="set 'store' to a folder that this user may write",
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
            os.close(fd)
            raise StoreLocked(
                f"another api2db uses {self._path.parent} ({holder or 'just starting'})",
                hint="stop it first, or set another 'store'",
            ) from exc
        started = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {os.getpid()}, since {started}\n".encode(), 0)
        return fd

    def release(self) -> None:
        """Give the lock back, if nobody else in this process has it, too. Idempotent."""
        with self._guard:
            key, self._key = self._key, None
            if key is None:
                return
            fd, holders = self._held.pop(key)
            if holders > 1:
                self._held[key] = fd, holders - 1
            else:
                os.close(fd)
