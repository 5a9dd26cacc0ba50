"""Rows into Parquet shards: one file per batch."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from api2db.core.errors import (
    ConfigError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
)
from api2db.core.faults import crash_point
from api2db.files.atomic import atomic_write, make_folder
from api2db.sink.base import Delivery, Landed, Sink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from api2db.core.batch import Batch

#: Errors that need a person: the folder cannot be made or written.
_FOLDER = frozenset(
    {errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EROFS, errno.ENAMETOOLONG}
)


class LocalSink(Sink):
    """
    Writes ``<folder>/<table>/<timestamp_ns>.parquet``.

    The name of a batch's file is fixed in the log, so writing a batch again replaces its own
    file: that is its marker. Each file is written beside, synced, and renamed. The file's
    metadata names batch, collector and stream.
    """

    name = "local"

    def __init__(self, folder: Path, delivery: Delivery) -> None:
        self.delivery = delivery
        if delivery.table in ("", ".", "..") or set("/\0") & set(delivery.table):
            raise ConfigError(
                f"streams.{delivery.stream}: {delivery.table!r} cannot be the name of a folder",
                hint="give a table without a slash",
            )
        self._folder = folder / delivery.table

    def open(self) -> None:
        """Make the folder."""
        try:
            make_folder(self._folder)
        except OSError as exc:
            raise self._translated(exc) from exc

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """Write one file per batch; a rehearsal writes none."""
        rows = 0
        for batch in batches:
            if batch.rows.num_rows and commit:
                try:
                    self._write(batch)
                except FileNotFoundError as exc:  # somebody removed the folder: it is made again
                    raise SinkUnavailable(f"{self._folder} is gone") from exc
                except OSError as exc:
                    raise self._translated(exc) from exc
                except pa.ArrowException as exc:
                    raise SinkRejected(f"Parquet cannot hold these rows: {exc}") from exc
            rows += batch.rows.num_rows
        return Landed(rows)

    def _write(self, batch: Batch) -> None:
        origin = {
            "api2db.batch": batch.id,
            "api2db.collector": self.delivery.collector,
            "api2db.stream": self.delivery.stream,
        }
        table = pa.Table.from_batches([batch.rows]).replace_schema_metadata(origin)
        with atomic_write(self._folder / f"{batch.timestamp_ns}.parquet") as file:
            pq.write_table(table, file, compression="zstd")
            crash_point("sink.before_rename")
        crash_point("sink.after_rename")

    def landed(self) -> frozenset[str]:
        """Return nothing: a shard is its own marker."""
        return frozenset()

    def forget(self, ids: Collection[str]) -> None:
        """Do nothing: shards stay."""

    def interrupt(self) -> None:
        """Do nothing: a local disk is not waited for."""

    def close(self) -> None:
        """Do nothing: nothing is held open."""

    def _translated(self, exc: OSError) -> SinkMisconfigured | SinkUnavailable:
        message = f"cannot write to {self._folder}: {exc.strerror or exc}"
        if exc.errno in _FOLDER:
            return SinkMisconfigured(message, hint="check the folder's owner and rights")
        return SinkUnavailable(message)
