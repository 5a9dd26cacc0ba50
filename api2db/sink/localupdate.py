"""Rows into one file that grows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.distinct import unseen
from api2db.core.faults import crash_point
from api2db.files import codec
from api2db.files.atomic import beside, sync_folder, written
from api2db.sink.base import Landed
from api2db.sink.intent import Intent, digest_of
from api2db.sink.local import FileSink
from api2db.sink.union import union

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from api2db.core.batch import Batch

logger = logging.getLogger(__name__)


class UpdateSink(FileSink):
    """
    Adds the rows of each batch to ``<folder>/<table>.<fmt>``.

    The file is written anew, beside, and renamed: a reader sees all of a load or nothing.
    Markers lie in the file's `Intent`, so that a batch which is sent again adds nothing.
    """

    mode = "update"

    def open(self) -> None:
        """Make the folder, and what a life before has renamed in it durable."""
        super().open()
        with self._edge():
            sync_folder(self.folder)

    def landed(self) -> frozenset[str]:
        """Return the ids of this delivery's batches that the file holds."""
        prefix = self._marker("")
        with self._edge(), self._alone():
            held = self._held(digest_of(self.file))
        return frozenset(
            marker.removeprefix(prefix) for marker in held if marker.startswith(prefix)
        )

    def forget(self, ids: Collection[str]) -> None:
        """Remove the markers of *ids*."""
        with self._edge(), self._alone():
            digest = digest_of(self.file)
            held = self._held(digest)
            left = held - {self._marker(id_) for id_ in ids}
            if left != held:
                self._intend(digest, digest, left, ())

    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        with self._alone():
            digest = digest_of(self.file)
            held = self._held(digest)
            new = [batch for batch in batches if self._marker(batch.id) not in held]
            new = self._unseen(new)
            if new:
                held -= {self._marker(id_) for id_ in forget}
                self._change(digest, held, new)
        repeated = frozenset(batch.id for batch in batches) - {batch.id for batch in new}
        return Landed(sum(batch.rows.num_rows for batch in new), repeated)

    def _unseen(self, batches: Sequence[Batch]) -> list[Batch]:
        """Return *batches* without the rows that the file holds, if it is to hold them once."""
        keys = self.delivery.distinct
        if keys is False or not batches:
            return list(batches)
        seen: set[bytes] = set()
        if self.file.exists():
            for rows in codec.read(self.file, self.fmt).to_batches():
                unseen(rows, keys, seen)
        return [batch.with_rows(unseen(batch.rows, keys, seen)) for batch in batches]

    def _change(self, digest: str, held: frozenset[str], new: Sequence[Batch]) -> None:
        """Put the file that also holds *new* into the place of the one with *digest*."""
        temporary = beside(self.file)
        with written(temporary) as out:
            if self.fmt in codec.TEXTUAL:
                tables = [pa.Table.from_batches([batch.rows]) for batch in new]
                codec.extend(self.file, tables, out, self.fmt)
            else:
                old = codec.read(self.file, self.fmt) if digest else None
                codec.write(union(old, new), out, self.fmt)
        if digest:
            temporary.chmod(self.file.stat().st_mode & 0o777)
        crash_point("sink.before_intent")
        self._intend(digest, digest_of(temporary), held, [self._marker(b.id) for b in new])
        crash_point("sink.before_rename")
        # From here on what lies beside is what tells that the change was not made: it stays.
        temporary.rename(self.file)
        sync_folder(self.folder)
        crash_point("sink.after_rename")

    def _held(self, digest: str) -> frozenset[str]:
        """Return the markers of what is in the file, whoever wrote it last."""
        intent = Intent.load(self.file)
        if intent is None:
            return frozenset()
        held = intent.settled(self.file, digest)
        if digest != intent.after:
            if digest != intent.before:
                logger.warning("file_changed_by_others", extra={"file": str(self.file)})
            self._intend(digest, digest, held, ())  # before what lies beside is written over
        return held

    def _intend(
        self, before: str, after: str, held: Collection[str], coming: Collection[str]
    ) -> None:
        Intent(before, after, tuple(sorted(held)), tuple(sorted(coming))).store(self.file)

    def _marker(self, batch_id: str) -> str:
        d = self.delivery
        return f"{d.spool}/{d.collector}/{d.stream}/{batch_id}"
