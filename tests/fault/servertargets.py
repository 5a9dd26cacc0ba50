"""Targets of a kill loop that are database servers: stopped as by a crash, behind a proxy."""

from __future__ import annotations

import json
from abc import abstractmethod
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from tests.fault.outages import Outages
from tests.fault.proxy import Frontend, MysqlFrontend, Proxy, TlsFrontend
from tests.fault.targets import COUNTS, TARGETS, Target
from tests.fixtures import bitio, mariadb, mysql, postgres
from tests.fixtures.mysqlserver import MysqlServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.postgres import Postgres


class Server(Target):
    """A database server behind a proxy that cuts, stopped as by a crash every few seconds."""

    frontend: ClassVar[type[Frontend]]

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.server = self.start()
        seed += len(self.name)  # servers shall not fail in step
        self.proxy = Proxy(self.server.port, seed, self.frontend)
        port = self.server.port
        self.outages = Outages(
            lambda: self.server.stop("immediate"), lambda: self.server.start(port), seed
        )

    @abstractmethod
    def start(self) -> Postgres | MysqlServer:
        """Return a running server with durable commits."""

    @abstractmethod
    def count(self) -> dict[str, int]:
        """Return what `COUNTS` asks, 0 where there is no table; raises if it is away."""

    def url(self) -> str:
        """Return the URL through the proxy."""
        through = self.server.dsn.replace(f":{self.server.port}/", f":{self.proxy.port}/")
        if through == self.server.dsn:
            raise RuntimeError("the DSN does not show the port: the proxy would be left out")
        return through

    def stream(self) -> str:
        return f'{{ url: "{self.url()}" }}'

    def landed(self) -> dict[str, int]:
        with suppress(ConnectionError):
            self._landed = self.count()
        return self._landed

    def heal(self) -> None:
        super().heal()
        self.proxy.cutting = False

    def told(self) -> str:
        return f"{super().told()} commits={self.proxy.commits} cuts={self.proxy.cuts}"

    def close(self) -> None:
        super().close()
        self.proxy.close()
        self.server.destroy()


