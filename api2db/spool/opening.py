"""Opening a spool: its id, its cursors, its log, in this order."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolFailed
from api2db.spool import cursor as cur
from api2db.spool.ballast import Ballast
from api2db.spool.consumer import Consumer
from api2db.spool.cursor import Cursor, Mark
from api2db.spool.log import Log
from api2db.spool.quarantine import Damage, Quarantine
from api2db.spool.recovery import UPGRADE, list_segments, recover
from api2db.spool.whole import write_whole
from api2db.spool.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.core.ids import Timestamps
    from api2db.files.fs import Fs
    from api2db.spool.recovery import Recovered, SegmentFile

FORMAT = 1
NAME = "queue.json"
BALLAST = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Parts:
    """What a spool is made of; *queue* is its id, 16 bytes."""

    queue: bytes
    log: Log
    writer: Writer
    consumers: dict[str, Consumer]
    ballast: Ballast
    quarantine: Quarantine


def open_parts(
    fs: Fs,
    folder: Path,
    streams: Sequence[str],
    *,
    timestamps: Timestamps,
    clock: Clock,
    quota: int,
    beside: Callable[[], int],
    segment_bytes: int,
) -> Parts:
    """
    Open all parts of the spool in *folder*; see `Spool.open`.

    Raises:
        SpoolFailed: A newer version wrote the queue; nothing was changed.
        OSError: The disk fails.
    """
    folders = folder, folder / "seg", folder / "cur"
    for path in folders:
        fs.mkdir(path)
    files = list_segments(fs, folder / "seg")
    quarantine = Quarantine(fs, folder / "quarantine")
    queue = open_queue(fs, folder, files, quarantine)
    for path in folders:
        _remove_unfinished(fs, path)
        fs.fsync_dir(path)  # a process whose sync failed leaves names that a crash takes back
    ballast = Ballast(fs, folder / "ballast", min(BALLAST, quota // 16))
    cursors = open_cursors(fs, folder, queue, streams, ballast, quarantine)
    found, next_seq = _open_log(fs, files, queue, cursors, quarantine)
    timestamps.seen(found.timestamp_ns)
    log = Log(fs, found.segments, found.tip)
    writer = Writer(
        fs,
        folder,
        queue,
        log,
        next_seq=next_seq,
        must_roll=found.must_roll,
        timestamps=timestamps,
        clock=clock,
        ballast=ballast,
        quota=quota,
        beside=beside,
        segment_bytes=segment_bytes,
    )
    consumers = {name: Consumer(log, cursor, quarantine, clock) for name, cursor in cursors.items()}
    for name in consumers.keys() - set(streams):
        if not consumers[name].depth().batches:
            consumers.pop(name).retire(fs)
    return Parts(queue, log, writer, consumers, ballast, quarantine)


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
    content = json.dumps({"format": FORMAT, "id": queue.hex()})
    fs.close(write_whole(fs, folder / NAME, [content.encode()]))
    return queue


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
            before = cur.peek(fs, path.with_suffix(cur.RETIRED), queue) or lowest
            # What others have not had yet, it may have had: that must not come again.
            mark = max(before, lowest, key=lambda mark: mark.acked)
            cursors[stream] = ballast.spare(partial(Cursor.create, fs, path, queue, mark))
    return cursors


def _open_log(
    fs: Fs,
    files: list[SegmentFile],
    queue: bytes,
    cursors: dict[str, Cursor],
    quarantine: Quarantine,
) -> tuple[Recovered, int]:
    """
    Return the log, its end found, and a seq that no record and no cursor knows.

    Raises:
        OSError: A segment cannot be read.
    """
    marks = [cursor.mark for cursor in cursors.values()]
    proven = max((mark.log_end for mark in marks), default=0)
    found = recover(fs, files, queue, proven, quarantine)
    for stream, cursor in cursors.items():
        if found.tip.seq < proven and cursor.mark.log_end < proven:
            # The cursor that knows may go; the seqs of what is gone must never be given again.
            cursor.store(cursor.mark._replace(log_end=proven))
        acked = cursor.mark.acked
        if acked > found.tip.seq:
            note = f"{stream!r} acknowledged {acked}, the log ends at {found.tip.seq}"
            quarantine.report(Damage("cursor", f"cur/{cursor.path.name}", acked, note=note))
    last = found.segments[-1].base - 1 if found.segments else 0
    newest = max([found.tip.seq, last, proven, *(mark.acked for mark in marks)])
    return found, newest + 1


def _remove_unfinished(fs: Fs, folder: Path) -> None:
    """Remove what a crash left of files that never got their name."""
    for name in fs.listdir(folder):
        if name.endswith(".tmp"):
            fs.unlink(folder / name)
