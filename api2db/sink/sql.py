"""
Rows into a SQL table, exactly once: the loop and the transaction of every dialect.

One load is one transaction: the markers of its batches, the rows of those whose marker was
not there, and the removal of markers that nothing can need again. Tables and columns are
made and widened before it begins, for in MySQL such a statement would commit it.

A dialect gives the steps that differ ("dialect methods" here and in `sink.table`) and
translates its driver's errors; it neither loops nor decides.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from api2db.core.errors import (
    ConfigError,
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnknown,
    SpoolError,
)
from api2db.core.faults import crash_point
from api2db.sink.base import Delivery, Landed, Sink
from api2db.sink.load import Load, Pages, null_keys, reject
from api2db.sink.parts import parts
from api2db.sink.table import SqlTable, Stale, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from api2db.core.batch import Batch

logger = logging.getLogger(__name__)

#: The table of the markers, in the connection's own schema.
LEDGER = "_api2db_batches"
#: How often a load is planned anew because others change the table at the same time.
REPLANS = 5


class SqlSink(SqlTable, Sink):
    """The base of all SQL sinks; one table, one connection."""

    def __init__(self, delivery: Delivery) -> None:
        super().__init__(delivery)
        self.name = f"sql.{self.dialect}"
        self._committing = False

    # -- the sink --------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and make the marker table if it is missing."""
        with self._edge():
            self._connect()
            self._make_ledger()
        self._known = None

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """Land *batches* in one transaction; see `Sink.write`."""
        full = [batch for batch in batches if batch.rows.num_rows]
        reject(full, null_keys(full, self.delivery.upsert))
        return self._replanned(lambda: self._attempt(batches, full, forget, commit=commit))

    def replace(self, batches: Iterable[Batch], *, forget: Collection[str] = ()) -> Landed:
        """Land *batches* in place of all rows, in one transaction; see `Sink.replace`."""
        return self._replanned(lambda: self._swap(Pages(batches), forget))

    def landed(self) -> frozenset[str]:
        """Return the ids of this delivery's batches that have a marker."""
        with self._edge():
            found = self._markers()
        suffix = f"/{self.delivery.stream}"
        return frozenset(marker.removesuffix(suffix) for marker in found)

    def forget(self, ids: Collection[str]) -> None:
        """Remove the markers of *ids*."""
        if ids:
            with self._edge():
                self._begin()
                self._unmark([self._marker(id_) for id_ in ids])
                self._commit()

    # -- the transaction -------------------------------------------------------------

    def _replanned(self, attempt: Callable[[], Landed]) -> Landed:
        """Run *attempt*, anew while others change the table under it."""
        with self._edge():
            for _ in range(REPLANS):
                try:
                    return attempt()
                except Stale as exc:
                    self._undo()
                    fields = {"table": self.delivery.table, "how": str(exc)}
                    logger.warning("table_changed", extra=fields)
            raise SinkMisconfigured(
                f"the table {self.delivery.table} changes again and again: {fields['how']}",
                hint="stop what alters it",
            )

    def _attempt(
        self,
        batches: Sequence[Batch],
        full: Sequence[Batch],
        forget: Collection[str],
        *,
        commit: bool,
    ) -> Landed:
        targets = self._plan(full) if full else []
        crash_point("sink.before_marker")
        self._begin()
        if full:
            self._verify()
        marks = {batch.id: batch.rows.num_rows for batch in batches}
        new = self._mark(marks) if commit else set(marks)
        crash_point("sink.after_marker")
        if full and self.delivery.replace and not commit:
            self._clear()
        rows = self._load([batch for batch in full if batch.id in new], targets)
        crash_point("sink.mid_load")
        if not commit:
            self._rollback()
            return Landed(rows)
        self._end(forget)
        return Landed(rows, frozenset(marks) - new)

    def _swap(self, pages: Pages, forget: Collection[str]) -> Landed:
        targets = self._plan(pages)
        crash_point("sink.before_marker")
        self._begin()
        if self._known is not None:
            self._verify()
        new = self._mark(pages.marked)
        crash_point("sink.after_marker")
        rows = 0
        if list(pages.marked)[-1] in new:
            if self._known is not None:
                self._clear()
            for group in pages.groups():
                rows += self._load(group, targets)
                crash_point("sink.mid_load")
        self._end(forget)
        return Landed(rows, frozenset(pages.marked) - new)

    def _end(self, forget: Collection[str]) -> None:
        """Remove the markers of *forget*, and commit."""
        if forget:
            self._unmark([self._marker(id_) for id_ in forget])
        crash_point("sink.before_commit")
        self._committing = True
        self._commit()
        self._committing = False
        crash_point("sink.after_commit")

    def _clear(self) -> None:
        """Delete all rows; truncating would commit in MySQL, and lock readers out elsewhere."""
        try:
            self._execute_ddl(f"delete from {self.table}")
        except Exception as exc:
            if not self._is_data_error(exc):
                raise
            where = f"the rows of {self.delivery.table} cannot be deleted: {exc}"
            raise SinkMisconfigured(where, hint="other tables refer to them; use upsert") from exc

    def _mark(self, rows: Mapping[str, int]) -> set[str]:
        """Insert the markers of batches (id -> number of rows); return those that had none."""
        ids = {self._marker(id_): id_ for id_ in rows}
        new = self._insert_markers({marker: rows[id_] for marker, id_ in ids.items()})
        return {ids[marker] for marker in new}

    def _marker(self, batch_id: str) -> str:
        # Two streams of a collector may share a database: each has its own marker.
        return f"{batch_id}/{self.delivery.stream}"

    def _load(self, batches: Sequence[Batch], targets: Sequence[Target]) -> int:
        """Write the rows of *batches*; return how many."""
        if not batches:
            return 0
        load = Load.of(batches, {target.name: target.kind for target in targets})
        for target in targets:
            load.bad |= self._unfit(load.columns[target.name], target)
        reject(batches, load.bad)
        try:
            keys = self.delivery.upsert
            send = self._upsert if keys else self._append
            columns = load.last_per_key(keys) if keys else load.columns
            for part in parts(columns, self.delivery.chunk):
                send(part, targets)
        except Exception as exc:
            if self._is_data_error(exc):
                reject(batches, self._blamed(load.columns, targets))
            raise
        return sum(batch.rows.num_rows for batch in batches)

    # -- errors ----------------------------------------------------------------------

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Translate what the driver raises, once, here; roll back after any error."""
        try:
            yield
        except (SinkError, SpoolError):  # the second one comes from what `replace` reads
            self._undo()
            raise
        except ConfigError as exc:  # a type that no column has
            self._undo()
            raise SinkMisconfigured(exc.args[0], hint=exc.hint) from exc
        except Exception as exc:
            committing, self._committing = self._committing, False
            self._undo()
            translated = self._translate(exc)
            # The server's own refusal is an answer; anything else leaves the outcome open.
            if committing and not isinstance(translated, (SinkRejected, SinkMisconfigured)):
                raise SinkUnknown(f"the connection broke during COMMIT: {translated}") from exc
            raise translated from exc

    def _undo(self) -> None:
        self._known = None
        with suppress(Exception):  # the connection may be gone; what matters was raised
            self._rollback()

    # -- dialect methods -------------------------------------------------------------

    @abstractmethod
    def _connect(self) -> None:
        """Connect."""

    @abstractmethod
    def _make_ledger(self) -> None:
        """Make the table `LEDGER` if it is missing."""

    @abstractmethod
    def _markers(self) -> list[str]:
        """Return this delivery's markers."""

    @abstractmethod
    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        """Insert markers (-> number of rows); return those that were not there."""

    @abstractmethod
    def _unmark(self, markers: Sequence[str]) -> None:
        """Delete markers."""

    @abstractmethod
    def _begin(self) -> None:
        """Begin a transaction."""

    def _verify(self) -> None:
        """Raise `Stale` if the table is not as planned; a dialect keeps it so until the end."""
        self._compare()

    @abstractmethod
    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        """Return the rows of *column* that the target would alter silently, with reasons."""

    @abstractmethod
    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        """Insert all rows."""

    @abstractmethod
    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        """Insert or update all rows; no key comes twice."""

    @abstractmethod
    def _commit(self) -> None:
        """Commit."""

    @abstractmethod
    def _rollback(self) -> None:
        """Roll back, if a transaction is open."""

    @abstractmethod
    def _translate(self, exc: Exception) -> SinkError:
        """Return the error of ours that *exc* means."""

    def _is_data_error(self, exc: Exception) -> bool:
        """Return whether *exc* says that the target refuses a value."""
        return isinstance(exc if isinstance(exc, SinkError) else self._translate(exc), SinkRejected)

    def _blamed(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> dict[int, str]:
        """Return the rows that made the target refuse a load, as far as they can be told."""
        return {}
