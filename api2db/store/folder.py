"""A folder into which somebody writes shards."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

from api2db.core.errors import FileUnreadable, FormError
from api2db.files import codec
from api2db.files.atomic import move, sync_folder
from api2db.ingest.chunk import Chunk
from api2db.ingest.native import chunks

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    import pyarrow as pa

    from api2db.core.clock import Clock

logger = logging.getLogger(__name__)

#: A file that was changed so many seconds ago or less may still be written to, and is looked at
#: again after `LOOK` seconds.
YOUNG, LOOK = 2.0, 0.25


#: A batch gets its name no longer before it is put than this, in seconds.
MARGIN = 1.0


class Shard(NamedTuple):
    """A file as it was when it was looked at; with another content it is another shard."""

    name: str
    size: int
    mtime_ns: int


class Folder:
    """
    The files of one format in one folder, in the order of their names.

    Hidden and temporary files are not seen, nor those that change while they are looked at.
    Names are compared as texts, so that names of one length that count come in their order.

    Args:
        unsent: Returns the time, in epoch seconds, of the oldest batch that a stream of ours may
            write again after a crash. A file that is named by this time or a later one, in
            nanoseconds, is left alone: taken now, it could come a second time.

    Attributes:
        unreadable: How many files are set aside.
    """

    def __init__(
        self,
        path: Path,
        fmt: str,
        clock: Clock,
        unsent: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self.path = path
        self._unsent = unsent
        self.fmt = fmt
        self._clock = clock
        self.unreadable = sum(1 for _ in path.glob(f"*{codec.UNREADABLE}")) if path.is_dir() else 0

    def shards(self, stop: threading.Event) -> list[Shard]:
        """
        Return the files that nobody is writing to.

        Raises:
            OSError: The folder cannot be read; one that is missing has no files.
        """
        found = self._look()
        newest = max((shard.mtime_ns for shard in found), default=0)
        if abs(self._clock.now() - newest / 1e9) <= YOUNG:
            self._clock.wait(stop, LOOK)
            found &= self._look()
        # Asked after the look: what is there and sent now is never written again.
        unsent = self._unsent() - MARGIN
        return sorted(shard for shard in found if not _named_since(shard, unsent))

    def _look(self) -> set[Shard]:
        found = set()
        if self.path.is_dir():
            for path in self.path.glob(f"[!._~]*.{self.fmt}"):
                shard = self._shard(path)
                if shard is not None:
                    found.add(shard)
        return found

    @staticmethod
    def _shard(path: Path) -> Shard | None:
        try:
            stat = path.stat()
        except FileNotFoundError:
            return None
        return Shard(path.name, stat.st_size, stat.st_mtime_ns) if path.is_file() else None

    def same(self, shard: Shard) -> bool:
        """Return whether the file is there, unchanged."""
        return self._shard(self.path / shard.name) == shard

    def read(self, shard: Shard) -> tuple[Chunk, pa.Schema] | None:
        """
        Return the rows of *shard* and its columns, None if it cannot be used now.

        A file that is no rows is set aside, with a line in the log; one that has changed or
        gone waits for the next look.

        Raises:
            OSError: The disk fails.
        """
        try:
            table = codec.read(self.path / shard.name, self.fmt)
            rows = Chunk([])
            for chunk in chunks(table):
                rows.extend(chunk)
        except FileNotFoundError:
            return None
        except (FileUnreadable, FormError) as exc:
            if self.same(shard):
                self._set_aside(shard, exc)
            return None
        return (rows, table.schema) if self.same(shard) else None

    def _set_aside(self, shard: Shard, exc: Exception) -> None:
        path = self.path / shard.name
        path.rename(path.with_name(path.name + codec.UNREADABLE))
        sync_folder(self.path)
        self.unreadable += 1
        logger.error("shard_unreadable", extra={"path": str(path), "error": str(exc)})

    def retire(self, shard: Shard, keep: Path | None) -> None:
        """
        Move *shard* into the folder *keep*, or remove it; leave what has its name meanwhile.

        Raises:
            OSError: It is still there.
        """
        path = self.path / shard.name
        if not self.same(shard):
            return
        if keep is None:
            path.unlink()
        else:
            move(path, keep / shard.name)

    def sync(self) -> None:
        """Make what `retire` did durable."""
        if self.path.is_dir():
            sync_folder(self.path)


def _named_since(shard: Shard, seconds: float) -> bool:
    """Return whether a shard's name is a time in nanoseconds, *seconds* or later."""
    stem = shard.name.partition(".")[0]
    return stem.isdecimal() and int(stem) / 1e9 >= seconds
