"""
Rows into PostgreSQL, by COPY BINARY.

Where the table's columns have exactly our types, rows are copied straight into it; COPY
BINARY checks nothing, so the catalog is read in the same transaction, under a lock that
keeps others from changing the table. Else, and for upserts, they are copied into a temporary
table of our types, and from there inserted with casts.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
import pyarrow as pa
from psycopg import sql

from api2db.core import types
from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink import pgcopy
from api2db.sink.identifier import quote
from api2db.sink.sql import LEDGER, SqlSink, Stale, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from api2db.sink.base import Delivery

logger = logging.getLogger(__name__)

# A transaction of a lost connection may still hold our marker's row: wait, not for ever.
_SESSION = "set lock_timeout = '10s'; set timezone = 'UTC'"
_KINDS = {
    types.sql_type(types.arrow_type(kind), "postgresql"): kind for kind in types.NAMES
}
_CREATE_LEDGER = f"""
create table if not exists {LEDGER} (
  batch_id text primary key,
  spool text not null,
  collector text not null,
  stream text not null,
  n_rows bigint not null,
  loaded_at timestamp with time zone not null default now()
)"""
_INSERT_MARKERS = f"""
insert into {LEDGER} (batch_id, spool, collector, stream, n_rows)
select id, %s, %s, %s, n from unnest(%s::text[], %s::bigint[]) as new (id, n)
on conflict do nothing returning batch_id"""
_COLUMNS = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum"""
_UNIQUE = """
select array_agg(a.attname::text) from pg_index i
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = to_regclass(%s) and i.indisunique and i.indisvalid and i.indpred is null
  and i.indexprs is null and i.indnkeyatts = i.indnatts
group by i.indexrelid"""


