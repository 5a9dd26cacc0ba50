"""Files that are done with: out of the way at once, removed by a thread."""

from __future__ import annotations

import errno
import logging
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.files.atomic import make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

logger = logging.getLogger(__name__)


class Trash:
    """
    A folder beside others of its file system; what is in it may be removed at any time.

    To rename a file costs microseconds; to free its blocks, milliseconds on some disks. What a
    crash leaves in the folder goes with the next `sweep`. One thread owns it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, folder: Path, names: Iterable[str]) -> None:
        """
        Take the files *names* out of *folder*; durable when this returns.

        One that is gone already is left out. There may be thousands, hence no `Path` of each.

        Raises:
            OSError: Some may still be where they were.
        """
        old, new = f"{folder}/", f"{self._folder}/{folder.name}."
        try:
            make_folder(self._folder)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            new = ""  # no block is left for a folder: what goes at once makes room
        for name in names:
            with suppress(FileNotFoundError):
                if new:
                    os.rename(old + name, new + name)  # noqa: PTH104
                else:
                    os.unlink(old + name)  # noqa: PTH108
        sync_folder(folder)
        self.sweep()

    def sweep(self) -> None:
        """Let a thread remove what is in the folder, unless one does."""
        if self._folder.is_dir() and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._remove, name="trash", daemon=True)
            self._thread.start()

    def close(self, timeout: float = 1.0) -> None:
        """Wait up to *timeout* seconds for the thread; what it leaves goes another time."""
        if self._thread is not None:
            self._thread.join(timeout)
            self._closing.set()
            self._thread.join()
            self._thread = None
            self._closing.clear()

    def _remove(self) -> None:
        try:
            while names := os.listdir(self._folder):  # noqa: PTH208
                for name in names:
                    if self._closing.is_set():
                        return
                    with suppress(FileNotFoundError):  # streams of a collector share the folder
                        os.unlink(f"{self._folder}/{name}")  # noqa: PTH108
        except FileNotFoundError:
            return
        except OSError as exc:
            logger.warning("trash_stays", extra={"path": str(self._folder), "error": str(exc)})
