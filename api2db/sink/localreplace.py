"""Rows into one file that holds the last complete poll."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.batch import DeadRow
from api2db.core.errors import FileUnreadable, SinkRejected
from api2db.core.faults import crash_point
from api2db.files import codec
from api2db.files.atomic import atomic_write
from api2db.sink.base import Landed
from api2db.sink.load import columns_of
from api2db.sink.local import FileSink
from api2db.sink.union import aligned

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from api2db.core.batch import Batch


class ReplaceSink(FileSink):
    """
    Writes ``<folder>/<table>.<fmt>`` anew with each complete poll.

    A poll that is sent again gives the same file: it needs no marker. The rows pass through
    memory a batch at a time, but for pickle.
    """

    mode = "replace"

    def replace(self, batches: Iterable[Batch], *, forget: Collection[str] = ()) -> Landed:
        """Write the file anew from *batches*; see `Sink.replace`."""
        with self._edge(), self._alone():
            columns = columns_of(batches)
            self._check_all(batches, columns)
            mode = self.file.stat().st_mode & 0o777 if self.file.exists() else 0o600
            counts: list[int] = []
            with atomic_write(self.file) as out:
                os.fchmod(out.fileno(), mode)
                parts = self._parts(batches, columns, counts)
                codec.write_parts(parts, self._schema(columns), out, self.fmt)
                crash_point("sink.before_rename")
            crash_point("sink.after_rename")
        return Landed(sum(counts))

    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        """Land batches of a time when the stream had another mode: they are soon replaced."""
        return self.replace(batches) if batches else Landed(0)

    def _schema(self, columns: Mapping[str, pa.DataType]) -> pa.Schema:
        """Return the file's columns; a poll without rows leaves those that are there."""
        if not columns:
            with suppress(FileUnreadable, FileNotFoundError):
                return codec.read(self.file, self.fmt).schema
        return pa.schema(columns)

    def _check_all(self, batches: Iterable[Batch], columns: Mapping[str, pa.DataType]) -> None:
        """Raise `SinkRejected` for all rows that the file cannot hold."""
        found: dict[str, list[DeadRow]] = {}
        for batch in batches:
            bad = codec.unfit(batch.rows, self.fmt)
            if self.fmt not in codec.TEXTUAL and batch.rows.num_rows:
                bad |= aligned(batch.rows, columns)[1]
            if bad:
                found[batch.id] = [DeadRow(row, bad[row]) for row in sorted(bad)]
        if found:
            reason = next(iter(found.values()))[0].reason
            raise SinkRejected(f"some rows cannot be written: {reason}", rows=found)

    def _parts(
        self, batches: Iterable[Batch], columns: Mapping[str, pa.DataType], counts: list[int]
    ) -> Iterator[pa.Table]:
        """Yield the rows of *batches* with the columns of the file; note how many they are."""
        for batch in batches:
            rows = batch.rows
            if rows.num_rows:
                counts.append(rows.num_rows)
                textual = self.fmt in codec.TEXTUAL
                yield pa.Table.from_batches([rows if textual else aligned(rows, columns)[0]])
