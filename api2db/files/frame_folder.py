"""A folder of DataFrames that become one."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from api2db.core.errors import FileUnreadable
from api2db.files import codec, frame
from api2db.files.atomic import atomic_write, free_name, make_folder, move, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)


def compose(
    folder: Path,
    fmt: str,
    keep_shards: Path | None = None,
    keep_composed: Path | None = None,
    *,
    force: bool = True,
    land: Callable[[Any], object] | None = None,
) -> Any:
    """
    Return the rows of all files in *folder*, in the order of their names; None for no files.

    Then the files are removed, or moved to *keep_shards*. The rows are durable in
    *keep_composed* before, if it is given. What cannot be read stays, set aside if it has
    the format's name.

    Args:
        force: Make *keep_shards* and *keep_composed* if they are missing.
        land: Called with the rows before a file is touched; what it raises leaves all as it is.

    Raises:
        OSError, ValueError: No file was touched, or some could not be put away: the error of
            the latter is in the log, and the rows are returned.
    """
    for place in (keep_shards, keep_composed):
        _ready(place, folder, force=force)
    read = [(path, _read(path, fmt)) for path in _files(folder)]
    shards = [path for path, rows in read if rows is not None]
    if not shards:
        return None
    rows = frame.compose([rows for _, rows in read if rows is not None])
    if land is not None:
        land(rows)
    if keep_composed is not None:
        name = f"{_stem(shards[0])}_{_stem(shards[-1])}.{fmt}"
        with atomic_write(free_name(keep_composed / name), 0o666) as file:
            frame.write(rows, file, fmt)
    _put_away(folder, shards, keep_shards)
    return rows


def _ready(place: Path | None, folder: Path, *, force: bool) -> None:
    if place is None:
        return
    if force:
        make_folder(place, 0o777)
    if place.resolve() == folder.resolve():
        raise ValueError(f"{place}: files cannot move to where they are composed from")
    if not place.is_dir():
        raise FileNotFoundError(f"there is no folder {place}")


def _files(folder: Path) -> list[Path]:
    found = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(p for p in found if p.is_file() and not p.name.endswith(codec.UNREADABLE))


def _stem(path: Path) -> str:
    return path.name.split(".")[0]


def _read(path: Path, fmt: str) -> Any:
    """Return the rows in *path*; None, after setting it aside, if there are none to be read."""
    try:
        return frame.read(path, fmt)
    except FileUnreadable as exc:
        if path.suffix == f".{fmt}":
            path = path.rename(free_name(path.with_name(path.name + codec.UNREADABLE)))
            sync_folder(path.parent)
        logger.error("shard_unreadable", extra={"path": str(path), "error": str(exc)})
        return None


def _put_away(folder: Path, shards: Sequence[Path], keep: Path | None) -> None:
    try:
        for path in shards:
            if keep is None:
                path.unlink(missing_ok=True)
            else:
                move(path, keep / path.name)
        sync_folder(folder)
    except OSError as exc:  # the rows are whole: they are returned
        logger.error("shards_not_put_away", extra={"path": str(folder), "error": str(exc)})
