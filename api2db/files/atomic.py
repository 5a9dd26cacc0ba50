"""A file is there in full, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def atomic_write(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """
    Open a file that replaces *path* when the block ends without an error.

    It is written beside *path*, synced, renamed, and the folder is synced: a crash leaves the
    old file or the new one. After an error the old file is untouched and no litter is left.

    Raises:
        OSError: *path* is as it was.
    """
    temporary = beside(path)
    with written(temporary, mode) as file:
        yield file
    try:
        temporary.rename(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def beside(path: Path) -> Path:
    """Return the hidden name under which what replaces *path* is written."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def written(path: Path, mode: int = 0o600) -> Iterator[IO[bytes]]:
    """
    Open *path* to write it anew, and sync it when the block ends; after an error it is gone.

    Its name is not durable before `sync_folder`.

    Raises:
        OSError: It cannot be made, or the disk refused.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """
    Make *folder* and what is missing above it, each durable in its parent.

    Raises:
        OSError: It cannot be made, or a file has its name.
    """
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent, mode)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def move(old: Path, new: Path) -> None:
    """
    Move a file, to another file system too; durable at the new place first.

    A file that has the new name already stays: this one gets a number.

    Raises:
        OSError: It is still at the old place.
    """
    make_folder(new.parent)
    free = free_name(new)
    try:
        old.rename(free)
    except OSError as exc:
        if exc.errno != errno.EXDEV:
            raise
        with atomic_write(free) as file, old.open("rb") as source:
            shutil.copyfileobj(source, file)
        old.unlink()
    sync_folder(free.parent)


def free_name(path: Path) -> Path:
    """Return *path*, with a number before its suffix if something has that name."""
    number, free = 1, path
    while free.exists():
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
        number += 1
    return free