class PostgresTarget(Server):
    """PostgreSQL, read with psycopg."""

    name = "postgresql"
    frontend = Frontend

    @staticmethod
    def available() -> bool:
        return postgres.binaries() is not None

    @property
    def dsn(self) -> str:
        """Return the URL that is not through the proxy."""
        return self.server.dsn

    def start(self) -> Postgres:
        server = postgres.Postgres()
        server.start()
        return server

    def away(self) -> tuple[type[Exception], ...]:
        import psycopg

        return (psycopg.Error,)

    def count(self) -> dict[str, int]:
        import psycopg

        counts = dict.fromkeys(COUNTS, 0)
        try:
            with psycopg.connect(self.dsn, connect_timeout=2) as connection:
                for table, query in COUNTS.items():
                    try:
                        row = connection.execute(query).fetchone()
                        counts[table] = int(row[0]) if row else 0
                    except psycopg.errors.UndefinedTable:
                        connection.rollback()
        except psycopg.OperationalError as exc:
            raise ConnectionError(str(exc)) from exc
        return counts

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import psycopg
        from psycopg.rows import dict_row
        from psycopg.sql import SQL, Identifier

        with (
            psycopg.connect(self.dsn) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            cursor.execute(SQL("select * from {}").format(Identifier(table)))
            yield from cursor

    def delete_markers(self) -> None:
        import psycopg

        with (
            suppress(psycopg.Error),
            psycopg.connect(self.dsn, connect_timeout=2) as connection,
        ):
            connection.execute("delete from _api2db_batches")

    def foreign(self) -> list[str]:
        """Name every relation and trigger."""
        import psycopg

        with psycopg.connect(self.dsn) as connection:
            tables = connection.execute(
                "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " where n.nspname = 'public' and c.relkind in ('r', 'v', 'm', 'S', 'f', 'p')"
                " and c.relname not in ('events', 'state', '_api2db_batches')"
            ).fetchall()
            triggers = connection.execute(
                "select tgname from pg_trigger where not tgisinternal"
            ).fetchall()
        return [str(name) for (name,) in tables + triggers]


class SecondPostgresTarget(PostgresTarget):
    """Another stream of the same type, to a server of its own."""

    name = "postgresql2"


class BitioTarget(PostgresTarget):
    """The stand-in for bit.io: PostgreSQL over TLS, which the proxy sees the lengths of."""

    name = "bitio"
    frontend = TlsFrontend

    def start(self) -> Postgres:
        server = bitio.BitioServer()
        server.start()
        self.database = server.create_bitio("kill")
        # It is read by its superuser.
        return server

    def stream(self) -> str:
        assert isinstance(self.server, bitio.BitioServer)
        auth = self.folder / "AUTH" / "bitio.json"
        auth.parent.mkdir(exist_ok=True)
        auth.touch(mode=0o600)
        auth.write_text(json.dumps({"api_key": bitio.KEY, "base_url": self.server.base_url}))
        where = f"host: 127.0.0.1, port: {self.proxy.port}, ca: {self.server.ca}"
        return f"{{ bitio: {{ database: {self.database}, auth: AUTH/bitio.json, {where} }} }}"

    @property
    def dsn(self) -> str:
        return self.server.database(quote(self.database, safe=""))


class MysqlTarget(Server):
    """MySQL, read with PyMySQL; without TLS, which would hide the COMMITs from the proxy."""

    name = "mysql"
    frontend = MysqlFrontend

    @staticmethod
    def available() -> bool:
        return mysql.binaries() is not None

    def start(self) -> MysqlServer:
        server = mysql.MySql()
        server.start()
        return server

    def url(self) -> str:
        return f"{super().url()}?ssl_disabled=true"

    def _query(self, query: str) -> list[dict[str, Any]]:
        import pymysql
        from pymysql.cursors import DictCursor

        assert isinstance(self.server, MysqlServer)
        try:
            with (
                closing(self.server.connect("test", cursorclass=DictCursor)) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(query)
                return list(cursor.fetchall())
        except (pymysql.OperationalError, pymysql.InterfaceError) as exc:
            raise ConnectionError(str(exc)) from exc

    def away(self) -> tuple[type[Exception], ...]:
        import pymysql

        return (pymysql.Error, ConnectionError)

    def count(self) -> dict[str, int]:
        import pymysql

        counts = dict.fromkeys(COUNTS, 0)
        for table, query in COUNTS.items():
            with suppress(pymysql.ProgrammingError):
                ((found,),) = (row.values() for row in self._query(query))
                counts[table] = int(found)
        return counts

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        yield from self._query(f"select * from `{table}`")

    def delete_markers(self) -> None:
        import pymysql

        with suppress(pymysql.Error, ConnectionError):
            self._query("delete from _api2db_batches")

    def foreign(self) -> list[str]:
        """Name every table, column and trigger."""
        found = self._query(
            "select table_name as name from information_schema.tables where table_schema = 'test'"
            " and table_name not in ('events', 'state', '_api2db_batches')"
            " union all select trigger_name from information_schema.triggers"
            " where trigger_schema = 'test'"
            " union all select column_name from information_schema.columns"
            " where table_schema = 'test' and column_name = '_api2db_wide'"
        )
        return [str(row["name"]) for row in found]


class MariaDbTarget(MysqlTarget):
    """MariaDB."""

    name = "mariadb"

    @staticmethod
    def available() -> bool:
        return mariadb.binaries() is not None

    def start(self) -> MysqlServer:
        server = mariadb.MariaDb()
        server.start()
        return server


TARGETS |= {
    cls.name: cls
    for cls in (
        PostgresTarget,
        SecondPostgresTarget,
        BitioTarget,
        MariaDbTarget,
        MysqlTarget,
    )
}
