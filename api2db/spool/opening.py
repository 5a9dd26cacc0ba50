"""The steps of opening a spool: its id, its cursors, its log."""

from __future__ import annotations

import errno
import json
import logging
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolFailed
from api2db.spool import cursor as cur
from api2db.spool.cursor import Cursor, Mark
from api2db.spool.log import FULL, Log
from api2db.spool.quarantine import Damage
from api2db.spool.recovery import UPGRADE, recover

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.core.ids import Timestamps
    from api2db.files.fs import Fs
    from api2db.spool.ballast import Ballast
    from api2db.spool.quarantine import Quarantine
    from api2db.spool.recovery import SegmentFile

logger = logging.getLogger(__name__)

FORMAT = 1
NAME = "queue.json"


def open_queue(fs: Fs, folder: Path, files: list[SegmentFile], quarantine: Quarantine) -> bytes:
    """
    Return the queue's id (16 bytes), which is made if there is none.

    If its file is lost or damaged, the segments still know it.

    Raises:
        SpoolFailed: A newer version wrote the queue.
        OSError: The file cannot be read or written.
    """
    exists = NAME in fs.listdir(folder)
    if exists:
        fd = fs.open(folder / NAME)
        try:
            raw = fs.pread(fd, 4096, 0)
        finally:
            fs.close(fd)
        with suppress(ValueError, TypeError, KeyError):
            content = json.loads(raw)
            if int(content["format"]) > FORMAT:
                what = f"{folder / NAME} has format {content['format']}, newer than {FORMAT}"
                raise SpoolFailed(what, hint=UPGRADE)
            return uuid.UUID(content["id"]).bytes
    known = [file.header.queue for file in files if file.header is not None]
    if exists or files:
        note = "it is lost or damaged; " + ("the segments know the id" if known else "a new id")
        quarantine.report(Damage("queue", NAME, note=note))
    queue = known[-1] if known else uuid.uuid4().bytes
    _write(fs, folder / NAME, json.dumps({"format": FORMAT, "id": queue.hex()}).encode())
    return queue


def _write(fs: Fs, path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with suppress(FileNotFoundError):
        fs.unlink(temporary)
    fd = fs.create(temporary)
    try:
        if fs.pwrite(fd, data, 0) != len(data):
            raise OSError(errno.ENOSPC, "the disk is full")
        fs.fsync(fd)
    finally:
        fs.close(fd)
    fs.rename(temporary, path)
    fs.fsync_dir(path.parent)


def open_cursors(
    fs: Fs,
    folder: Path,
    queue: bytes,
    streams: Sequence[str],
    ballast: Ballast,
    quarantine: Quarantine,
) -> dict[str, Cursor]:
    """
    Return the cursors of the configured streams, and of those that were once.

    Raises:
        OSError: A cursor cannot be read or made.
    """
    cursors = {}
    for name in sorted(fs.listdir(folder / "cur")):
        if not name.endswith(cur.SUFFIX):
            continue
        cursor = Cursor.load(fs, folder / "cur" / name, queue)
        cursors[cur.stream_of(name)] = cursor
        if cursor.damaged:
            note = "the stream begins at the oldest record; targets know what they have"
            quarantine.report(Damage("cursor", f"cur/{name}", note=note))
    lowest = min((cursor.mark for cursor in cursors.values()), default=Mark())
    for stream in streams:
        if stream not in cursors:
            path = folder / "cur" / cur.file_name(stream)
            try:
                cursors[stream] = Cursor.create(fs, path, queue, lowest)
            except OSError as exc:
                if exc.errno not in FULL:
                    raise
                ballast.release()
                cursors[stream] = Cursor.create(fs, path, queue, lowest)
    return cursors


def open_log(
    fs: Fs,
    folder: Path,
    files: list[SegmentFile],
    queue: bytes,
    cursors: dict[str, Cursor],
    *,
    quarantine: Quarantine,
    timestamps: Timestamps,
    clock: Clock,
    ballast: Ballast,
    quota: int,
    segment_bytes: int,
) -> Log:
    """
    Return the log, its end found; no seq that a cursor knows is given again.

    Raises:
        OSError: A segment cannot be read.
    """
    marks = [cursor.mark for cursor in cursors.values()]
    proven = max((mark.log_end for mark in marks), default=0)
    found = recover(fs, files, queue, proven, quarantine)
    timestamps.seen(found.timestamp_ns)
    for stream, cursor in cursors.items():
        acked = cursor.mark.acked
        if acked > found.tip.seq:
            note = f"{stream!r} acknowledged {acked}, the log ends at {found.tip.seq}"
            quarantine.report(Damage("cursor", f"cur/{cursor.path.name}", acked, note=note))
    last = found.segments[-1].base - 1 if found.segments else 0
    newest = max([found.tip.seq, last, proven, *(mark.acked for mark in marks)])
    return Log(
        fs,
        folder,
        queue,
        segments=found.segments,
        tip=found.tip,
        next_seq=newest + 1,
        must_roll=found.must_roll,
        timestamps=timestamps,
        clock=clock,
        ballast=ballast,
        quota=quota,
        segment_bytes=segment_bytes,
    )
