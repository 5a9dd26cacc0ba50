"""The targets that the contract runs over, each read back by its own client."""

from __future__ import annotations

import itertools
import json
import re
import sqlite3
import uuid
from abc import ABC, abstractmethod
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote

import duckdb
import psycopg
import pyarrow.parquet as pq
from google.cloud.bigquery import QueryJobConfig
from psycopg.rows import dict_row
from pymysql.cursors import DictCursor

from api2db.sink.base import Delivery, Sink
from api2db.sink.duckdb import _CONFIG
from api2db.sink.registry import make_sink
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Omnisci
from tests.fixtures.bitio import KEY, BitioServer
from tests.fixtures.heavydb import close

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fixtures.bigquery import BigqueryServer
    from tests.fixtures.heavydb import HeavydbServer
    from tests.fixtures.ikv import IkvServer
    from tests.fixtures.mysqlserver import MysqlServer
    from tests.fixtures.postgres import Postgres


class Backend(ABC):
    """
    One target, empty at first.

    Attributes:
        cannot: What it cannot do by its nature (`needs` marks the tests), and why.
    """

    name: str
    sql = True
    cannot: ClassVar[Mapping[str, str]] = {}
    hostile_table = 't\'able "x"; --'
    least_int = -(2**63)

    def sink(
        self,
        table: str = "t",
        *,
        upsert: tuple[str, ...] = (),
        stream: str = "s",
        collector: str = "c",
        spool: str = "0" * 32,
        replace: bool = False,
        schema: Literal["evolve", "freeze", "ignore"] = "evolve",
    ) -> Sink:
        """Return an open sink."""
        delivery = Delivery(spool, collector, stream, table, upsert, replace, schema)
        sink = self.closed_sink(delivery)
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

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return *row* as `rows` gives it back."""
        return row

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
        return make_sink(Database(self.url), delivery, base=self.server.folder)

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


class BitioBackend(PostgresBackend):
    """A database of its own on the session's stand-in for bit.io, read by the same user."""

    name = "bitio"

    def __init__(self, server: BitioServer) -> None:
        self.server: BitioServer = server
        self.database = server.create_bitio(f"d{uuid.uuid4().hex[:12]}")
        name, ca = quote(self.database, safe=""), quote(server.ca, safe="")
        where = f"127.0.0.1:{server.port}/{name}?sslmode=verify-full&sslrootcert={ca}"
        self.url = f"postgresql://api_user:{KEY}@{where}"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(self.target(), delivery, base=self.server.folder)

    def target(self, key: str = KEY, database: str = "") -> Bitio:
        """Return the database, or another, by its key, or by another."""
        server, name = self.server, database or self.database
        return Bitio(name, key, server.base_url, "127.0.0.1", server.port, Path(server.ca))


