"""Rows into files: what every mode shares, and which class writes which mode."""

from __future__ import annotations

import errno
from abc import abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from api2db.core.errors import (
    ConfigError,
    FileUnreadable,
    SinkMisconfigured,
    SinkUnavailable,
)
from api2db.core.faults import crash_point
from api2db.files import codec
from api2db.files.atomic import atomic_write, make_folder
from api2db.files.lock import folder_lock
from api2db.sink.base import Delivery, Landed, Sink
from api2db.sink.load import reject

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from api2db.core.batch import Batch

#: Errors that need a person: the folder cannot be made or written.
_FOLDER = frozenset(
    {
        *(errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR),
        *(errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP),
    }
)
#: Longest name of a table, in bytes: a file's name has 255, ours add up to 32.
_NAME = 223


class LocalSink(Sink):
    """
    Files of one format in one folder, each written beside, synced, and renamed.

    Args:
        folder: The stream's folder.
        fmt: One of `codec.FORMATS`.
    """

    name = "local"
    mode: ClassVar[str]

    def __init__(self, folder: Path, delivery: Delivery, fmt: str) -> None:
        table = delivery.table
        if table in ("", ".", "..") or set("/\0") & set(table) or len(table.encode()) > _NAME:
            raise ConfigError(
                f"streams.{delivery.stream}: {table!r} cannot be the name of a file",
                hint=f"give a table of 1 to {_NAME} bytes without a slash",
            )
        self.delivery = delivery
        self.folder = folder
        self.fmt = fmt

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the rows go, for people."""

    def open(self) -> None:
        """Make the folder."""
        with self._edge():
            make_folder(self.folder)

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """Land *batches*; a rehearsal only looks for rows that the format cannot hold."""
        full = [batch for batch in batches if batch.rows.num_rows]
        with self._edge():
            self._check(full)
            if not commit:
                return Landed(sum(batch.rows.num_rows for batch in full))
            return self._write(full, forget)

    def landed(self) -> frozenset[str]:
        """Return nothing: a file is its own marker."""
        return frozenset()

    def forget(self, ids: Collection[str]) -> None:
        """Do nothing: files stay."""

    def interrupt(self) -> None:
        """Do nothing: a local disk is not waited for."""

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    @abstractmethod
    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        """Land *batches*, of which each holds a row."""

    def _check(self, batches: Sequence[Batch]) -> None:
        """Raise `SinkRejected` for rows that the format would alter."""
        bad: dict[int, str] = {}
        start = 0
        for batch in batches:
            found = codec.unfit(batch.rows, self.fmt)
            bad |= {start + row: reason for row, reason in found.items()}
            start += batch.rows.num_rows
        reject(batches, bad)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let no other collector, stream or process change the folder's files meanwhile."""
        try:
            with folder_lock(self.folder):
                yield
        except BlockingIOError as exc:
            raise SinkUnavailable(f"another process writes to {self.folder}") from exc

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Translate what the disk and the codecs raise, once, here."""
        try:
            yield
        except FileNotFoundError as exc:  # somebody removed the folder: it is made again
            raise SinkUnavailable(f"{self.folder} is gone") from exc
        except OSError as exc:
            message = f"cannot write to {self.folder}: {exc.strerror or exc}"
            if exc.errno in _FOLDER:
                hint = "check the folder's owner and rights"
                raise SinkMisconfigured(message, hint=hint) from exc
            raise SinkUnavailable(message) from exc
        except (ConfigError, FileUnreadable) as exc:
            raise SinkMisconfigured(exc.args[0], hint=exc.hint) from exc
        except pa.ArrowException as exc:
            raise SinkMisconfigured(f"{self.fmt} has no place for these columns: {exc}") from exc


class ShardSink(LocalSink):
    """
    Writes ``<folder>/<table>/<timestamp_ns>.<fmt>``, one file per batch.

    The name of a batch's file is fixed in the log, so writing a batch again replaces its own
    file: that is its marker. Parquet's metadata names batch, collector and stream.
    """

    mode = "shard"

    def __init__(self, folder: Path, delivery: Delivery, fmt: str) -> None:
        super().__init__(folder / (delivery.table or "."), delivery, fmt)

    @property
    def place(self) -> str:
        """Return the pattern of the shards' names."""
        return f"{self.folder}/<timestamp_ns>.{self.fmt}"

    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        for batch in batches:
            origin = {
                "api2db.batch": batch.id,
                "api2db.collector": self.delivery.collector,
                "api2db.stream": self.delivery.stream,
            }
            table = pa.Table.from_batches([batch.rows]).replace_schema_metadata(origin)
            with atomic_write(self.folder / f"{batch.timestamp_ns}.{self.fmt}") as file:
                codec.write(table, file, self.fmt)
                crash_point("sink.before_rename")
            crash_point("sink.after_rename")
        return Landed(sum(batch.rows.num_rows for batch in batches))


class FileSink(LocalSink):
    """One file for all batches, ``<folder>/<table>.<fmt>``, or *named* by the table alone."""

    def __init__(self, folder: Path, delivery: Delivery, fmt: str, *, named: bool = False) -> None:
        super().__init__(folder, delivery, fmt)
        self.file = folder / (delivery.table if named else f"{delivery.table}.{fmt}")

    @property
    def place(self) -> str:
        """Return the path of the file."""
        return str(self.file)


def local_sink(
    folder: Path, delivery: Delivery, fmt: str, mode: str, *, named: bool = False
) -> LocalSink:
    """
    Return the sink of a mode, not opened.

    Raises:
        ConfigError: The mode or the format is unknown, or a table's name is no file's.
    """
    from api2db.sink.localreplace import ReplaceSink
    from api2db.sink.localupdate import UpdateSink

    if fmt in codec.FORMATS and mode == ShardSink.mode:
        return ShardSink(folder, delivery, fmt)
    for kind in (UpdateSink, ReplaceSink):
        if fmt in codec.FORMATS and kind.mode == mode:
            return kind(folder, delivery, fmt, named=named)
    raise ConfigError(f"streams.{delivery.stream}: no mode {mode!r} of format {fmt!r}")
