"""The batches that a target could not take: one file each, a queue in a folder."""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from api2db.core.errors import SpoolFailed
from api2db.core.faults import crash_point
from api2db.files.atomic import atomic_write, make_folder, sync_folder
from api2db.files.shard import Origin, ShardDamaged, decode, encode
from api2db.files.trash import Trash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from api2db.core.batch import Batch, Limit

logger = logging.getLogger(__name__)

SUFFIX = ".parquet"
#: Appended to the name of a shard that is damaged.
DAMAGED = ".damaged"
_UNREADABLE = f"check the disk and the rights; to pass the file by, append {DAMAGED} to its name"


class Spill:
    """
    The shards of one stream of one collector, ``<folder>/<timestamp_ns>.parquet``, oldest first.

    A batch's timestamp increases along the log, so names are in the order of the log. A shard
    is there in full or not at all. One whose bytes are not what was written is renamed to
    ``*.damaged``, counted and logged; rename it back, mended, and the next start takes it. One
    that the disk does not give is waited for.

    The worker's thread owns it; the properties are for any thread.
    """

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder = folder
        self.origin = origin
        self.damaged = 0
        self.bytes = 0
        # 8 bytes each a shard: there may be millions.
        self._names, self._sizes = array("q"), array("q")
        self._newest_damaged = 0  # a person may mend it: its name is taken
        self._leaving: frozenset[int] = frozenset()  # whose removal has failed, maybe halfway
        self._stray: Path | None = None  # what the last `put` may have left, though it failed
        self._trash = Trash(folder.with_name(".landed"))
        self._pool: ThreadPoolExecutor | None = None
        self._ahead: tuple[int, Limit, Future[list[_Found]]] | None = None
        self._look()

    def _look(self) -> None:
        """Take stock of the folder; what a crash left unfinished goes."""
        found = []
        with suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.name.startswith(".") and path.name.endswith(".tmp"):
                    path.unlink()
                elif path.name.endswith(DAMAGED):
                    self.damaged += 1
                    name = path.name.partition(".")[0]
                    if name.isdecimal():
                        self._newest_damaged = max(self._newest_damaged, int(name))
                elif path.suffix == SUFFIX and path.stem.isdecimal():
                    found.append((int(path.stem), path.stat().st_size))
        found.sort()
        self._names = array("q", (name for name, _ in found))
        self._sizes = array("q", (size for _, size in found))
        self.bytes = sum(self._sizes)
        self._trash.sweep()

    # -- for any thread ------------------------------------------------------------

    @property
    def batches(self) -> int:
        """How many shards wait."""
        return len(self._names)

    @property
    def oldest_at(self) -> float | None:
        """Epoch seconds at which the oldest was put into the log, None if there is none."""
        oldest = self._names[:1]
        return oldest[0] / 1e9 if oldest else None

    @property
    def newest_ns(self) -> int:
        """The greatest timestamp of a shard, 0 if there is none; no batch may get a lesser one."""
        return max([self._newest_damaged, *self._names[-1:]])

    # -- for the worker ------------------------------------------------------------

    def put(self, batch: Batch) -> None:
        """
        Keep *batch*, which is newer than all that are kept; durable when this returns.

        Putting a batch again replaces its shard.

        Raises:
            OSError: Nothing was kept.
        """
        raw = encode(batch, self.origin)
        self._remove_stray()
        make_folder(self.folder)
        crash_point("spill.before_write")
        path = self._path(batch.timestamp_ns)
        try:
            with atomic_write(path) as file:
                file.write(raw)
                crash_point("spill.before_rename")
        except OSError:
            self._stray = path
            raise
        crash_point("spill.after_rename")
        if not self.batches or self._names[-1] < batch.timestamp_ns:
            self._names.append(batch.timestamp_ns)
            self._sizes.append(len(raw))
            self.bytes += len(raw)

    def _remove_stray(self) -> None:
        """
        Remove a shard that was not kept: it may have its name all the same.

        The log has its batch and may land it; a start that finds the shard would do so again.
        """
        if self._stray is not None:
            self._stray.unlink(missing_ok=True)
            sync_folder(self.folder)
            self._stray = None

    def read(self, limit: Limit, *, ahead: bool = False) -> list[Batch]:
        """
        Return the oldest batches, in order, up to *limit*; the same again until `remove`.

        Args:
            ahead: Let a thread read as much of what follows, for the next call.

        Raises:
            SpoolFailed: The disk cannot be read, or what was not kept not removed.
        """
        try:
            self._remove_stray()
        except OSError as exc:
            raise SpoolFailed(f"cannot remove {self._stray}: {exc}", hint="check the disk") from exc
        while self.batches:
            found = self._take_ahead(limit) or self._load(self._names, limit)
            good = [shard.batch for shard in found if shard.batch is not None]
            if ahead and len(found) < self.batches:
                self._read_ahead(self._names[len(found) :][: limit.batches], limit)
            for shard in found:
                if shard.batch is None:
                    self._set_aside(shard)
            if good:
                return good
        return []

    def newest(self, since_ns: int) -> Batch | None:
        """
        Return the newest batch that came out of our log, at *since_ns* or later; None if none did.

        Raises:
            SpoolFailed: The disk cannot be read.
        """
        for timestamp_ns in reversed(self._names[bisect_left(self._names, since_ns) :]):
            shard = self._decoded(timestamp_ns)
            if shard.batch is None:
                self._set_aside(shard)
            elif shard.batch.seq and shard.spool == self.origin.spool:
                return shard.batch
        return None

    def remove(self, batches: Sequence[Batch]) -> None:
        """
        Remove the shards of *batches*, which are the oldest; durable when this returns.

        Raises:
            OSError: Some may be left; they will be read again.
        """
        self._leaving = frozenset(batch.timestamp_ns for batch in batches)
        self._trash.take(self.folder, self._passed(batches))
        self._leaving = frozenset()
        gone = bisect_left(self._names, batches[-1].timestamp_ns + 1)
        self.bytes -= sum(self._sizes[:gone])
        del self._names[:gone], self._sizes[:gone]
        if not self.batches:
            self.release()

    def _passed(self, batches: Sequence[Batch]) -> Iterator[str]:
        for batch in batches:
            yield f"{batch.timestamp_ns}{SUFFIX}"
            crash_point("recompose.mid_remove")

    def close(self) -> None:
        """End all threads."""
        self.release()
        self._trash.close()

    def release(self) -> None:
        """Give back the memory of what was read ahead, and its thread."""
        self._ahead = None
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    # -- reading -------------------------------------------------------------------

    def _path(self, timestamp_ns: int) -> Path:
        return self.folder / f"{timestamp_ns}{SUFFIX}"

    def _read_ahead(self, names: Sequence[int], limit: Limit) -> None:
        if self._pool is None:
            # One thread: what it does beside the interpreter's lock fills one core.
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="shards")
        self._ahead = (names[0], limit, self._pool.submit(self._load, names, limit))

    def _take_ahead(self, limit: Limit) -> list[_Found] | None:
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead[:2] != (self._names[0], limit):
            return None
        return ahead[2].result()

    def _load(self, names: Sequence[int], limit: Limit) -> list[_Found]:
        """Return the shards *names*, up to *limit*; changes nothing."""
        found: list[_Found] = []
        rows = size = 0
        for timestamp_ns in names[: limit.batches]:
            try:
                shard = self._decoded(timestamp_ns)
            except SpoolFailed:
                if found:  # these go first; the next read meets it again
                    break
                raise
            if shard.batch is not None:
                rows += shard.batch.rows.num_rows
                size += shard.batch.rows.get_total_buffer_size()
                if found and (rows > limit.rows or size > limit.bytes):
                    break
            found.append(shard)
        return found

    def _decoded(self, timestamp_ns: int) -> _Found:
        path = f"{self.folder}/{timestamp_ns}{SUFFIX}"
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                raw = file.read()
            batch, origin = decode(raw)
        except FileNotFoundError:
            return _Found(timestamp_ns)
        except ShardDamaged as exc:
            return _Found(timestamp_ns, None, str(exc))
        except OSError as exc:  # its bytes were not read: nothing says that they are damaged
            where = f"cannot read {path}: {exc.strerror or exc}"
            raise SpoolFailed(where, hint=_UNREADABLE) from exc
        if origin.stream != self.origin.stream or batch.timestamp_ns != timestamp_ns:
            return _Found(timestamp_ns, None, f"it is a shard of {origin.stream}, or was renamed")
        return _Found(timestamp_ns, batch, spool=origin.spool)

    def _set_aside(self, shard: _Found) -> None:
        """
        Let the shards behind one that is damaged, or gone, go on.

        Raises:
            SpoolFailed: The disk fails; it is met again.
        """
        path = self._path(shard.timestamp_ns)
        fields = {"path": str(path), "error": shard.reason}
        try:
            if shard.reason:
                with suppress(FileNotFoundError):
                    path.rename(path.with_name(path.name + DAMAGED))
            with suppress(FileNotFoundError):
                sync_folder(self.folder)  # what was removed halfway, too: its marker may go now
        except OSError as exc:
            hint = "check the disk and the rights; nothing was removed"
            raise SpoolFailed(f"cannot set {path} aside: {exc}", hint=hint) from exc
        if shard.reason or path.with_name(path.name + DAMAGED).exists():  # a person has done it
            self.damaged += 1
            logger.error("shard_damaged", extra=fields)
        elif shard.timestamp_ns not in self._leaving:
            logger.error("shard_missing", extra=fields)
        at = self._names.index(shard.timestamp_ns)
        self.bytes -= self._sizes.pop(at)
        del self._names[at]


class _Found(NamedTuple):
    """A shard that was read; damaged, it has a reason and no batch; gone, neither."""

    timestamp_ns: int
    batch: Batch | None = None
    reason: str = ""
    spool: str = ""
