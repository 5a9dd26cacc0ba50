"""
Rows into PostgreSQL, by COPY BINARY.

Where the table's columns have exactly our types, rows are copied straight into it; COPY
BINARY checks nothing, so the catalog is read in the same transaction, under a lock that
keeps others from changing the table. Else, and for upserts, they are copied into a temporary
table of our types, and from there inserted with casts.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from api2db.core import types
from api2db.core.errors import SinkError, SinkUnavailable, SinkUnknown
from api2db.sink.conflict import on_conflict
from api2db.sink.identifier import quote
from api2db.sink.load import outside, where
from api2db.sink.pgcatalog import COLUMNS, CREATE_LEDGER, INSERT_MARKERS, UNIQUE
from api2db.sink.pgerrors import translate
from api2db.sink.pgstage import STAGE, Stage, copy_rows, read, where_changed
from api2db.sink.sql import LEDGER, SqlSink
from api2db.sink.table import Stale, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api2db.sink.base import Delivery

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

# A transaction of a lost connection may still hold our marker's row: wait, not for ever.
_SESSION = "set lock_timeout = '10s'; set timezone = 'UTC'"
_KINDS = {types.sql_type(types.arrow_type(kind), "postgresql"): kind for kind in types.NAMES}
# An instant as `core.casting.cast` writes it: as many fractional digits as it needs.
_INSTANT_TEXT = (
    "regexp_replace(regexp_replace(to_char({} at time zone 'UTC',"
    """ 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '\\.000000Z$', 'Z'),"""
    " '(\\.[0-9]{{3}})000Z$', '\\1Z')"
)
# Somebody else made, dropped or changed the same at the same time.
_CHANGED = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DuplicateObject,
    psycopg.errors.UniqueViolation,
    psycopg.errors.InternalError_,
)
#: Kinds whose values are equal in PostgreSQL only if they are in Arrow.
_PLAIN_KEYS = frozenset({"int", "bool", "str", "datetime", "date"})
# First and last instant and day that PostgreSQL has, in microseconds and days since 1970.
_INSTANTS = (-210_866_803_200_000_000, 2**63 - 1)
_DAYS = (-2_440_588, 2_145_042_541)
#: A ``\\u0000`` whose backslash is not itself escaped.
_JSON_NUL = r"(^|[^\\])(\\\\)*\\u0000"


class PostgresSink(SqlSink):
    """One table of a PostgreSQL database, through one connection."""

    dialect: ClassVar[types.Dialect] = "postgresql"
    reserved: ClassVar[frozenset[str]] = frozenset(
        {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}
    )

    def __init__(self, url: str, delivery: Delivery) -> None:
        super().__init__(delivery)
        scheme, colon, rest = url.partition(":")
        self._url = f"{scheme.partition('+')[0]}{colon}{rest}"
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._stage: Stage
        self._interrupted = False
        self._guard = threading.Lock()  # between `interrupt` and `close`, never held for long

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._interrupted = False
        defaults = {"connect_timeout": "10", "application_name": "api2db"}
        given = psycopg.conninfo.conninfo_to_dict(self._url)
        settings: dict[str, Any] = {**defaults, **given, "client_encoding": "utf8"}
        # Statements of a connection are few and tables may change: prepare nothing.
        self._connection = psycopg.connect(**settings, autocommit=True, prepare_threshold=None)
        self._stage = Stage(self._connection)
        self._run(_SESSION)

    @property
    def _db(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise SinkUnavailable("not connected")
        return self._connection

    def interrupt(self) -> None:
        """Close the socket from outside: libpq never returns from a stopped server."""
        self._interrupted = True
        with self._guard:
            connection = self._connection
            if connection is None:
                return
            # The number belongs to libpq; a duplicate can be closed here.
            with (
                suppress(OSError, psycopg.Error),
                socket.socket(fileno=os.dup(connection.fileno())) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, without a word to a server that may hang."""
        with self._guard:
            connection, self._connection = self._connection, None
            if connection is not None:
                with suppress(psycopg.Error):
                    connection.close()

    def _run(self, query: str, *params: object) -> psycopg.Cursor[tuple[Any, ...]]:
        # Every name in *query* went through `quote`; it is SQL, not data.
        return self._db.execute(sql.SQL(query), params or None)

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        if self._run("select to_regclass(%s)", LEDGER).fetchone() == (None,):
            with suppress(*_CHANGED):  # another sink made it at the same time
                self._run(CREATE_LEDGER)

    def _markers(self) -> list[str]:
        where = "where spool = %s and collector = %s and stream = %s"
        d = self.delivery
        found = self._run(f"select batch_id from {LEDGER} {where}", d.spool, d.collector, d.stream)
        return [row[0] for row in found]

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d = self.delivery
        found = self._run(
            INSERT_MARKERS,
            d.spool,
            d.collector,
            d.stream,
            list(rows),
            list(rows.values()),
        )
        return [row[0] for row in found]

    def _unmark(self, markers: Sequence[str]) -> None:
        where = "where batch_id = any(%s) and spool = %s"
        self._run(f"delete from {LEDGER} {where}", list(markers), self.delivery.spool)

    # -- the table -----------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        return dict(self._run(COLUMNS, self.table).fetchall()) or None

    def _unique_keys(self) -> list[set[str]]:
        return [set(row[0]) for row in self._run(UNIQUE, self.table)]

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        return _KINDS.get(sql)

    def _any(self, condition: str) -> bool:
        found = self._run(f"select 1 from {self.table} where {condition} limit 1")
        return found.fetchone() is not None

    def _alterable(self) -> bool:
        return True

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        name, to = quote(ident), self._natural(wider)
        using = _INSTANT_TEXT.format(name) if kind == "datetime" else name
        using = f"to_jsonb({using})" if to == "jsonb" else f"({using})::{to}"
        self._execute_ddl(f"alter table {self.table} alter column {name} type {to} using {using}")

    def _execute_ddl(self, statement: str) -> None:
        try:
            self._run(statement)
        except _CHANGED as exc:
            raise Stale(str(exc)) from exc

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._run("begin")
        self._stage.begin()

    def _commit(self) -> None:
        if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._run("commit")

    def _rollback(self) -> None:
        if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._stage.forget()
            self._run("rollback")

    def _verify(self) -> None:
        try:
            self._run(f"lock table {self.table} in row exclusive mode")
        except psycopg.errors.UndefinedTable as exc:
            raise Stale("it was dropped") from exc
        self._compare()

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        """Name what lies outside of PostgreSQL's calendar; the rest it refuses by itself."""
        if target.kind not in ("datetime", "date"):
            return {}
        limits = _INSTANTS if target.kind == "datetime" else _DAYS
        reason = f"{target.name}: outside of what a {target.sql} of PostgreSQL holds"
        return outside(column, limits, reason)

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        if all(target.natural and target.kind != "decimal" for target in targets):
            into = ", ".join(quote(target.ident) for target in targets)
            copy_rows(self._db, f"{self.table} ({into})", columns, targets)
            return
        self._stage.fill(columns, targets)
        values = ", ".join(read(i, target) for i, target in enumerate(targets))
        self._run(f"{self._insert(targets)} select {values} from {STAGE} order by n")

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        self._stage.fill(columns, targets)
        values = ", ".join(read(i, target) for i, target in enumerate(targets))
        keys = [(i, t) for i, t in enumerate(targets) if t.name in self.delivery.upsert]
        select = f"select {values} from {STAGE}"
        if not all(target.natural and target.kind in _PLAIN_KEYS for _, target in keys):
            # Keys that differ as sent may be one when read: 5 and 5.0, or citext.
            shown = ", ".join(read(i, target) for i, target in keys)
            select = f"select distinct on ({shown}) {values} from {STAGE} order by {shown}, n desc"
        changed = where_changed([t for t in targets if t.name not in self.delivery.upsert])
        conflict = on_conflict(targets, self.delivery.upsert, changed)
        self._run(f"{self._insert(targets)} {select} {conflict}")

    def _insert(self, targets: Sequence[Target]) -> str:
        into = ", ".join(quote(target.ident) for target in targets)
        return f"insert into {self.table} as existing ({into})"

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        if isinstance(exc, psycopg.Error):
            return translate(exc, interrupted=self._interrupted)
        return SinkUnknown(f"{type(exc).__name__}: {exc}")

    def _blamed(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> dict[int, str]:
        """Find the NULs, the only text that PostgreSQL refuses anywhere, and what it alters."""
        bad: dict[int, str] = {}
        for target in targets:
            column = columns[target.name]
            if not pa.types.is_string(column.type):
                continue
            nul = _kernel.match_substring(column, "\0")
            if target.kind == "json":
                nul = _kernel.or_(nul, _kernel.match_substring_regex(column, _JSON_NUL))
            found = where(nul.combine_chunks())
            bad |= dict.fromkeys(found, f"{target.name}: PostgreSQL has no NUL in text")
        if self._db.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            bad |= self._stage.blamed(columns, targets)
        return bad
