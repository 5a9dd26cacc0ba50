"""Which folder of ``upload_failed`` belongs to which stream of a collector."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolFailed
from api2db.files.atomic import make_folder, sync_folder
from api2db.files.shard import ShardDamaged, decode
from api2db.stream.spill import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


def folders(root: Path, types: Mapping[str, str]) -> dict[str, Path]:
    """
    Return the folder of each stream: its type for the first of a type, else ``type@stream``.

    Shards name their stream. Where the configuration has changed since they were written (other
    streams, another order, another type of target), they are moved to the folder that is
    theirs now; those of a stream that is configured no more, to ``type@stream``.

    Args:
        root: ``upload_failed/<collector>``.
        types: Stream -> type of its target, such as ``sql.postgresql``; in the order of the
            configuration.

    Raises:
        SpoolFailed: The disk fails.
    """
    names: dict[str, str] = {}
    for stream, type_ in types.items():
        names[stream] = f"{type_}@{stream}" if type_ in names.values() else type_
    try:
        misfiled = _misfiled(root, names)
        # What leaves a plain name goes first: what comes to it must find it empty.
        for old, new in sorted(misfiled, key=lambda move: "@" in move[0].name):
            _move(old, new)
    except OSError as exc:
        hint = "check the disk and the owner of the folder"
        raise SpoolFailed(f"cannot open the shards in {root}: {exc}", hint=hint) from exc
    return {stream: root / name for stream, name in names.items()}


def alone(root: Path, type_: str, stream: str, taken: Collection[Path] = ()) -> Path:
    """
    Return the folder of a stream that runs without knowing which others there are.

    Args:
        root: ``upload_failed/<name>``.
        taken: Folders of others that run just now.

    Raises:
        OSError: The disk fails.
    """
    plain, own = root / type_, root / f"{type_}@{stream}"
    if plain in taken or any(own.glob(f"*{SUFFIX}")) or _owner(plain) not in (None, stream):
        return own
    return plain


def owned(root: Path) -> dict[str, int]:
    """Return how many shards each stream has, configured or not; changes nothing."""
    found: dict[str, int] = {}
    for folder in _folders(root):
        if count := sum(1 for _ in folder.glob(f"*{SUFFIX}")):
            owner = _owner(folder) or folder.name.partition("@")[2] or folder.name
            found[owner] = found.get(owner, 0) + count
    return found


def _misfiled(root: Path, names: Mapping[str, str]) -> list[tuple[Path, Path]]:
    moves = []
    for folder in _folders(root):
        owner = _owner(folder)
        if owner is None:
            continue
        name = names.get(owner, f"{folder.name.partition('@')[0]}@{owner}")
        if name != folder.name:
            moves.append((folder, root / name))
    return moves


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def _owner(folder: Path) -> str | None:
    """Return the stream of the shards in *folder*; all are of one."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        with suppress(ShardDamaged, OSError):
            return decode(path.read_bytes())[1].stream
    return None


def _move(old: Path, new: Path) -> None:
    make_folder(new)
    for path in sorted(old.iterdir()):
        path.rename(new / path.name)
    sync_folder(new)
    sync_folder(old)
    old.rmdir()
