"""Rows into SQL databases."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api2db.core.errors import ConfigError
from api2db.sink.target import Database
from api2db.stream import existing
from api2db.stream.login import login
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy.engine import Engine

logger = logging.getLogger(__name__)

#: Dialect -> scheme of its URLs, driver. Amazon Aurora is spoken to as MySQL.
_DIALECTS = {
    "mysql": ("mysql", "pymysql"),
    "mariadb": ("mariadb", "pymysql"),
    "postgresql": ("postgresql", "psycopg"),
    "amazon_aurora": ("mysql", "pymysql"),
    "oracle": ("oracle", "oracledb"),
    "microsoft_sql": ("mssql", "pymssql"),
}


class Stream2Sql(Stream):
    """
    Streams the rows of a collector into a table of a SQL database, each row once.

    The table is made, and widened, by what the rows hold.

    Args:
        name: The collector, and the table.
        db_name: The database; it must be there.
        dialect: ``mysql``, ``mariadb``, ``postgresql``, ``amazon_aurora`` (its MySQL form; for its
            PostgreSQL form give ``postgresql``), ``oracle`` or ``microsoft_sql``.
        username: With *password* and *host*: in place of *auth_path*, or above it.
        auth_path: File of AUTH/ with ``username``, ``password``, ``host``, and perhaps ``port``.
        port: By default the dialect's own.
        if_exists: ``append``: rows are added; ``replace``: each DataFrame takes the place of all
            rows; ``fail``: nothing is written into a table that was there before.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        store: Whether a store owns the stream.

    Attributes:
        driver: The package that speaks to the database.
        engine_str: The URL, for `sqlalchemy.create_engine`. It holds the password.
        log_str: The URL for logs, without user and password.
        con: The engine, once `connect` has made it.
        connected: Whether `connect` has reached the database.

    Raises:
        ConfigError: The credentials are incomplete, or an argument is none of those above. It
            is a ValueError, and never shows a secret.
    """

    def __init__(
        self,
        name: str,
        db_name: str,
        dialect: str,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        auth_path: str | None = None,
        port: str = "",
        if_exists: str = "append",
        chunk_size: int = 0,
        store: bool = False,
    ) -> None:
        super().__init__(
            name=name, chunk_size=chunk_size, stream_type=f"sql.{dialect}", store=store
        )
        given = {"username": username, "password": password, "host": host}
        found = login(name, auth_path, {**given, "port": port or None}, optional=("port",))
        self.username, self.password, self.host = (found[key] for key in given)
        self.port = found.get("port", "")
        self.db_name = db_name
        self.dialect = dialect
        self.if_exists = existing.checked(name, if_exists)
        self.driver = ""
        self.engine_str = ""
        self.log_str = ""
        self.con: Engine | None = None
        self.connected = False
        self.load()

    def load(self) -> None:
        """
        Set `driver`, `engine_str` and `log_str`.

        Raises:
            ConfigError: There is no such dialect.
        """
        if self.dialect not in _DIALECTS:
            hint = f"use one of {', '.join(_DIALECTS)}"
            raise ConfigError(f"{self.name}: {self.dialect!r} is no dialect", hint=hint)
        scheme, self.driver = _DIALECTS[self.dialect]
        self.engine_str = self._database(f"{scheme}+{self.driver}").url
        where = f"{self.host}:{self.port}" if self.port else self.host
        self.log_str = f"{self.dialect}://{where}/{self.db_name}"

    def connect(self) -> bool:
        """Reach the database by `con`, a SQLAlchemy engine; return whether that worked."""
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        try:
            if self.con is None:  # it keeps no connection open that nobody uses
                # PyMySQL takes the letters of a text for Latin-1, servers take them for UTF-8.
                secret = {"password": self.password.encode()} if self.driver == "pymysql" else {}
                self.con = sqlalchemy.create_engine(
                    self.engine_str, poolclass=NullPool, connect_args=secret
                )
            with self.con.connect():
                self.connected = True
        except (sqlalchemy.exc.SQLAlchemyError, ImportError) as exc:
            self.connected = False
            said = str(getattr(exc, "orig", exc)).partition("\n")[0]
            fields = {"target": self.log_str, "error": f"{type(exc).__name__}: {said}"}
            logger.warning("connection_failed", extra=fields)
        return self.connected

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into the table, once; blocks until then.

        What could not be written after *retry_depth* more attempts, with growing waits, lies
        in ``STORE/upload_failed/<name>/sql.<dialect>/<timestamp_ns>.parquet``.
        """
        self.connected = self._deliver(data, retry_depth)

    def _target(self) -> Database:
        return self._database(_DIALECTS[self.dialect][0])

    def _database(self, scheme: str) -> Database:
        service = self.dialect == "oracle"  # a path would be a SID
        found = Database.of(
            scheme,
            "" if service else self.db_name,
            host=self.host,
            username=self.username,
            password=self.password,
            port=self.port,
        )
        return Database(f"{found.url}?service_name={quote(self.db_name)}") if service else found

    def _delivery(self) -> dict[str, Any]:
        return existing.delivery(self.name, self.if_exists)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "con": None, "connected": False}
