"""The targets of a kill loop: each sabotaged in its own way, and read by its own client."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from tests.fault.oracle import gone_back
from tests.fault.outages import Outages
from tests.fault.proxy import Frontend, MysqlFrontend, Proxy, TlsFrontend
from tests.fixtures import bitio, mariadb, mysql, postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.mysqlserver import MysqlServer
    from tests.fixtures.postgres import Postgres

#: Where a load into a database, and the renaming of a file, can be killed.
IN_LOAD = (
    *("sink.before_marker", "sink.after_marker", "sink.mid_load"),
    *("sink.before_commit", "sink.after_commit"),
)
IN_RENAME = ("sink.before_rename", "sink.after_rename")
#: What `Target.landed` counts.
COUNTS = {
    "events": "select count(*) from events",
    "state": "select coalesce(sum(version), 0) from state",
}


class Target(ABC):
    """
    One target of the loop, a stream of its name in the configuration.

    Another one is a subclass and an entry in `TARGETS`.

    Attributes:
        tables: Which resources of the API it takes.
        daemon: Another command than ``api2db``, if it needs one.
        passes: The crash points of its sink.
    """

    name: ClassVar[str]
    tables: ClassVar[tuple[str, ...]] = ("events", "state")
    daemon: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[tuple[str, ...]] = IN_LOAD

    def __init__(self, folder: Path, seed: int) -> None:
        """Start what is needed; *folder* is the project's."""
        self.folder = folder
        self.outages: Outages | None = None
        self._landed = dict.fromkeys(self.tables, 0)
        self._versions: dict[Any, int] = {}

    @abstractmethod
    def stream(self) -> str:
        """Return what stands behind the stream's name in config.yaml."""

    @abstractmethod
    def landed(self) -> dict[str, int]:
        """Count events, add up versions, quickly; what was counted last if it is away now."""

    @abstractmethod
    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Read every row of *table*, by the target's own client."""

    @staticmethod
    def available() -> bool:
        """Return whether its server is installed."""
        return True

    @abstractmethod
    def delete_markers(self) -> None:
        """Delete the marker rows, if it is there."""

    def away(self) -> tuple[type[Exception], ...]:
        """Return what `rows` raises while it is away, or has no such table yet."""
        return (FileNotFoundError,)

    def look(self) -> list[str]:
        """Say what is older than at the last look; for when no daemon runs."""
        if "state" not in self.tables:
            return []
        try:
            versions = {row["id"]: row["version"] for row in self.rows("state")}
        except self.away():
            return []
        before, self._versions = self._versions, versions
        return gone_back(before, versions)

    def sabotage(self, longest: float) -> None:
        """Begin with outages of up to *longest* seconds, if it has any."""
        if self.outages is not None:
            self.outages.longest = longest
            self.outages.start()

    def heal(self) -> None:
        """Return when it serves again and will go on to."""
        if self.outages is not None:
            self.outages.heal()

    def foreign(self) -> list[str]:
        """Name what is there that nobody asked for."""
        return []

    def told(self) -> str:
        """Say what was done to it."""
        return f"outages={self.outages.count}" if self.outages is not None else ""

    def close(self) -> None:
        """End every process."""
        with suppress(RuntimeError):
            Target.heal(self)


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
        return self.server.database(quote(self.database, safe=""))  # type: ignore[union-attr]


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

        assert not hasattr(self.server, "socket_dsn")  # it is no PostgreSQL
        try:
            with (
                closing(self.server.connect("test", cursorclass=DictCursor)) as connection,  # type: ignore[call-arg]
                connection.cursor() as cursor,  # type: ignore[call-arg]
            ):
                cursor.execute(query)
                return list(cursor.fetchall())  # type: ignore[arg-type]
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


class SqliteTarget(Target):
    """A file in the project's folder."""

    name = "sqlite"

    def stream(self) -> str:
        return '{ url: "sqlite:///target.db" }'

    @property
    def path(self) -> Path:
        """Return the file."""
        return self.folder / "target.db"

    def away(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error,)

    def landed(self) -> dict[str, int]:
        counts = dict.fromkeys(COUNTS, 0)
        if self.path.exists():
            uri = f"file:{self.path}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                for table, query in COUNTS.items():
                    with suppress(sqlite3.OperationalError):
                        counts[table] = int(connection.execute(query).fetchone()[0])
        return counts

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(f'select * from "{table}"'):
                yield dict(row)

    def delete_markers(self) -> None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as lite, lite:
            lite.execute("delete from _api2db_batches")


class ParquetTarget(Target):
    """Shards in the project's folder."""

    name = "parquet"
    tables = ("events",)
    passes = IN_RENAME

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._rows_of: dict[Path, int] = {}

    def stream(self) -> str:
        return "{ local: shards }"

    def delete_markers(self) -> None:
        """Do nothing: a shard's name is its marker."""

    def landed(self) -> dict[str, int]:
        import pyarrow.parquet as pq

        for path in (self.folder / "shards" / "events").glob("*.parquet"):
            if path not in self._rows_of:
                self._rows_of[path] = pq.read_metadata(path).num_rows
        return {"events": sum(self._rows_of.values())}

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Read every shard by itself: each may have columns and types of its own."""
        import pyarrow.parquet as pq

        for shard in sorted((self.folder / "shards" / table).glob("*.parquet")):
            yield from pq.read_table(shard, partitioning=None).to_pylist()


TARGETS: dict[str, type[Target]] = {
    cls.name: cls
    for cls in (
        PostgresTarget,
        SecondPostgresTarget,
        BitioTarget,
        SqliteTarget,
        ParquetTarget,
        MariaDbTarget,
        MysqlTarget,
    )
}
