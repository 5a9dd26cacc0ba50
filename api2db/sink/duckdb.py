"""Rows into DuckDB."""

from __future__ import annotations

import atexit
import gc
import threading
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb
import pyarrow as pa

from api2db.core import types
from api2db.core.errors import SinkError, SinkUnavailable
from api2db.sink.conflict import on_conflict
from api2db.sink.duckdberrors import translate
from api2db.sink.duckdbexact import altered
from api2db.sink.duckdbtable import (
    COLUMNS,
    CREATE_LEDGER,
    INSERT_MARKERS,
    converted,
    held,
    primary_key,
    rebuild,
    unique_keys,
    untouched,
)
from api2db.sink.fileurl import path_of
from api2db.sink.identifier import Fold, quote
from api2db.sink.load import outside
from api2db.sink.sql import LEDGER, SqlSink
from api2db.sink.table import Stale, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from api2db.sink.base import Delivery

#: All connections of a process to one file share one instance, if they say the same here.
_CONFIG: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
#: Under which name a load stands for a table.
_LOAD = "_api2db_load"
#: First and last instant, in microseconds, and first and last day; beyond lies infinity.
_INSTANTS = (-9_223_372_022_400_000_000, 2**63 - 2)
_DAYS = (-(2**31) + 2, 2**31 - 2)
#: Who writes to a file; sinks are the only ones that do, for other processes are locked out.
_writing: defaultdict[Path, threading.RLock] = defaultdict(threading.RLock)
_CHANGED = (duckdb.CatalogException, duckdb.TransactionException)

# DuckDB's binding tells, as a process ends, of all its objects that are still there; without this
# `gc.freeze` would keep them.
atexit.register(gc.unfreeze)


class DuckdbSink(SqlSink):
    """
    One table of a DuckDB file, through a connection of the worker's own.

    The sinks of a process share the file; another process cannot open it meanwhile.

    Args:
        url: ``duckdb:///relative.db`` or ``duckdb:////absolute.db``.
        base: Where a relative path begins.
    """

    dialect: ClassVar[types.Dialect] = "duckdb"
    name_limit: ClassVar[int] = 1000
    fold: ClassVar[Fold] = "ascii"

    def __init__(self, url: str, delivery: Delivery, *, base: Path) -> None:
        super().__init__(delivery)
        # Two names of one file would be two instances, which write over each other.
        self._path = path_of(url, delivery, base).resolve()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._begun = False
        *schema, table = self._table_parts(delivery.table)
        self._place = (schema[0] if schema else "main", table)

    # -- connection ----------------------------------------------------------------

    @contextmanager
    def _edge(self) -> Iterator[None]:
        # Two that write at once would refuse each other's rows as doubled keys.
        with _writing[self._path], super()._edge():
            yield

    def _connect(self) -> None:
        self._connection = duckdb.connect(str(self._path), config=_CONFIG)
        self._begun = False
        self._run("set TimeZone = 'UTC'")

    @property
    def _db(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise SinkUnavailable("not connected")
        return self._connection

    def interrupt(self) -> None:
        """Break off the statement under way."""
        connection = self._connection
        if connection is not None:
            with suppress(duckdb.Error):
                connection.interrupt()

    def close(self) -> None:
        """Close the connection; the last one of the process closes the file."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(duckdb.Error):
                connection.close()

    def _run(self, query: str, *params: object) -> duckdb.DuckDBPyConnection:
        return self._db.execute(query, list(params))

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        with suppress(*_CHANGED):  # another sink made it at the same time
            self._run(CREATE_LEDGER)

    def _markers(self) -> list[str]:
        d = self.delivery
        where = "where spool = ? and collector = ? and stream = ?"
        query = f"select batch_id from main.{LEDGER} {where}"
        return [row[0] for row in self._run(query, d.spool, d.collector, d.stream).fetchall()]

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d = self.delivery
        ids, counts = list(rows), list(rows.values())
        found = self._run(INSERT_MARKERS, d.spool, d.collector, d.stream, ids, counts)
        return [row[0] for row in found.fetchall()]

    def _unmark(self, markers: Sequence[str]) -> None:
        delete = f"delete from main.{LEDGER} where spool = ? and batch_id in (select unnest(?))"
        self._run(delete, self.delivery.spool, list(markers))

    # -- the table -----------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        return dict(self._run(COLUMNS, *self._place).fetchall()) or None

    def _unique_keys(self) -> list[set[str]]:
        return unique_keys(self._run, *self._place)

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        natural = held(sql)
        return None if natural is None else types.kind_of(natural)

    def _held(self, target: Target) -> pa.DataType:
        return held(target.sql) or types.arrow_type(target.kind)

    def _any(self, condition: str) -> bool:
        found = self._run(f"select 1 from {self.table} where {condition} limit 1")
        return found.fetchone() is not None

    def _alterable(self) -> bool:
        return untouched(self._run, *self._place)

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        to = self._natural(wider)
        value = converted(quote(ident), kind, to)
        try:
            if ident in primary_key(self._run, *self._place):
                self._begin()
                rebuild(self._run, *self._place, ident, value, to)
                self._commit()
            else:
                column = f"alter column {quote(ident)} set data type {to} using {value}"
                self._run(f"alter table {self.table} {column}")
        except _CHANGED as exc:
            raise Stale(str(exc)) from exc

    def _execute_ddl(self, statement: str) -> None:
        try:
            self._run(statement)
        except _CHANGED as exc:
            raise Stale(str(exc)) from exc

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._run("begin")
        self._begun = True

    def _commit(self) -> None:
        if self._begun:
            self._begun = False  # also if it fails: then it is rolled back
            self._run("commit")

    def _rollback(self) -> None:
        if self._begun:
            self._begun = False
            self._run("rollback")

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        if not target.natural or not _is_exact(column, target):
            return self._altered(column, target)
        if target.kind == "datetime":
            return outside(column, _INSTANTS, f"{target.name}: DuckDB has no such instant")
        if target.kind == "date":
            return outside(column, _DAYS, f"{target.name}: DuckDB has no such day")
        return {}

    def _altered(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        """Return the rows that a type which is not ours would refuse, round or cut off."""
        self._db.register(_LOAD, pa.table({"i": range(len(column)), "v": column}))
        condition = altered("v", target.sql)
        query = f"select i from {_LOAD} where v is not null and {condition} order by i"
        rows = [row[0] for row in self._run(query).fetchall()]
        reason = f"{target.name}: a column of type {target.sql} cannot hold this as it is"
        return dict.fromkeys(rows, reason)

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        self._insert(columns, targets, "")

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        self._insert(columns, targets, on_conflict(targets, self.delivery.upsert))

    def _insert(
        self,
        columns: Mapping[str, pa.ChunkedArray[Any]],
        targets: Sequence[Target],
        conflict: str,
    ) -> None:
        # Names of the source may be anything: they are replaced by numbers.
        names = [f"c{i}" for i in range(len(targets))]
        load = pa.table([columns[target.name] for target in targets], names=names)
        into = ", ".join(quote(target.ident) for target in targets)
        values = [f"{c}::{t.sql}" for c, t in zip(names, targets, strict=True)]
        self._db.register(_LOAD, load)
        query = f"insert into {self.table} ({into}) select {', '.join(values)} from {_LOAD}"
        self._run(f"{query} {conflict}")

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        return translate(exc)


def _is_exact(column: pa.ChunkedArray[Any], target: Target) -> bool:
    """Return whether no number is rounded: decimals are sent as text."""
    if target.kind == "decimal":
        try:
            column.cast(held(target.sql) or pa.string())
        except pa.ArrowInvalid:
            return False
    return True
