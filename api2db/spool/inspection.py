"""A look at a queue that changes nothing, and needs no lock: for people, beside a daemon too."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from api2db.core.errors import SpoolFailed
from api2db.files.fs import Fs
from api2db.spool import cursor as cur
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool.recovery import list_segments
from api2db.spool.segment import Bad, Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from api2db.spool.recovery import SegmentFile


def silent(_done: int, _of: int) -> None:
    """Show nobody how far the reading is."""


def inspect(
    folder: Path, *, verify: bool = False, progress: Callable[[int, int], None] = silent
) -> dict[str, Any]:
    """
    Return what lies in the queue *folder*, as JSON-able values.

    Bytes at the end of the newest segment that are no record are ``unfinished``: they are being
    written, or were when the process died; the next start cuts them off.

    Args:
        verify: Read the bodies of all records and check them, not the headers alone.
        progress: Called with the bytes that were read, and that there are.

    Raises:
        SpoolFailed: It cannot be read, or a newer version wrote it.
    """
    fs = Fs()
    try:
        files = _files(fs, folder / "seg")
        marks = _marks(fs, folder, files)
        return _picture(fs, files, marks, verify=verify, progress=progress)
    except OSError as exc:
        hint = "check the disk and the rights"
        raise SpoolFailed(f"cannot read the queue in {folder}: {exc}", hint=hint) from exc


def _files(fs: Fs, folder: Path) -> list[SegmentFile]:
    """Return the segments; a daemon may remove one while they are listed."""
    for _ in range(3):
        with suppress(FileNotFoundError):
            return list_segments(fs, folder)
    return list_segments(fs, folder)


def _marks(fs: Fs, folder: Path, files: list[SegmentFile]) -> dict[str, cur.Mark]:
    """Return what each cursor says; none for a damaged one."""
    queue = next((file.header.queue for file in reversed(files) if file.header), b"")
    found = {}
    for name in sorted(fs.listdir(folder / "cur")):
        if name.endswith(cur.SUFFIX) and (mark := cur.peek(fs, folder / "cur" / name, queue)):
            found[cur.stream_of(name)] = mark
    return found


def _picture(
    fs: Fs,
    files: list[SegmentFile],
    marks: dict[str, cur.Mark],
    *,
    verify: bool,
    progress: Callable[[int, int], None],
) -> dict[str, Any]:
    total, done = sum(file.size for file in files), 0
    streams = {name: {"acked": mark.acked, "batches": 0, "rows": 0} for name, mark in marks.items()}
    picture: dict[str, Any] = {"bytes": total, "batches": 0, "rows": 0, "states": 0}
    picture |= {"unfinished": 0, "segments": [], "streams": streams, "damage": []}
    for number, file in enumerate(files):
        segment = _segment(files, number)
        if segment is None:
            picture["damage"].append(f"seg/{file.path.name}: its header is damaged")
            continue
        counted = _count(fs, segment, picture, last=file is files[-1], verify=verify)
        picture["segments"].append({"name": file.path.name, "bytes": file.size, **counted})
        done += file.size
        progress(done, total)
    return picture


def _segment(files: list[SegmentFile], number: int) -> Segment | None:
    """Return a segment as far as its successor says that it is valid."""
    file, end = files[number], files[number].size
    if file.header is None:
        return None
    if number + 1 < len(files) and (after := files[number + 1].header) is not None:
        end = min(end, after.previous_end) if after.previous == file.base else end
    seed = seg.seed_of(file.header.queue, file.base)
    return Segment(file.path, file.base, end, file.size, seed)


def _count(
    fs: Fs, segment: Segment, picture: dict[str, Any], *, last: bool, verify: bool
) -> dict[str, int]:
    """Add the records of one segment to *picture*; return how many these are."""
    batches = rows = 0
    bad: Bad | None = None
    fd = -1
    with suppress(FileNotFoundError):  # it was removed meanwhile: all streams have it
        fd = fs.open(segment.path)
    if fd < 0:
        return {"batches": 0, "rows": 0}
    try:
        walk = seg.walk(fs, fd, segment, seg.HEADER.size, segment.end, verify=verify)
        for found in walk:
            if bad is not None:
                picture["damage"].append(f"seg/{segment.path.name}: {_shown(bad)}")
                bad = None
            if isinstance(found, Bad):
                bad = found
            elif found.header.kind == fmt.DATA:
                batches, rows = batches + 1, rows + found.header.rows
                for stream in picture["streams"].values():
                    if found.header.seq > stream["acked"]:
                        stream["batches"] += 1
                        stream["rows"] += found.header.rows
            else:
                picture["states"] += 1
    finally:
        fs.close(fd)
    if bad is not None and last:
        picture["unfinished"] = bad.end - bad.offset
    elif bad is not None:
        picture["damage"].append(f"seg/{segment.path.name}: {_shown(bad)}")
    picture["batches"] += batches
    picture["rows"] += rows
    return {"batches": batches, "rows": rows}


def _shown(bad: Bad) -> str:
    return f"bytes {bad.offset} to {bad.end} are no record"
