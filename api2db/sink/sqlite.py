"""
Rows into SQLite.

Instants, dates, decimals and JSON are text, for SQLite has no types for them; they get TEXT
columns because any other name would give a column an affinity that turns '007' into 7.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.casting import cast
from api2db.core.errors import SinkError, SinkUnavailable
from api2db.sink.conflict import on_conflict
from api2db.sink.fileurl import path_of
from api2db.sink.identifier import Fold, quote
from api2db.sink.load import YEARS, outside, where
from api2db.sink.sql import LEDGER, SqlSink
from api2db.sink.sqliteerrors import translate
from api2db.sink.sqliterebuild import is_ours, rebuild
from api2db.sink.table import Stale, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from api2db.sink.base import Delivery

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: How long to wait for another connection's write, in seconds.
BUSY = 10.0
#: Rows that are Python objects at one time.
PIECE_ROWS = 1_000
#: Kinds that lie in a column as text.
_TEXT = frozenset({"str", "datetime", "date", "decimal", "json"})
#: Text that a column of numeric affinity turns into a number: '007' into 7.
_NUMBER = r"^[\s\v]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[\s\v]*$"

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
    fold: ClassVar[Fold] = "ascii"

    def __init__(self, url: str, delivery: Delivery, *, base: Path) -> None:
        super().__init__(delivery)
        self._path = path_of(url, delivery, base)
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
        delete = f"delete from {LEDGER} where batch_id = ? and spool = ?"
        self._db.executemany(delete, [(marker, self.delivery.spool) for marker in markers])

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
        """Follow SQLite's rules of affinity (datatype3.html, 3.1): a column takes anything."""
        kind, declared = types.kind_of(coming), sql.upper()
        if "BOOL" in declared:
            return "bool"
        if "INT" in declared:
            return "int"
        if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
            return kind if kind in _TEXT else "str"
        if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
            return "float"
        return kind

    def _any(self, condition: str) -> bool:
        found = self._run(f"select 1 from {self.table} where {condition} limit 1")
        return found.fetchone() is not None

    def _alterable(self) -> bool:
        return is_ours(self._db, self.delivery.table)

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        self._begin()
        rebuild(self._db, self.delivery.table, ident, kind, self._natural(wider))
        self._commit()

    def _execute_ddl(self, statement: str) -> None:
        try:
            self._run(statement)
        except sqlite3.OperationalError as exc:
            if "no such table" in str(exc) or "duplicate column" in str(exc):
                raise Stale(str(exc)) from exc
            raise

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._run("begin immediate")

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._run("commit")

    def _rollback(self) -> None:
        if self._db.in_transaction:
            self._run("rollback")

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        if target.kind == "float":
            nan = where(_kernel.is_nan(column).combine_chunks())
            return dict.fromkeys(nan, f"{target.name}: SQLite would store NaN as NULL")
        if target.kind == "datetime":
            return outside(column, YEARS, f"{target.name}: text has years 1 to 9999 only")
        if target.kind in ("str", "decimal", "json") and _numeric(target.sql):
            number = where(_kernel.match_substring_regex(column, _NUMBER).combine_chunks())
            if target.kind == "str":
                reason = f"{target.name}: a column of type {target.sql} would make it a number"
            else:
                number = [row for row in number if not _kept(column[row].as_py())]
                reason = f"{target.name}: a column of type {target.sql} would round it"
            return dict.fromkeys(number, reason)
        return {}

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        self._db.executemany(self._insert(targets), _rows(columns, targets))

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        conflict = on_conflict(targets, self.delivery.upsert)
        self._db.executemany(f"{self._insert(targets)} {conflict}", _rows(columns, targets))

    def _insert(self, targets: Sequence[Target]) -> str:
        into = ", ".join(quote(target.ident) for target in targets)
        marks = ", ".join("?" for _ in targets)
        return f"insert into {self.table} ({into}) values ({marks})"

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        return translate(exc)


def _numeric(sql: str) -> bool:
    """Return whether a column of type *sql* that takes text turns digits into numbers."""
    declared = sql.upper()
    return bool(declared) and not any(w in declared for w in ("CHAR", "CLOB", "TEXT", "BLOB"))


def _kept(number: str) -> bool:
    """Return whether *number*, made an integer or a float of 64 bits, has the same digits."""
    exact = Decimal(number)
    if exact == exact.to_integral_value() and -(2**63) <= exact < 2**63:
        return True
    return Decimal(repr(float(number))) == exact


def _rows(
    columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
) -> Iterator[tuple[Any, ...]]:
    """Return each row as what sqlite3 binds: int, float, str, None."""
    sent = [_bound(columns[target.name], target) for target in targets]
    # Few rows at a time: their objects take the memory, still in the cache, of those before.
    pieces = range(0, len(sent[0]) if sent else 0, PIECE_ROWS)
    return chain.from_iterable(
        zip(*(column.slice(i, PIECE_ROWS).to_pylist() for column in sent), strict=True)
        for i in pieces
    )


def _bound(column: pa.ChunkedArray[Any], target: Target) -> pa.ChunkedArray[Any]:
    """Return a column as int, float or text."""
    if target.kind in ("datetime", "date"):
        text = pa.string()
        return pa.chunked_array([cast(chunk, text) for chunk in column.chunks], text)
    return column.cast(pa.int8()) if target.kind == "bool" else column
