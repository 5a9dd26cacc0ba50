"""
Rows into SQLite.

Instants, dates, decimals and JSON are text, for SQLite has no types for them; they get TEXT
columns because any other name would give a column an affinity that turns '007' into 7.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.errors import (
    ConfigError,
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink.identifier import quote
from api2db.sink.load import where
from api2db.sink.sql import LEDGER, SqlSink, Stale, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from api2db.sink.base import Delivery

logger = logging.getLogger(__name__)

#: How long to wait for another connection's write, in seconds.
BUSY = 10.0
#: Kinds that lie in a column as text.
_TEXT = frozenset({"str", "datetime", "date", "decimal", "json"})

_CREATE_LEDGER = f"""
create table if not exists {LEDGER} (
  batch_id TEXT primary key,
  spool TEXT not null,
  collector TEXT not null,
  stream TEXT not null,
  n_rows INTEGER not null,
  loaded_at TEXT not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)"""


class SqliteSink(SqlSink):
    """
    One table of a SQLite file, through one connection of the worker's own thread.

    The file is in WAL mode with ``synchronous=full``: a commit survives power loss, and
    readers do not stop it.

    Args:
        url: ``sqlite:///relative.db`` or ``sqlite:////absolute.db``.
        base: Where a relative path begins.
    """

    dialect: ClassVar[types.Dialect] = "sqlite"
    name_limit: ClassVar[int] = 1000
    folds: ClassVar[bool] = True

    def __init__(self, url: str, delivery: Delivery, *, base: Path) -> None:
        super().__init__(delivery)
        rest = url.partition(":")[2].partition("?")[0]
        path = unquote(rest.removeprefix("///"))
        if not rest.startswith("///") or not path or path == ":memory:":
            raise ConfigError(
                f"streams.{delivery.stream}.url: names no file",
                hint="write sqlite:///relative.db or sqlite:////absolute/path.db",
            )
        self._path = base / path
        self._connection: sqlite3.Connection | None = None

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._connection = sqlite3.connect(
            self._path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        self._run("pragma journal_mode = wal")
        self._run("pragma synchronous = full")

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise SinkUnavailable("not connected")
        return self._connection

    def interrupt(self) -> None:
        """Break off the statement under way."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _run(self, query: str, *params: object) -> sqlite3.Cursor:
        return self._db.execute(query, params)

    def _table_parts(self, table: str) -> list[str]:
        return [table]  # a file has no schemas: a dot is part of the name

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        self._run(_CREATE_LEDGER)

    def _markers(self) -> list[str]:
        d = self.delivery
        where = "where spool = ? and collector = ? and stream = ?"
        found = self._run(f"select batch_id from {LEDGER} {where}", d.spool, d.collector, d.stream)
        return [row[0] for row in found]

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d = self.delivery
        insert = (
            f"insert into {LEDGER} (batch_id, spool, collector, stream, n_rows)"
            " values (?, ?, ?, ?, ?) on conflict do nothing"
        )
        return [
            marker
            for marker, n in rows.items()
            if self._run(insert, marker, d.spool, d.collector, d.stream, n).rowcount
        ]

    def _unmark(self, markers: Sequence[str]) -> None:
        self._db.executemany(
            f"delete from {LEDGER} where batch_id = ?", [(marker,) for marker in markers]
        )

    # -- the table -----------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        found = self._run(f"pragma table_info({self.table})").fetchall()
        return {row[1]: row[2] for row in found} or None

    def _unique_keys(self) -> list[set[str]]:
        columns = self._run(f"pragma table_info({self.table})").fetchall()
        keys = [{row[1] for row in columns if row[5]}]
        for index in self._run(f"pragma index_list({self.table})").fetchall():
            name, unique, partial = index[1], index[2], index[4]
            if unique and not partial:
                keys.append({row[2] for row in self._run(f"pragma index_info({quote(name)})")})
        return keys

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        kind = types.kind_of(coming)
        if sql == "TEXT":
            return kind if kind in _TEXT else "str"
        return {"INTEGER": "int", "REAL": "float", "BOOLEAN": "bool"}.get(sql)

    def _exact(self, ident: str) -> bool:
        name = quote(ident)
        far = f"{name} > {types.EXACT_INT} or {name} < -{types.EXACT_INT}"
        return self._run(f"select 1 from {self.table} where {far} limit 1").fetchone() is None

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        """
        Rebuild the table with another type for one column.

        SQLite cannot change a column's type. Copying the rows into a new table keeps the
        affinity and the values in step; indexes and triggers are made again. One
        transaction: a crash leaves the old table.
        """
        to = self._natural(wider)
        columns = self._run(f"pragma table_info({self.table})").fetchall()
        made_again = self._run(
            "select sql from sqlite_master where tbl_name = ? and type in ('index', 'trigger')"
            " and sql is not null",
            self.delivery.table,
        ).fetchall()
        lines, values = [], []
        for _, name, declared, not_null, default, _ in columns:
            quoted = quote(name)
            line = f"{quoted} {to if name == ident else declared}"
            line += " not null" if not_null else ""
            line += f" default {default}" if default is not None else ""
            lines.append(line)
            values.append(_converted(quoted, kind, to) if name == ident else quoted)
        keys = [row[1] for row in sorted(columns, key=lambda row: int(row[5])) if row[5]]
        if keys:
            lines.append(f"primary key ({', '.join(map(quote, keys))})")
        rebuilt = quote(f"{self.delivery.table}_api2db_rebuilt")
        self._run("begin immediate")
        self._run(f"create table {rebuilt} ({', '.join(lines)})")
        self._run(f"insert into {rebuilt} select {', '.join(values)} from {self.table} order by rowid")
        self._run(f"drop table {self.table}")
        self._run(f"alter table {rebuilt} rename to {self.table}")
        for (statement,) in made_again:
            self._run(statement)
        self._run("commit")

    def _execute_ddl(self, statement: str) -> None:
        self._run(statement)

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._run("begin immediate")

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._run("commit")

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._run("rollback")

    def _verify(self) -> None:
        if self._columns() != self._known:
            raise Stale("it was dropped or its columns are different")

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        if target.kind != "float" or not pa.types.is_floating(column.type):
            return {}
        bad = where(pc.is_nan(column).fill_null(False))
        return dict.fromkeys(bad, f"{target.name}: SQLite would store NaN as NULL")

    def _append(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        self._db.executemany(self._insert(targets), _rows(columns, targets))

    def _upsert(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        idents = {target.name: target.ident for target in targets}
        keys = [idents[key] for key in self.delivery.upsert]
        rest = [quote(target.ident) for target in targets if target.ident not in keys]
        change = ", ".join(f"{name} = excluded.{name}" for name in rest)
        action = f"do update set {change}" if rest else "do nothing"
        conflict = f"on conflict ({', '.join(map(quote, keys))}) {action}"
        self._db.executemany(f"{self._insert(targets)} {conflict}", _rows(columns, targets))

    def _insert(self, targets: Sequence[Target]) -> str:
        into = ", ".join(quote(target.ident) for target in targets)
        marks = ", ".join("?" for _ in targets)
        return f"insert into {self.table} ({into}) values ({marks})"

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        return translate(exc)


def _converted(column: str, kind: str, to: str) -> str:
    """Return the SQL of *column*, of *kind*, as a value for a column of type *to*."""
    if to != "TEXT":
        return column
    if kind == "bool":
        return f"case when {column} is null then null when {column} then 'true' else 'false' end"
    return f"cast({column} as text)"


def _rows(columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> Iterator[tuple[Any, ...]]:
    """Yield each row as what sqlite3 binds: int, float, str, None."""
    values = []
    for target in targets:
        column = columns[target.name]
        if target.kind in ("datetime", "date"):
            text = pa.string()
            column = pa.chunked_array([types.cast(chunk, text) for chunk in column.chunks], text)
        elif target.kind == "bool":
            column = column.cast(pa.int8())
        values.append(column.to_pylist())
    return zip(*values, strict=True)


#: SQLite's primary result codes (https://www.sqlite.org/rescode.html) -> kind.
CODES: dict[int, type[SinkError]] = {
    sqlite3.SQLITE_BUSY: SinkUnavailable,
    sqlite3.SQLITE_LOCKED: SinkUnavailable,
    sqlite3.SQLITE_INTERRUPT: SinkUnavailable,
    sqlite3.SQLITE_IOERR: SinkUnavailable,
    sqlite3.SQLITE_FULL: SinkUnavailable,
    sqlite3.SQLITE_NOMEM: SinkUnavailable,
    sqlite3.SQLITE_SCHEMA: SinkUnavailable,
    sqlite3.SQLITE_PROTOCOL: SinkUnavailable,
    sqlite3.SQLITE_PERM: SinkMisconfigured,
    sqlite3.SQLITE_READONLY: SinkMisconfigured,
    sqlite3.SQLITE_CANTOPEN: SinkMisconfigured,
    sqlite3.SQLITE_NOTADB: SinkMisconfigured,
    sqlite3.SQLITE_CORRUPT: SinkMisconfigured,
    sqlite3.SQLITE_AUTH: SinkMisconfigured,
    sqlite3.SQLITE_ERROR: SinkMisconfigured,
    sqlite3.SQLITE_CONSTRAINT: SinkRejected,
    sqlite3.SQLITE_MISMATCH: SinkRejected,
    sqlite3.SQLITE_TOOBIG: SinkRejected,
    sqlite3.SQLITE_RANGE: SinkUnknown,
}
_HINTS = {
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and may be written",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; choose another",
    sqlite3.SQLITE_CORRUPT: "restore the file, or move it away",
    sqlite3.SQLITE_FULL: "make room on the disk",
}


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc*, raised by sqlite3, means."""
    message = f"SQLite: {exc}"
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", None)
        if code is not None:
            kind = CODES.get(code & 0xFF, SinkUnknown)
            return kind(message, hint=_HINTS.get(code & 0xFF))
        if isinstance(exc, (sqlite3.DataError, sqlite3.IntegrityError)):
            return SinkRejected(message)
        return SinkUnknown(message)
    if isinstance(exc, (OverflowError, UnicodeEncodeError)):
        return SinkRejected(message)
    return SinkUnknown(f"{type(exc).__name__}: {exc}")