class MysqlBackend(Backend):
    """A database of its own on the session's server of MariaDB or MySQL."""

    def __init__(self, server: MysqlServer, driver: str = "") -> None:
        self.server = server
        self.name = server.scheme
        self.database = f"d{uuid.uuid4().hex[:12]}"
        scheme, _, rest = server.create_database(self.database).partition(":")
        self.url = f"{scheme}+{driver}:{rest}" if driver else f"{scheme}:{rest}"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(Database(self.url), delivery, base=self.server.folder)

    def fetch(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        with (
            closing(self.server.connect(self.database, cursorclass=DictCursor)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(query)
            return [dict(row) for row in cursor.fetchall()]

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended; instants are in UTC."""
        quoted = ".".join(f"`{part}`" for part in table.replace('""', '"').split("."))
        return [
            {
                name: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v
                for name, v in row.items()
            }
            for row in self.fetch(f"select * from {quoted}")
        ]

    def types(self, table: str = "t") -> dict[str, str]:
        """Return column -> type."""
        found = self.fetch(f"show columns from `{table}`")
        return {row["Field"]: row["Type"] for row in found}

    def execute(self, statement: str) -> None:
        """Run *statement*."""
        self.fetch(statement)

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        found = self.fetch("select batch_id from _api2db_batches order by 1")
        return [row["batch_id"] for row in found]


class SqliteBackend(Backend):
    """A file."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "t.db"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(Database("sqlite:///t.db"), delivery, base=self.folder)

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


class DuckdbBackend(Backend):
    """A file, read through the instance that the sinks have open."""

    name = "duckdb"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "t.db"

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(Database("duckdb:///t.db"), delivery, base=self.folder)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a connection, with the settings that let it share the file."""
        connection = duckdb.connect(str(self.path), config=_CONFIG)
        connection.execute("set TimeZone = 'UTC'")
        return connection

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended."""
        with self.connect() as connection:
            return connection.sql(f'select * from "{table}"').to_arrow_table().to_pylist()

    def types(self, table: str = "t") -> dict[str, str]:
        """Return column -> type."""
        with self.connect() as connection:
            query = "select column_name, data_type from duckdb_columns() where table_name = ?"
            return dict(connection.execute(query, [table]).fetchall())

    def execute(self, statement: str) -> None:
        """Run *statement*."""
        with self.connect() as connection:
            connection.execute(statement)

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        with self.connect() as connection:
            found = connection.execute("select batch_id from _api2db_batches order by 1")
            return [row[0] for row in found.fetchall()]


class BigqueryBackend(Backend):
    """A dataset of its own in the session's emulator."""

    name = "bigquery"
    hostile_table = "select"

    def __init__(self, server: BigqueryServer, latency: float = 60.0) -> None:
        self.server = server
        self.latency = latency
        self.dataset = f"d{uuid.uuid4().hex[:12]}"
        self.client = server.client()
        self.client.create_dataset(self.dataset)

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        target = Bigquery(
            self.server.project,
            self.dataset,
            endpoint=self.server.endpoint,
            write_endpoint=self.server.write_endpoint,
            latency=self.latency,
        )
        return make_sink(target, delivery, base=self.server.folder)

    def fetch(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query."""
        config = QueryJobConfig(default_dataset=f"{self.server.project}.{self.dataset}")
        job = self.client.query(query, job_config=config, retry=None, job_retry=None)
        return [dict(row.items()) for row in job.result(retry=None, job_retry=None)]

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended, JSON as text."""
        found = self.fetch(f"select * from `{self.dataset}`.`{table}`")
        return [
            {n: json.dumps(v) if isinstance(v, dict | list) else v for n, v in row.items()}
            for row in found
        ]

    def types(self, table: str = "t") -> dict[str, str]:
        """Return column -> type."""
        schema = self.client.get_table(f"{self.dataset}.{table}").schema
        return {field.name: field.field_type for field in schema}

    def execute(self, statement: str) -> None:
        """Run *statement*, in the types of BigQuery."""
        for other, ours in _BIGQUERY_SQL.items():
            statement = re.sub(other, ours, statement)
        self.fetch(statement)

    def markers(self) -> list[str]:
        """Return all markers, sorted."""
        found = self.fetch(f"select batch_id from `{self.dataset}`._api2db_batches order by 1")
        return [row["batch_id"] for row in found]

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.client.close()


class OmnisciBackend(Backend):
    """A database of its own on the session's stand-in, read by the vendor's client."""

    name = "omnisci"
    hostile_table = "hostile"
    cannot: ClassVar[dict[str, str]] = {
        "upsert": "it has no transactions",
        "replace": "it has no transactions",
        "widening": "a column keeps its type",
        "mixing": "a column keeps its type",
        "ledger": "a marker is part of its rows",
    }
    least_int = -(2**63) + 1  # the one below stands for NULL

    def __init__(self, server: HeavydbServer, protocol: str = "binary") -> None:
        self.server = server
        self.database = f"d{uuid.uuid4().hex[:12]}"
        server.create_database(self.database)
        port = server.port if protocol == "binary" else server.http_port
        self.target = Omnisci(
            self.database, server.host, server.user, server.password, port, protocol
        )
        self.client = server.client(self.database)

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(self.target, delivery, base=self.server.folder)

    def fetch(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query; instants are in UTC."""
        cursor = self.client.execute(query)
        names = [column.name for column in cursor.description or ()]
        return [
            {
                name: v.replace(tzinfo=UTC) if isinstance(v, datetime) else v
                for name, v in zip(names, map(_python, row), strict=True)
            }
            for row in cursor.fetchall()
        ]

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        client: Any = self.client
        names: list[str] = client._client.get_tables(client._session)
        return names

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows in the order in which they were appended, without what is ours."""
        if table not in self.tables():
            return []
        return [
            {n.removesuffix("_t"): v for n, v in row.items() if n != "_api2db_batch"}
            for row in self.fetch(f"select * from {table}")
        ]

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return *row* as `rows` gives it back: long decimals are text."""
        return {n: str(v) if isinstance(v, Decimal) else v for n, v in row.items()}

    def execute(self, statement: str) -> None:
        """Run *statement*, with the suffix of our columns."""
        self.fetch(re.sub(r"\b(id|v|mine)\b", r"\1_t", statement))

    def close(self) -> None:
        """Close all connections."""
        super().close()
        close(self.client)


def _python(value: Any) -> Any:
    """Return a value as Python has it: nanoseconds come as NumPy's."""
    return value.astype("datetime64[us]").item() if hasattr(value, "astype") else value


#: What BigQuery writes in another way.
_BIGQUERY_SQL = {
    r"\bbigint( primary key)?\b": "int64",
    r"\btext\b": "string",
    r"\bt\b(?=[ (]|$)": "`t`",
}

#: How columns of a CSV file are read by a test; the others are text.
_FROM_TEXT: dict[str, Any] = {"id": int, "i": int, "b": {"true": True, "false": False}.get}
#: What one local file holds.
MODES = ("shard", "update", "replace")


class LocalBackend(Backend):
    """A folder of files."""

    name = "local"
    sql = False

    def __init__(self, folder: Path, fmt: str = "parquet", mode: str = "shard") -> None:
        self.folder = folder / "files"
        self.fmt, self.mode = fmt, mode

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(Folder(self.folder, self.fmt, self.mode), delivery, base=self.folder)

    def files(self, table: str = "t") -> list[Path]:
        """Return the table's files that a user sees, in the order of their names."""
        if self.mode == "shard":
            return sorted((self.folder / table).glob(f"[!.]*.{self.fmt}"))
        return [path for path in [self.folder / f"{table}.{self.fmt}"] if path.exists()]

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return the rows of all files."""
        return [row for path in self.files(table) for row in file_rows(path)]

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return *row* as `rows` gives it back: JSON and CSV have fewer types."""
        if self.fmt == "json":
            return {k: v if k in ("f", "n") else _text(v) for k, v in row.items()}
        if self.fmt == "csv":
            return {k: v if k in _FROM_TEXT else _text(v) for k, v in row.items()}
        return row


class IkvBackend(Backend):
    """A store of its own in the session's gateway; the key is ``id``, where none is asked for."""

    name = "ikv"
    sql = False

    def __init__(self, server: IkvServer) -> None:
        self.server = server
        self.store = f"s{uuid.uuid4().hex[:12]}"

    def sink(self, table: str = "t", *, upsert: tuple[str, ...] = (), **other: Any) -> Sink:
        """Return an open sink, of an upsert: nothing is ever appended to IKV."""
        return super().sink(table, upsert=upsert or ("id",), **other)

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        return make_sink(self.server.target(self.store), delivery, base=self.server.folder)

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all documents in the order of their first arrival, None for absent fields."""
        found = [
            {name: value.decode() for name, value in fields.items()}
            for fields in self.server.stores.get(self.store, {}).values()
        ]
        names = dict.fromkeys(itertools.chain.from_iterable(found))
        return [{k: _number(k, row[k]) if k in row else None for k in names} for row in found]

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return *row* as `rows` gives it back: every value is text."""
        return {k: v if k in _FROM_TEXT else _text(v) for k, v in row.items()}


def _number(name: str, text: str) -> Any:
    try:
        return _FROM_TEXT.get(name, str)(text)
    except ValueError:
        return text


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, float | Decimal) else value


def file_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file by what its users have: pyarrow, json, csv, pandas."""
    if path.suffix == ".parquet":
        return pq.read_table(path, partitioning=None).to_pylist()
    if path.suffix == ".json":
        found: list[dict[str, Any]] = json.loads(path.read_bytes(), parse_float=_digits)
        return found
    import pandas as pd

    if path.suffix == ".csv" and path.stat().st_size == 0:
        return []
    if path.suffix == ".csv":
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
        frame = frame.astype(object).where(frame.notna(), None)
        rows = frame.to_dict("records")
        return [
            {str(k): _FROM_TEXT.get(str(k), str)(v) if v is not None else v for k, v in row.items()}
            for row in rows
        ]
    frame = pd.read_pickle(path)
    frame = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _digits(text: str) -> float | Decimal:
    return float(text) if len(text) < 17 else Decimal(text)


def loads(value: Any) -> Any:
    """Return JSON text or what a client has made of it as a value."""
    return json.loads(value) if isinstance(value, str) else value
