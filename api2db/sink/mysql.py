"""
Rows into MariaDB and MySQL, by LOAD DATA LOCAL.

LOAD DATA makes warnings of what a strict INSERT refuses: it cuts off, puts 0, leaves out. So a
load that warned, or that took another number of rows, is undone and done again as INSERTs,
which name the row. So it is where the server forbids LOAD DATA LOCAL. Upserts are INSERTs.

The two servers differ in the names of collations, in how JSON is a type, and in how an upsert
names the new row; all of it hangs on `MysqlTable.mariadb`.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import pymysql

from api2db.core.errors import SinkError, SinkRejected
from api2db.sink import mysqlrows
from api2db.sink.load import where
from api2db.sink.mysqlconnection import settings
from api2db.sink.mysqldriver import connector
from api2db.sink.mysqlerrors import number, translate
from api2db.sink.mysqltable import CHANGED, MysqlTable
from api2db.sink.mysqltypes import unfit
from api2db.sink.sql import LEDGER, SqlSink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from api2db.sink.base import Delivery
    from api2db.sink.table import Target

logger = logging.getLogger(__name__)

#: Bytes of one INSERT; more bring nothing.
_STATEMENT = 2**20
_CREATE_LEDGER = f"""
create table if not exists {LEDGER} (
  batch_id varchar(128) character set ascii collate ascii_bin primary key,
  spool varchar(32) character set ascii collate ascii_bin not null,
  collector varchar(128) character set ascii collate ascii_bin not null,
  stream varchar(63) character set ascii collate ascii_bin not null,
  n_rows bigint not null,
  loaded_at datetime(6) not null default current_timestamp(6)
) engine=InnoDB"""
_NEW = "_api2db_new"  # what an upsert calls the new row
_FORBIDDEN = frozenset({1148, 2068, 3948, 4166})  # LOAD DATA LOCAL
_AT_ROW = re.compile(r" at row (\d+)\b")
_NULL = re.compile(r"Column '(.*)' cannot be null")


class MysqlSink(MysqlTable, SqlSink):
    """One table of a MariaDB or MySQL database, through one connection."""

    def __init__(self, url: str, delivery: Delivery) -> None:
        where = f"streams.{delivery.stream}.url"
        self._settings = settings(url, where)
        self._connector = connector(url.partition(":")[0].partition("+")[2], where)
        mariadb = url.lower().startswith("mariadb")
        super().__init__(delivery, mariadb=mariadb, database=self._settings["database"])
        self.name = f"sql.{'mariadb' if mariadb else 'mysql'}"
        self._refusal: tuple[int, SinkError] | None = None  # of an INSERT, and its first row

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._connection = self._connector(self._settings)
        self._connection.open()
        self.mariadb = self._connection.mariadb

    def interrupt(self) -> None:
        """Close the socket from outside."""
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Close the connection, without waiting for a server that may hang."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        place = (self._settings["database"], LEDGER)
        try:
            self._db.run(f"select 1 from {LEDGER} limit 0")
        except pymysql.MySQLError as exc:
            if number(exc) not in CHANGED:
                raise
            self._db.run(_CREATE_LEDGER)
        self._check_engine(LEDGER, place)

    def _markers(self) -> list[str]:
        d = self.delivery
        found = self._db.run(
            f"select batch_id from {LEDGER} where spool = %s and collector = %s and stream = %s",
            *(d.spool, d.collector, d.stream),
        )
        return [row[0] for row in found]

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d, made = self.delivery, list[str]()
        for some in _slices(list(rows)):
            among = ", ".join(["%s"] * len(some))
            ask = f"select batch_id from {LEDGER} where batch_id in ({among})"
            there = {row[0] for row in self._db.run(ask, *some)}
            new = [marker for marker in some if marker not in there]
            if new:
                into = "(batch_id, spool, collector, stream, n_rows)"
                lists = ", ".join(["(%s, %s, %s, %s, %s)"] * len(new))
                each = [(marker, d.spool, d.collector, d.stream, rows[marker]) for marker in new]
                values = [value for row in each for value in row]
                self._db.run(f"insert into {LEDGER} {into} values {lists}", *values)
            made += new
        return made

    def _unmark(self, markers: Sequence[str]) -> None:
        for some in _slices(markers):
            among = ", ".join(["%s"] * len(some))
            where = f"batch_id in ({among}) and spool = %s"
            self._db.run(f"delete from {LEDGER} where {where}", *some, self.delivery.spool)

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._db.run("begin")

    def _commit(self) -> None:
        self._db.run("commit")

    def _rollback(self) -> None:
        self._db.run("rollback")

    def _verify(self) -> None:
        try:
            # Keeps others from altering the table, by the lock that the load needs: a weaker
            # one would be a deadlock with an ALTER that waits between the two.
            self._db.run(f"select 1 from {self.table} limit 0 for update")
        except pymysql.MySQLError as exc:
            raise self._stale(exc) from exc
        self._compare()

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        described = self._described[target.ident]
        return unfit(column, target.name, target.kind, described, exact_json=self.mariadb)

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        if not (self._db.infile and self._load_file(columns, targets)):
            self._insert(columns, targets, "")

    def _load_file(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> bool:
        """Load all rows; return whether all of them landed as they are, else nothing did."""
        arrays, kinds = [columns[t.name] for t in targets], [t.kind for t in targets]
        into = ", ".join(self._quote(target.ident) for target in targets)
        statement = f"load data local infile 'rows' into table {self.table} {mysqlrows.FORMAT}"
        self._db.run("savepoint api2db")
        try:
            data = mysqlrows.infile(arrays, kinds)
            sent, rows, warnings = self._db.load(f"{statement} ({into})", data)
        except pymysql.MySQLError as exc:
            forbidden = number(exc) in _FORBIDDEN
            if not forbidden and not self._is_data_error(exc):
                raise
            if forbidden:
                self._db.infile = False
        else:
            if not warnings and rows == sent:
                return True
        self._db.run("rollback to savepoint api2db")
        return False

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        new = "value({0})" if self.mariadb else f"{_NEW}.{{0}}"
        old = self.table
        keys = [self._quote(t.ident) for t in targets if t.name in self.delivery.upsert]
        same = " and ".join(f"{old}.{key} <=> {new.format(key)}" for key in keys)
        # Another unique index may have found another row: that must fail, not change its key.
        guard = f"{keys[0]} = if(({same}) or exp(710 + rand()), {old}.{keys[0]}, {old}.{keys[0]})"
        rest = [self._quote(t.ident) for t in targets if t.name not in self.delivery.upsert]
        changes = ", ".join([guard, *(f"{name} = {new.format(name)}" for name in rest)])
        alias = "" if self.mariadb else f" as {_NEW}"
        self._insert(columns, targets, f"{alias} on duplicate key update {changes}")

    def _insert(
        self,
        columns: Mapping[str, pa.ChunkedArray[Any]],
        targets: Sequence[Target],
        action: str,
    ) -> None:
        """Insert all rows, strictly; *action* is what follows the values."""
        arrays, kinds = [columns[t.name] for t in targets], [t.kind for t in targets]
        into = ", ".join(self._quote(target.ident) for target in targets)
        head = f"insert into {self.table} ({into}) values ".encode()
        room = self._db.packet - len(head) - len(action.encode()) - 64
        start = 0
        for values, n in mysqlrows.values(arrays, kinds, min(_STATEMENT, room)):
            if len(values) > room:
                size = f"max_allowed_packet ({self._db.packet} bytes)"
                refusal = SinkRejected(f"the row is larger than {size} at row 1")
                self._refusal = (start, refusal)
                raise refusal
            try:
                self._db.send(head + values + action.encode())
            except pymysql.MySQLError as exc:
                self._refusal = (start, self._translate(exc))
                raise
            start += n

    # -- errors --------------------------------------------------------------------

    def _blamed(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> dict[int, str]:
        """Ask the server's words: they name the row of an INSERT, or the column that is NULL."""
        refusal, self._refusal = self._refusal, None
        if refusal is None:
            return {}
        start, reason = refusal[0], str(refusal[1].args[0])
        null = _NULL.search(reason)
        if null is not None:
            found = [columns[t.name] for t in targets if t.ident == null[1]]
            return {row: reason for column in found for row in where(column.is_null())}
        at = _AT_ROW.search(reason)
        if at is None or self.delivery.upsert:  # of an upsert not every row was sent
            return {}
        return {start + int(at[1]) - 1: _AT_ROW.sub("", reason)}

    def _translate(self, exc: Exception) -> SinkError:
        interrupted = self._connection is not None and self._connection.interrupted
        server = "MariaDB" if self.mariadb else "MySQL"
        return translate(exc, server, interrupted=interrupted)


def _slices(markers: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield *markers*, a thousand at a time: a statement has a largest size."""
    for start in range(0, len(markers), 1000):
        yield markers[start : start + 1000]
