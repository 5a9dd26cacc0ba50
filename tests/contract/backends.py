"""The targets that the contract runs over, each read back by its own client."""

from __future__ import annotations

import json
import sqlite3
import uuid
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq
from psycopg.rows import dict_row

from api2db.sink.base import Delivery, Sink
from api2db.sink.registry import make_sink

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fixtures.postgres import Postgres


class Backend(ABC):
    """One target, empty at first."""

    name: str
    sql = True

    def sink(
        self,
        table: str = "t",
        *,
        upsert: tuple[str, ...] = (),
        stream: str = "s",
        collector: str = "c",
        spool: str = "0" * 32,
    ) -> Sink:
        """Return an open sink."""
        sink = self.closed_sink(Delivery(spool, collector, stream, table, upsert))
        sink.open()
        return sink

    def closed_sink(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open; `close` closes it."""
        sink = self._make(delivery)
        self.__dict__.setdefault("made", []).append(sink)
        return sink

    def close(self) -> None:
        """Close all sinks."""
        for sink in self.__dict__.get("made", ()):
            sink.close()

    @abstractmethod
    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""

    @abstractmethod
    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended."""

    def execute(self, statement: str) -> None:
        """Run *statement* as the user of the target would."""
        raise NotImplementedError

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        raise NotImplementedError


class PostgresBackend(Backend):
    """A database of its own on the session's server."""

    name = "postgresql"

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self.url = server.create_database(f"d{uuid.uuid4().hex[:12]}")

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(self.url, None, delivery, base=self.server.folder)

    def connect(self) -> psycopg.Connection[Any]:
        """Return an autocommit connection."""
        return psycopg.connect(
            self.url, autocommit=True, row_factory=dict_row, prepare_threshold=None
        )

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended."""
        quoted = ".".join(f'"{part}"' for part in table.split("."))
        with self.connect() as connection:
            return connection.execute(f"select * from {quoted} order by ctid").fetchall()

    def types(self, table: str = "t") -> dict[str, str]:
        """Return column -> type."""
        with self.connect() as connection:
            found = connection.execute(
                "select attname, format_type(atttypid, atttypmod) as type from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0 and not attisdropped"
                " order by attnum",
                [f'"{table}"'],
            )
            return {row["attname"]: row["type"] for row in found}

    def execute(self, statement: str) -> None:
        """Run *statement*."""
        with self.connect() as connection:
            connection.execute(statement)

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        with self.connect() as connection:
            found = connection.execute("select batch_id from _api2db_batches order by 1")
            return [row["batch_id"] for row in found]


class SqliteBackend(Backend):
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "t.db"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink("sqlite:///t.db", None, delivery, base=self.folder)

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended."""
        connection = sqlite3.connect(self.path)
        try:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f'select * from "{table}"')]
        finally:
            connection.close()

    def types(self, table: str = "t") -> dict[str, str]:
        """Return column -> declared type."""
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute(f'pragma table_info("{table}")').fetchall()
            return {row[1]: row[2] for row in found}
        finally:
            connection.close()

    def execute(self, statement: str) -> None:
        """Run *statement*."""
        connection = sqlite3.connect(self.path)
        try:
            connection.execute(statement)
            connection.commit()
        finally:
            connection.close()

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        connection = sqlite3.connect(self.path)
        try:
            found = connection.execute("select batch_id from _api2db_batches order by 1")
            return [row[0] for row in found]
        finally:
            connection.close()


class LocalBackend(Backend):
    """A folder of Parquet shards."""

    name = "local"
    sql = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "shards"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(None, self.folder, delivery, base=self.folder)

    def shards(self, table: str = "t") -> list[Path]:
        """Return the shards in the order of their names."""
        return sorted((self.folder / table).glob("*.parquet"))

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return the rows of all shards."""
        found: list[dict[str, Any]] = []
        for shard in self.shards(table):
            found += pq.read_table(shard, partitioning=None).to_pylist()
        return found


def loads(value: Any) -> Any:
    """Return JSON text or what a client has made of it as a value."""
    return json.loads(value) if isinstance(value, str) else value
