"""
Rows into a SQL table, exactly once: the loop and the transaction of every dialect.

One load is one transaction: the markers of its batches, the rows of those whose marker was
not there, and the removal of markers that nothing can need again. Tables and columns are
made and widened before it begins, for in MySQL such a statement would commit it.

A dialect gives the steps that differ (`Dialect methods` below) and translates its driver's
errors; it neither loops nor decides.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from api2db.core import types
from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnknown
from api2db.core.faults import crash_point
from api2db.sink.base import Delivery, Landed, Sink
from api2db.sink.identifier import mapped, quote
from api2db.sink.load import Load, as_kind, columns_of, unified

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from api2db.core.batch import Batch

logger = logging.getLogger(__name__)

#: The table of the markers, in the connection's own schema.
LEDGER = "_api2db_batches"


class Stale(Exception):
    """The table is not as it was planned for: somebody changed or dropped it."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    One column of the table, and what is sent to it.

    Attributes:
        name: The batch's column.
        ident: The table's column, not quoted.
        kind: Kind of the values that are sent, one of `core.types.NAMES`.
        sql: Type of the table's column, as the catalog says it.
        natural: Whether *sql* is the natural type of *kind*: no cast is needed.
    """

    name: str
    ident: str
    kind: str
    sql: str
    natural: bool


class SqlSink(Sink):
    """
    The base of all SQL sinks.

    Attributes:
        dialect: Column of the type table.
        name_limit: Most bytes of a column's name.
        folds: Whether column names that differ in case only are the same.
    """

    dialect: ClassVar[types.Dialect]
    name_limit: ClassVar[int] = 63
    folds: ClassVar[bool] = False

    def __init__(self, delivery: Delivery) -> None:
        self.name = f"sql.{self.dialect}"
        self.delivery = delivery
        self.table = ".".join(quote(part) for part in self._table_parts(delivery.table))
        self._known: dict[str, str] | None = None
        self._committing = False

    # -- the sink ------------------------------------------------------------------

    def open(self) -> None:
        """Connect, and make the marker table if it is missing."""
        with self._edge():
            self._connect()
            self._make_ledger()
        self._known = None

    def write(
        self, batches: Sequence[Batch], *, forget: Collection[str] = (), commit: bool = True
    ) -> Landed:
        """Land *batches* in one transaction; see `Sink.write`."""
        with self._edge():
            try:
                return self._attempt(batches, forget, commit)
            except Stale as exc:
                self._rollback()
                self._known = None
                logger.warning("table_changed", extra={"table": self.delivery.table, "how": str(exc)})
            try:
                return self._attempt(batches, forget, commit)
            except Stale as exc:
                raise SinkMisconfigured(
                    f"the table {self.delivery.table} changes while rows are written: {exc}",
                    hint="stop what alters it",
                ) from exc

    def landed(self) -> frozenset[str]:
        """Return the ids of this delivery's batches that have a marker."""
        with self._edge():
            found = self._markers()
            self._commit()
        suffix = f"/{self.delivery.stream}"
        return frozenset(marker.removesuffix(suffix) for marker in found)

    def forget(self, ids: Collection[str]) -> None:
        """Remove the markers of *ids*."""
        if not ids:
            return
        with self._edge():
            self._begin()
            self._unmark([self._marker(id_) for id_ in ids])
            self._commit()

    # -- the transaction -----------------------------------------------------------

    def _attempt(self, batches: Sequence[Batch], forget: Collection[str], commit: bool) -> Landed:
        full = [batch for batch in batches if batch.rows.num_rows]
        runs = [(run, self._plan(columns_of(run))) for run in unified(full)]
        self._begin()
        if runs:
            self._verify()
        new = self._mark(batches) if commit else {batch.id for batch in batches}
        crash_point("sink.after_marker")
        rows = 0
        for run, targets in runs:
            if fresh := [batch for batch in run if batch.id in new]:
                rows += self._load(fresh, targets)
                crash_point("sink.mid_load")
        if not commit:
            self._rollback()
            return Landed(rows)
        if forget:
            self._unmark([self._marker(id_) for id_ in forget])
        crash_point("sink.before_commit")
        self._committing = True
        self._commit()
        self._committing = False
        crash_point("sink.after_commit")
        return Landed(rows, frozenset(batch.id for batch in batches) - new)

    def _mark(self, batches: Sequence[Batch]) -> set[str]:
        """Insert the markers; return the ids of the batches that had none."""
        markers = {self._marker(batch.id): batch for batch in batches}
        new = self._insert_markers({m: batch.rows.num_rows for m, batch in markers.items()})
        return {markers[marker].id for marker in new}

    def _marker(self, batch_id: str) -> str:
        # Two streams of a collector may share a database: each has its own marker.
        return f"{batch_id}/{self.delivery.stream}"

    def _load(self, batches: Sequence[Batch], targets: Sequence[Target]) -> int:
        """Write the rows of *batches*, all of one run."""
        present = {name for batch in batches for name in batch.rows.schema.names}
        targets = [target for target in targets if target.name in present]
        load = Load.of(batches, [target.name for target in targets])
        bad: dict[int, str] = {}
        if self.delivery.upsert:
            bad |= load.null_keys(self.delivery.upsert)
        columns: dict[str, pa.ChunkedArray[Any]] = {}
        for target in targets:
            column, wrong = as_kind(load.columns[target.name], target.kind, target.name)
            columns[target.name] = column
            bad |= self._unfit(column, target) | wrong
        load.reject(bad)
        load.columns = columns
        rows = load.num_rows
        if self.delivery.upsert:
            load = load.last_per_key(self.delivery.upsert)
            self._upsert(load.columns, targets)
        else:
            self._append(load.columns, targets)
        return rows

    # -- the table -----------------------------------------------------------------

    def _plan(self, columns: Mapping[str, pa.DataType]) -> list[Target]:
        """Make or widen the table for *columns*; return what goes where."""
        if self._known is None:
            self._known = self._columns()
            if self._known is not None:
                self._check_key(columns, self._known)
        if self._known is None:
            self._execute_ddl(self._create(columns))
            logger.info("table_created", extra={"table": self.delivery.table})
            self._known = self._columns() or {}
        idents = self._idents(columns, self._known)
        self._widen(columns, idents, self._known)
        targets = []
        for name, type_ in columns.items():
            sql = self._known[idents[name]]
            kind = self._kind(sql, type_)
            # A type that is not ours gets text, which the target reads as it reads input.
            targets.append(Target(name, idents[name], kind or "str", sql, kind is not None))
        return targets

    def _widen(
        self, columns: Mapping[str, pa.DataType], idents: Mapping[str, str], known: dict[str, str]
    ) -> None:
        """Add the columns that are missing, widen those that are too narrow, without loss."""
        changed = False
        for name, type_ in columns.items():
            ident = idents[name]
            if ident not in known:
                self._execute_ddl(self._add_column(ident, type_))
                changed = True
                continue
            kind = self._kind(known[ident], type_)
            if kind is None or kind == types.kind_of(type_):
                continue
            wider = types.widen(types.arrow_type(kind), type_)
            if wider is None or types.kind_of(wider) == kind:
                continue
            if (kind, types.kind_of(wider)) == ("int", "float") and not self._exact(ident):
                wider = types.arrow_type("decimal")
            if self._natural(wider) != known[ident]:
                self._alter(ident, kind, wider)
                fields = {"column": ident, "from": known[ident], "to": self._natural(wider)}
                logger.info("column_widened", extra={"table": self.delivery.table, **fields})
                changed = True
        if changed:
            self._known = self._columns() or {}

    def _idents(self, columns: Iterable[str], known: Collection[str]) -> dict[str, str]:
        return mapped(columns, known, limit=self.name_limit, folds=self.folds)

    def _check_key(self, columns: Mapping[str, pa.DataType], known: Collection[str]) -> None:
        """An existing table must have the unique index that an upsert relies on."""
        keys = self.delivery.upsert
        if not keys:
            return
        idents = self._idents([*keys, *columns], known)
        wanted = {idents[key] for key in keys}
        if wanted in self._unique_keys():
            return
        names = ", ".join(quote(idents[key]) for key in keys)
        raise SinkMisconfigured(
            f"the table {self.delivery.table} has no unique index on exactly ({names})",
            hint=f"create one: create unique index on {self.table} ({names});",
        )

    def ddl(self, schema: pa.Schema) -> str:
        """Return the statement that would make the table for rows of *schema*."""
        return self._create({field.name: field.type for field in schema})

    def _create(self, columns: Mapping[str, pa.DataType]) -> str:
        idents = self._idents(columns, ())
        keys = [idents.get(key) for key in self.delivery.upsert]
        lines = [f"  {quote(idents[n])} {self._natural(t)}" for n, t in columns.items()]
        if keys and all(keys):
            lines.append(f"  primary key ({', '.join(quote(key) for key in keys if key)})")
        body = ",\n".join(lines)
        return f"create table if not exists {self.table} (\n{body}\n)"

    def _add_column(self, ident: str, type_: pa.DataType) -> str:
        return f"alter table {self.table} add column {quote(ident)} {self._natural(type_)}"

    def _natural(self, type_: pa.DataType) -> str:
        return types.sql_type(type_, self.dialect)

    def _table_parts(self, table: str) -> list[str]:
        """Return schema and table; a dot separates them."""
        return table.split(".", 1) if "." in table.strip(".") else [table]

    # -- errors --------------------------------------------------------------------

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Translate what the driver raises, once, here; roll back after any error."""
        try:
            yield
        except SinkError:
            self._undo()
            raise
        except Exception as exc:
            committing, self._committing = self._committing, False
            self._undo()
            translated = self._translate(exc)
            if committing:
                raise SinkUnknown(f"the connection broke during COMMIT: {translated}") from exc
            raise translated from exc

    def _undo(self) -> None:
        self._known = None
        with suppress(Exception):  # the connection may be gone; what matters was raised
            self._rollback()

    # -- Dialect methods -----------------------------------------------------------

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
    def _columns(self) -> dict[str, str] | None:
        """Return the table's columns and their types as the catalog writes them, None if none."""

    @abstractmethod
    def _unique_keys(self) -> list[set[str]]:
        """Return the columns of each unique index of the table that is not partial."""

    @abstractmethod
    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        """Return the kind of which *sql* is the natural type, None for any other type."""

    @abstractmethod
    def _exact(self, ident: str) -> bool:
        """Return whether all integers in a column are exact as floats."""

    @abstractmethod
    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        """Change a column from the natural type of *kind* to that of *wider*, keeping its rows."""

    @abstractmethod
    def _execute_ddl(self, statement: str) -> None:
        """Run *statement* outside of any transaction."""

    @abstractmethod
    def _begin(self) -> None:
        """Begin a transaction."""

    @abstractmethod
    def _verify(self) -> None:
        """Raise `Stale` if the table is not as planned; keep it so until the end."""

    @abstractmethod
    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        """Return the rows of *column* that this dialect would alter silently, with reasons."""

    @abstractmethod
    def _append(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        """Insert all rows."""

    @abstractmethod
    def _upsert(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
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