class PostgresSink(SqlSink):
    """One table of a PostgreSQL database, through one connection."""

    dialect: ClassVar[types.Dialect] = "postgresql"

    def __init__(self, url: str, delivery: Delivery) -> None:
        super().__init__(delivery)
        scheme, colon, rest = url.partition(":")
        self._url = f"{scheme.partition('+')[0]}{colon}{rest}"
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._stage: tuple[tuple[str, str], ...] = ()
        self._interrupted = False

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._interrupted = False
        self._stage = ()
        defaults = {"connect_timeout": "10", "application_name": "api2db"}
        given = psycopg.conninfo.conninfo_to_dict(self._url)
        conninfo = psycopg.conninfo.make_conninfo(**{**defaults, **given})  # type: ignore[arg-type]
        # Statements of a connection are few and tables may change: prepare nothing.
        self._connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        self._run(_SESSION)

    @property
    def _db(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self._connection is None:
            raise SinkUnavailable("not connected")
        return self._connection

    def interrupt(self) -> None:
        """Close the socket from outside: libpq never returns from a stopped server."""
        self._interrupted = True
        connection = self._connection
        if connection is None:
            return
        with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as s:
            s.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, without a word to a server that may hang."""
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
            self._run(_CREATE_LEDGER)

    def _markers(self) -> list[str]:
        where = "where spool = %s and collector = %s and stream = %s"
        d = self.delivery
        found = self._run(f"select batch_id from {LEDGER} {where}", d.spool, d.collector, d.stream)
        return [row[0] for row in found]

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d = self.delivery
        found = self._run(
            _INSERT_MARKERS, d.spool, d.collector, d.stream, list(rows), list(rows.values())
        )
        return [row[0] for row in found]

    def _unmark(self, markers: Sequence[str]) -> None:
        self._run(f"delete from {LEDGER} where batch_id = any(%s)", list(markers))

    # -- the table -----------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        return dict(self._run(_COLUMNS, self.table).fetchall()) or None

    def _unique_keys(self) -> list[set[str]]:
        return [set(row[0]) for row in self._run(_UNIQUE, self.table)]

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        return _KINDS.get(sql)

    def _exact(self, ident: str) -> bool:
        name = quote(ident)
        far = f"{name} > {types.EXACT_INT} or {name} < -{types.EXACT_INT}"
        return self._run(f"select 1 from {self.table} where {far} limit 1").fetchone() is None

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        name, to = quote(ident), self._natural(wider)
        using = f"{name}::{to}"
        if to == "jsonb":
            using = f"to_jsonb({name})"
        elif kind == "datetime":
            utc = f"{name} at time zone 'UTC'"
            using = f"""to_char({utc}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        self._run(f"alter table {self.table} alter column {name} type {to} using {using}")

    def _execute_ddl(self, statement: str) -> None:
        self._run(statement)

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._run("begin")

    def _commit(self) -> None:
        if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._run("commit")

    def _rollback(self) -> None:
        if self._db.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            self._run("rollback")

    def _verify(self) -> None:
        try:
            self._run(f"lock table {self.table} in row exclusive mode")
        except psycopg.errors.UndefinedTable as exc:
            raise Stale("it was dropped") from exc
        if self._columns() != self._known:
            raise Stale("its columns are different")

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        return {}  # what PostgreSQL cannot hold it refuses

    def _append(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        if all(target.natural and target.kind != "decimal" for target in targets):
            into = ", ".join(quote(target.ident) for target in targets)
            self._copy(f"{self.table} ({into})", columns, targets)
            return
        self._run(f"{self._insert(columns, targets)} order by n")

    def _upsert(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        idents = {target.name: target.ident for target in targets}
        keys = [idents[key] for key in self.delivery.upsert]
        rest = [target for target in targets if target.ident not in keys]
        conflict = f"on conflict ({', '.join(map(quote, keys))}) do"
        insert = self._insert(columns, targets, alias="existing")
        if not rest:
            self._run(f"{insert} {conflict} nothing")
            return
        names = [quote(target.ident) for target in rest]
        changes = ", ".join(f"{name} = excluded.{name}" for name in names)
        # An unchanged row costs no new version; json has no comparison.
        same = ""
        if all(target.sql != "json" for target in rest):
            old = ", ".join(f"existing.{name}" for name in names)
            new = ", ".join(f"excluded.{name}" for name in names)
            same = f"where ({old}) is distinct from ({new})"
        self._run(f"{insert} {conflict} update set {changes} {same}")

    def _insert(
        self,
        columns: Mapping[str, pa.ChunkedArray[Any]],
        targets: Sequence[Target],
        alias: str = "existing",
    ) -> str:
        """Copy the rows into the temporary table; return the statement that moves them on."""
        sent = tuple((f"c{i}", _sent_as(target)) for i, target in enumerate(targets))
        if sent != self._stage:
            self._run("drop table if exists pg_temp._api2db_stage")
            body = ", ".join(f"{name} {kind}" for name, kind in sent)
            self._run(
                "create temporary table _api2db_stage"
                f" (n bigint generated always as identity, {body}) on commit delete rows"
            )
            self._stage = sent
        stage_names = ", ".join(name for name, _ in sent)
        self._copy(f"pg_temp._api2db_stage ({stage_names})", columns, targets)
        into = ", ".join(quote(target.ident) for target in targets)
        values = ", ".join(
            f"{name}::{target.sql}" if _must_cast(target) else name
            for (name, _), target in zip(sent, targets, strict=True)
        )
        return f"insert into {self.table} as {alias} ({into}) select {values} from pg_temp._api2db_stage"

    def _copy(
        self, into: str, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        kinds = ["str" if target.kind == "decimal" else target.kind for target in targets]
        statement = sql.SQL(f"copy {into} from stdin (format binary)")
        with self._db.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(pgcopy.HEADER)
            for rows in _slices([columns[target.name] for target in targets]):
                copy.write(memoryview(pgcopy.encode(rows, kinds)))
            copy.write(pgcopy.TRAILER)

    def _undo(self) -> None:
        self._stage = ()  # it may have been made in the transaction that is rolled back
        super()._undo()

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        if isinstance(exc, psycopg.Error):
            return translate(exc, interrupted=self._interrupted)
        return SinkUnknown(f"{type(exc).__name__}: {exc}")


def _sent_as(target: Target) -> str:
    kind = "str" if target.kind == "decimal" else target.kind
    return types.sql_type(types.arrow_type(kind), "postgresql")


def _must_cast(target: Target) -> bool:
    """
    Return whether the text that was sent must be read as the column's type.

    Reading a text refuses what does not fit, where a cast between numbers would round. But an
    explicit cast to ``varchar(n)`` cuts off, where an assignment refuses.
    """
    return target.kind == "decimal" or not (target.natural or target.sql.startswith("character"))


def _slices(columns: Sequence[pa.ChunkedArray[Any]]) -> Iterator[list[pa.Array[Any]]]:
    """Yield the columns a run of rows at a time, each without an inner boundary."""
    table = pa.Table.from_arrays(list(columns), names=[str(i) for i in range(len(columns))])
    for batch in table.to_batches():
        if batch.num_rows:
            yield batch.columns


#: SQLSTATE classes and states (appendix A of the manual) -> kind; the longest prefix wins.
STATES: dict[str, type[SinkError]] = {
    "08": SinkUnavailable,  # connection exception
    "0A": SinkMisconfigured,  # feature not supported
    "0L": SinkMisconfigured,
    "0P": SinkMisconfigured,
    "21": SinkRejected,  # cardinality violation
    "22": SinkRejected,  # data exception
    "23": SinkRejected,  # integrity constraint violation
    "25006": SinkUnavailable,  # read-only transaction: a standby, during a failover
    "25P03": SinkUnavailable,
    "25P04": SinkUnavailable,
    "28": SinkMisconfigured,  # invalid authorization
    "3D": SinkMisconfigured,  # no such database
    "3F": SinkMisconfigured,  # no such schema
    "40": SinkUnavailable,  # serialization failure, deadlock
    "40003": SinkUnknown,  # statement completion unknown
    "42": SinkMisconfigured,  # syntax, access rule, undefined object
    "44": SinkRejected,  # with check option violation
    "53": SinkUnavailable,  # insufficient resources
    "54": SinkMisconfigured,  # program limit exceeded: too many columns, a row too large
    "54000": SinkRejected,
    "55": SinkUnavailable,  # object not in prerequisite state, lock not available
    "57": SinkUnavailable,  # operator intervention: shutdown, cancelled
    "58": SinkUnavailable,  # system error
    "P0": SinkRejected,  # raised by a user's trigger
    "XX": SinkUnknown,
}
#: What libpq says at login, where it hands on no SQLSTATE.
_LOGIN = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "does not exist",
    "permission denied",
    "not permitted to log in",
    "certificate",
    "invalid connection option",
    "invalid value for parameter",
    "could not translate host name",
)


def translate(exc: psycopg.Error, *, interrupted: bool = False) -> SinkError:
    """Return the error of ours that *exc* means; the message names no row's content."""
    state = exc.sqlstate or ""
    text = (exc.diag.message_primary or str(exc)).strip().splitlines() or [type(exc).__name__]
    message = f"PostgreSQL: {text[0]}" + (f" ({state})" if state else "")
    if interrupted:
        return SinkUnavailable("PostgreSQL did not answer in time; the connection was cut")
    for length in (5, 2):
        kind = STATES.get(state[:length]) if state else None
        if kind is not None:
            return kind(message)
    if state:
        return SinkUnknown(message)
    if isinstance(exc, (psycopg.DataError, psycopg.IntegrityError)):
        return SinkRejected(message)
    if isinstance(exc, psycopg.NotSupportedError):
        return SinkMisconfigured(message)
    if isinstance(exc, (psycopg.OperationalError, psycopg.InterfaceError)):
        whole = str(exc).lower()
        if any(words in whole for words in _LOGIN):
            hint = "check the url of the stream; it is tried again by itself"
            return SinkMisconfigured(message, hint=hint)
        return SinkUnavailable(message)
    if isinstance(exc, psycopg.ProgrammingError):
        hint = "check the url of the stream"
        return SinkMisconfigured(message, hint=hint)
    return SinkUnknown(message)
