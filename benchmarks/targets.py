"""
How fast rows go into each target: through our sink, and by the driver's own fastest call.

Real rows (the USGS feed of `demo/data`: 15 columns), in transactions of 16 pages, committed
durably on the same private server, in the same run. The driver gets what it likes best,
prepared before the clock starts, into a table of the same columns; the sink gets record
batches, as the worker hands them over, and writes markers and checks besides. Each round times
both, every other round in the opposite order; a ratio is the median of the rounds' ratios.

``python -m benchmarks.targets [--targets mariadb,mysql] [--rounds 5] [--pages 96] [--json]``
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from google.cloud.bigquery import LoadJobConfig, QueryJobConfig
from ikvpy.schemas import services_pb2 as services
from ikvpy.schemas.common_pb2 import STRING, FieldValue, IKVDocumentOnWire

from api2db.core.batch import Batch
from api2db.sink.base import Delivery
from api2db.sink.bigquerywrite import Writer, _requests
from api2db.sink.ikvgateway import Gateway
from api2db.sink.registry import make_sink
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Omnisci, Siridb
from tests.fixtures import bigquery, bitio, heavydb, ikv, mariadb, mysql, siridb
from tests.fixtures.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pymysql

    from api2db.sink.base import Sink
    from api2db.sink.sql import SqlSink
    from api2db.sink.target import Target as Leads
    from tests.fixtures.mysqlserver import MysqlServer

FEED = Path(__file__).resolve().parents[1] / "demo/data/usgs_all_week_2018-02-07.geojson"
#: As the log gives them to batches: each greater than the one before.
_numbers = itertools.count(1)
#: Pages of one transaction, as the worker takes them.
PAGES = 16
#: Least transactions of a round: what one leaves behind slows the next, whoever sends it.
LOADS = 3


class Target(ABC):
    """One kind of target on a server (or in a file) of its own; another one is a subclass."""

    name: ClassVar[str]
    #: Of these the first has the goal.
    ways: ClassVar[tuple[str, ...]] = ("append", "upsert")
    #: Pages of one transaction.
    pages: ClassVar[int] = PAGES
    #: The least share of the driver's own speed.
    goal: ClassVar[float] = 0.7

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Start what is needed; *stack* ends it."""
        self.folder = folder
        self.stack = stack

    @abstractmethod
    def url(self) -> str:
        """Return the URL of an empty database."""

    @abstractmethod
    def execute(self, statement: str) -> list[Any]:
        """Run a statement; return its rows."""

    def sink(self, table: str, key: tuple[str, ...] = ()) -> Sink:
        """Return our sink, not open."""
        delivery = Delivery("0" * 32, "c", "s", table, key)
        return make_sink(self.target(), delivery, base=self.folder)

    def target(self) -> Leads:
        """Return what the sink leads to."""
        return Database(self.url())

    def begin(self, schema: pa.Schema) -> None:
        """Empty both tables; make the one of the driver as ours would be."""
        self.execute("drop table if exists ours")
        self.execute("drop table if exists own")
        self.execute(cast("SqlSink", self.sink("own")).ddl(schema))

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        ((found,),) = self.execute(f"select count(*) from {table}")
        return int(found)

    @abstractmethod
    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Bring the rows into the form that the driver's fastest call takes."""

    @abstractmethod
    def fastest(self, i: int) -> None:
        """Load transaction *i* into the table ``own``, durably."""


class Mysql(Target):
    """LOAD DATA LOCAL by PyMySQL, from prepared CSV files."""

    name = "mysql"
    server: ClassVar[type[MysqlServer]] = mysql.MySql

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        settings = {"innodb_buffer_pool_size": "512M"}
        self._server = stack.enter_context(self.server(settings=settings))  # type: ignore[call-arg]
        # TLS where the server has it: so does the sink.
        how = {"local_infile": True, "autocommit": False, "ssl_disabled": False}
        self._db: pymysql.Connection[Any] = self._server.connect("test", **how)
        stack.enter_context(closing(self._db))

    def url(self) -> str:
        """Return the database ``test``."""
        return self._server.dsn

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        with self._db.cursor() as cursor:
            cursor.execute(statement)
            self._db.commit()
            return list(cursor.fetchall())

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Write a CSV file for each."""
        for i, table in enumerate(transactions):
            options = pa.csv.WriteOptions(include_header=False)
            pa.csv.write_csv(table, self.folder / f"{self.name}{i}.csv", options)

    def fastest(self, i: int) -> None:
        """Load a file and commit."""
        with self._db.cursor() as cursor:
            cursor.execute(
                f"load data local infile '{self.folder}/{self.name}{i}.csv' into table own"
                " character set utf8mb4 fields terminated by ',' optionally enclosed by '\"'"
                " escaped by '' lines terminated by '\\n'"
            )
        self._db.commit()


class Mariadb(Mysql):
    """The same on MariaDB."""

    name = "mariadb"
    server = mariadb.MariaDb


class Duckdb(Target):
    """INSERT ... SELECT from the Arrow table."""

    name = "duckdb"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        import duckdb

        from api2db.sink.duckdb import _CONFIG

        self._db = stack.enter_context(duckdb.connect(str(folder / "t.db"), config=_CONFIG))
        self._prepared: list[pa.Table] = []

    def url(self) -> str:
        """Return the file's URL."""
        return "duckdb:///t.db"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        return self._db.execute(statement).fetchall()

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Keep the tables: DuckDB reads Arrow as it is."""
        self._prepared = list(transactions)

    def fastest(self, i: int) -> None:
        """Insert and commit."""
        self._db.register("prepared", self._prepared[i])
        self._db.execute("insert into own by name select * from prepared")


class Sqlite(Target):
    """executemany with prepared tuples."""

    name = "sqlite"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        self._db = sqlite3.connect(folder / "t.db", isolation_level=None)
        stack.enter_context(closing(self._db))
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._prepared: list[list[tuple[Any, ...]]] = []

    def url(self) -> str:
        """Return the file's URL."""
        return "sqlite:///t.db"

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        return self._db.execute(statement).fetchall()

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make tuples."""
        columns = [[column.to_pylist() for column in table.columns] for table in transactions]
        self._prepared = [list(zip(*some, strict=True)) for some in columns]

    def fastest(self, i: int) -> None:
        """Insert and commit."""
        rows = self._prepared[i]
        self._db.execute("begin")
        self._db.executemany(f"insert into own values ({', '.join('?' * len(rows[0]))})", rows)
        self._db.execute("commit")


class Postgresql(Target):
    """COPY by psycopg, from prepared CSV."""

    name = "postgresql"

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        import psycopg

        self._server = stack.enter_context(Postgres())
        self._db = stack.enter_context(psycopg.connect(self._server.dsn))
        self._prepared: list[bytes] = []

    def url(self) -> str:
        """Return the server's database."""
        return self._server.dsn

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        with self._db.cursor() as cursor:
            cursor.execute(statement)  # type: ignore[call-overload]
            found = cursor.fetchall() if cursor.description else []
        self._db.commit()
        return found

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make CSV."""
        for table in transactions:
            sink = pa.BufferOutputStream()
            pa.csv.write_csv(table, sink, pa.csv.WriteOptions(include_header=False))
            self._prepared.append(sink.getvalue().to_pybytes())

    def fastest(self, i: int) -> None:
        """Copy and commit."""
        with self._db.cursor() as cursor, cursor.copy("copy own from stdin (format csv)") as copy:
            copy.write(self._prepared[i])
        self._db.commit()


class BitIo(Postgresql):
    """The same over TLS, as the user of a key."""

    name = "bitio"
    goal = 0.6

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        Target.__init__(self, folder, stack)
        import psycopg

        self._bitio = stack.enter_context(bitio.BitioServer())
        self._database = self._bitio.create_bitio("bench")
        name, ca = quote(self._database, safe=""), quote(self._bitio.ca, safe="")
        where = f"127.0.0.1:{self._bitio.port}/{name}?sslmode=verify-full&sslrootcert={ca}"
        url = f"postgresql://api_user:{bitio.KEY}@{where}"
        self._db = stack.enter_context(psycopg.connect(url))
        self._prepared = []

    def target(self) -> Leads:
        """Return the database behind the key."""
        server, ca = self._bitio, Path(self._bitio.ca)
        return Bitio(self._database, bitio.KEY, server.base_url, "127.0.0.1", server.port, ca)


class BigqueryTarget(Target):
    """
    A load job of a prepared Parquet file, straight into the table; the emulator.

    Ours writes the file and the markers, too; upserts are staged and merged.
    """

    name = "bigquery"
    goal = 0.6
    pages = 96  # the worker takes more at a time: a job has its price
    latency: ClassVar[float] = 60.0

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        self._server = stack.enter_context(bigquery.BigqueryServer())
        self._client = stack.enter_context(closing(self._server.client()))
        self._client.create_dataset("bench")
        self._prepared: list[Any] = []

    def url(self) -> str:
        """Return nothing: it is no database."""
        return ""

    def target(self) -> Leads:
        """Return the dataset."""
        server, write = self._server, self._server.write_endpoint
        return Bigquery(server.project, "bench", "US", None, server.endpoint, write, self.latency)

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        config = QueryJobConfig(default_dataset=f"{self._server.project}.bench")
        job = self._client.query(statement, config, retry=None, job_retry=None)
        return [tuple(row) for row in job.result(retry=None, job_retry=None)]

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Write Parquet."""
        for table in transactions:
            file = io.BytesIO()
            pq.write_table(table, file, compression="snappy", store_schema=False)
            self._prepared.append(file.getvalue())

    def fastest(self, i: int) -> None:
        """Load a file."""
        config = LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_APPEND")
        table = f"{self._server.project}.bench.own"
        file = io.BytesIO(self._prepared[i])
        self._client.load_table_from_file(file, table, job_config=config).result()


class BigqueryWriteTarget(BigqueryTarget):
    """Requests of prepared Arrow data to the default stream of the Storage Write API."""

    name = "bigquerywrite"
    goal = 0.6
    latency = 1.0

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        self._writer = Writer(self.target(), None)  # type: ignore[arg-type]
        stack.callback(self._writer.close)

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make requests."""
        table = f"projects/{self._server.project}/datasets/bench/tables/own"
        for rows in transactions:
            made = list(_requests(f"{table}/streams/_default", rows))
            for request in made:
                del request.offset  # that stream has none
            self._prepared.append(made)

    def fastest(self, i: int) -> None:
        """Send them."""
        for answer in self._writer._client.append_rows(iter(self._prepared[i]), timeout=60):
            if answer.error.code:
                raise SystemExit(answer.error.message)


class SiridbTarget(Target):
    """One insert of prepared points, a series for each column, which nobody counts again."""

    name = "siridb"
    goal = 0.6
    ways = ("append",)

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        self._server = stack.enter_context(siridb.SiriDbServer())
        self._server.create_database("bench")
        self._loop = stack.enter_context(asyncio.Runner())
        self._db = self._loop.run(self._connected())
        stack.callback(self._loop.run, self._closed())
        self._prepared: list[dict[str, list[tuple[int, Any]]]] = []

    async def _connected(self) -> Any:
        from siridb.connector.lib.connection import SiriDBAsyncConnection

        connection = SiriDBAsyncConnection()
        login = (siridb.USER, siridb.PASSWORD, "bench")
        await connection.connect(*login, host="127.0.0.1", port=self._server.port)
        return connection

    async def _closed(self) -> None:
        self._db.close()
        await asyncio.sleep(0.01)

    def url(self) -> str:
        """Return nothing: it has no URL."""
        return ""

    def target(self) -> Leads:
        """Return the database."""
        hosts = (("127.0.0.1", self._server.port),)
        return Siridb(hosts, "bench", siridb.USER, siridb.PASSWORD)

    def execute(self, statement: str) -> list[Any]:
        """Run a query."""
        return [self._loop.run(self._db.query(statement))]

    def begin(self, schema: pa.Schema) -> None:
        """Drop all series of both tables; make those of the driver with a point each."""
        self.execute("drop series /^(ours|own).*/")

    def count(self, table: str) -> int:
        """Return how many points a column without NULL has."""
        (found,) = self.execute(f'select count() from "{table}|id"')
        return sum(count for _, count in found[f"{table}|id"])

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make points."""
        start = 1_700_000_000_000_000_000
        for table in transactions:
            ticks = range(start, start + table.num_rows)
            start += 1_000_000_000
            self._prepared.append(
                {
                    f"own|{name}": [
                        (tick, value)
                        for tick, value in zip(ticks, table[name].to_pylist(), strict=True)
                        if value is not None
                    ]
                    for name in table.column_names
                }
            )

    def fastest(self, i: int) -> None:
        """Insert them."""
        self._loop.run(self._db.insert(self._prepared[i]))


class IkvTarget(Target):
    """The generated stub's call for many documents, with prepared requests; a stand-in."""

    name = "ikv"
    ways = ("upsert",)
    goal = 0.6
    pages = 8

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        command = [sys.executable, "-m", "tests.fixtures.ikv"]
        pipe = subprocess.PIPE
        server = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
        assert server.stdin is not None and server.stdout is not None
        stack.callback(server.stdin.close)
        self._endpoint = f"127.0.0.1:{int(server.stdout.readline())}"
        self._gateways = {name: Gateway(self._store(name)) for name in ("own", "ours")}
        for gateway in self._gateways.values():
            stack.callback(gateway.close)
        self._prepared: list[list[Any]] = []

    def _store(self, name: str) -> Ikv:
        return Ikv(ikv.ACCOUNT, ikv.PASSKEY, name, "id", self._endpoint)

    def url(self) -> str:
        """Return nothing: it is no database."""
        return ""

    def target(self) -> Leads:
        """Return the store of ours."""
        return self._store("ours")

    def execute(self, statement: str) -> list[Any]:
        """Refuse: a store has no statements."""
        raise NotImplementedError(statement)

    def begin(self, schema: pa.Schema) -> None:
        """Empty both stores."""
        for gateway in self._gateways.values():
            drop = services.DropFieldsRequest(
                userStoreContextInitializer=gateway._store, drop_all=True
            )
            gateway._stub.dropFields(drop)

    def count(self, table: str) -> int:
        """Ask the stand-in."""
        gateway = self._gateways[table]
        ask = services.GetUserStoreConfigRequest(userStoreContextInitializer=gateway._store)
        return int(gateway._stub.getUserStoreConfig(ask).globalConfig.intConfigs["documents"])

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make documents of the values that are not NULL."""
        for table in transactions:
            texts = [
                {k: FieldValue(fieldType=STRING, value=str(v).encode()) for k, v in r.items() if v}
                for r in table.to_pylist()
            ]
            documents = [IKVDocumentOnWire(document=fields) for fields in texts]
            who = self._gateways["own"]._store
            self._prepared.append(
                [
                    services.BatchUpsertFieldValuesRequest(
                        userStoreContextInitializer=who, documents=documents[start : start + 1000]
                    )
                    for start in range(0, len(documents), 1000)
                ]
            )

    def fastest(self, i: int) -> None:
        """Send them, a thousand at a time."""
        for request in self._prepared[i]:
            self._gateways["own"]._stub.batchUpsertFieldValues(request)


class OmnisciTarget(Target):
    """One call of pyheavydb's with a prepared Arrow stream; the server is a stand-in."""

    name = "omnisci"
    goal = 0.6
    ways = ("append",)

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack)
        if heavydb.binaries() is None:
            raise FileNotFoundError("pyheavydb is not installed")
        self._server = stack.enter_context(heavydb.HeavydbServer())
        self._db: Any = self._server.client("heavyai")
        stack.callback(heavydb.close, self._db)
        self._prepared: list[bytes] = []

    def url(self) -> str:
        """Return nothing: it has no URL."""
        return ""

    def target(self) -> Leads:
        """Return the database."""
        server = self._server
        return Omnisci("heavyai", server.host, server.user, server.password, server.port)

    def execute(self, statement: str) -> list[Any]:
        """Run a statement."""
        return list(self._db.execute(statement).fetchall())

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Make streams of one batch each."""
        for table in transactions:
            named = table.rename_columns([f"{name}_t" for name in table.column_names])
            (batch,) = named.combine_chunks().to_batches()
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            self._prepared.append(sink.getvalue().to_pybytes())

    def fastest(self, i: int) -> None:
        """Load one."""
        self._db._client.load_table_binary_arrow(self._db._session, "own", self._prepared[i], True)


class Parquet(Target):
    """pyarrow writes a file for each page, and it is synced."""

    name = "parquet"
    ways = ("append",)

    def url(self) -> str:
        """Return nothing: it is a folder."""
        return ""

    def execute(self, statement: str) -> list[Any]:
        """Refuse: a folder has no statements."""
        raise NotImplementedError(statement)

    def sink(self, table: str, key: tuple[str, ...] = ()) -> Sink:
        """Return our sink of shards."""
        delivery = Delivery("0" * 32, "c", "s", table)
        return make_sink(Folder(self.folder), delivery, base=self.folder)

    def begin(self, schema: pa.Schema) -> None:
        """Make the folders anew."""
        for table in ("ours", "own"):
            shutil.rmtree(self.folder / table, ignore_errors=True)
            (self.folder / table).mkdir()

    def count(self, table: str) -> int:
        """Add up what the files say."""
        files = (self.folder / table).glob("*.parquet")
        return sum(pq.read_metadata(path).num_rows for path in files)

    def prepare(self, transactions: Sequence[pa.Table]) -> None:
        """Keep the pages."""
        self._prepared = [table.to_batches() for table in transactions]

    def fastest(self, i: int) -> None:
        """Write and sync each page."""
        for n, page in enumerate(self._prepared[i]):
            with (self.folder / "own" / f"{i}-{n}.parquet").open("wb") as file:
                pq.write_table(pa.Table.from_batches([page]), file, compression="zstd")
                file.flush()
                os.fsync(file.fileno())


TARGETS: dict[str, type[Target]] = {
    cls.name: cls for cls in (Postgresql, Mariadb, Mysql, Duckdb, Sqlite, Parquet, BitIo)
}
TARGETS |= {
    cls.name: cls
    for cls in (BigqueryTarget, BigqueryWriteTarget, IkvTarget, SiridbTarget, OmnisciTarget)
}


def pages(count: int) -> list[pa.RecordBatch]:
    """Return *count* pages of the feed's rows (15 columns each), with ids of their own."""
    features = json.loads(FEED.read_text())["features"]
    rows = [
        {
            **{k: f["properties"][k] for k in ("place", "time", "updated", "url", "status")},
            **{k: f["properties"][k] for k in ("tsunami", "sig", "net", "type", "title")},
            "mag": None if f["properties"]["mag"] is None else float(f["properties"]["mag"]),
            **{
                k: float(f["geometry"]["coordinates"][i])
                for i, k in enumerate(("lon", "lat", "depth"))
            },
            "id": f["id"],
        }
        for f in features
    ]
    page = pa.RecordBatch.from_pylist(rows)
    at = page.schema.get_field_index("id")
    ids = page.column(at).to_pylist()
    return [
        page.set_column(at, "id", pa.array([f"{n}-{id_}" for id_ in ids])) for n in range(count)
    ]


def batches(rows: Sequence[pa.RecordBatch]) -> list[Batch]:
    """Return *rows* as new batches."""
    return [
        Batch(uuid.uuid4().hex, n, 1_700_000_000_000_000_000 + n * 1_000_000, page)
        for n, page in zip(_numbers, rows, strict=False)
    ]


def measure(target: Target, rounds: int, count: int, way: str) -> dict[str, Any]:
    """Time both ways; return rows a second, and the ratio."""
    step = target.pages
    count = max(count, LOADS * step)
    given = pages(count)
    transactions = [given[i : i + step] for i in range(0, count, step)]
    target.prepare([pa.Table.from_batches(some) for some in transactions])
    upsert = way == "upsert"
    sink = target.sink("ours", ("id",) if upsert else ())
    n = sum(page.num_rows for page in given)
    ours, theirs = [], []
    with closing(sink):
        sink.open()
        for i in range(rounds):
            target.begin(given[0].schema)
            sink.write(batches([given[0].slice(0, 1)]))  # makes the table
            ways = [lambda: _theirs(target, len(transactions)), lambda: _ours(sink, transactions)]
            seconds = [0.0, 0.0]
            for which in (0, 1) if i % 2 else (1, 0):
                began = time.perf_counter()
                ways[which]()
                seconds[which] = time.perf_counter() - began
            theirs.append(seconds[0])
            ours.append(seconds[1])
            for table, extra in (("own", 0), ("ours", 0 if upsert else 1)):
                found = target.count(table)
                if found != n + extra:
                    raise SystemExit(f"{target.name}: {found} of {n} rows in {table}")
    return {
        "target": target.name,
        "way": way,
        "rows": n,
        "sink_rows_per_s": round(n / statistics.median(ours)),
        "driver_rows_per_s": round(n / statistics.median(theirs)),
        "ratio": round(statistics.median(t / o for t, o in zip(theirs, ours, strict=True)), 2),
    }


def _theirs(target: Target, transactions: int) -> None:
    for i in range(transactions):
        target.fastest(i)


def _ours(sink: Sink, transactions: Sequence[Sequence[pa.RecordBatch]]) -> None:
    done: list[str] = []
    for some in transactions:
        sent = batches(some)
        sink.write(sent, forget=done)
        done = [batch.id for batch in sent]


def main(argv: list[str] | None = None) -> int:
    """Measure every target; 1 if one is below its goal."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--targets", default=",".join(TARGETS), help="names, with commas")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pages", type=int, default=96, help="least pages of a round")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    results = []
    for name in args.targets.split(","):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="api2db-bench-")))
            try:
                target = TARGETS[name](folder, stack)
            except FileNotFoundError as exc:
                print(f"{name}: NOT RUN: {exc}", file=sys.stderr)
                continue
            for way in target.ways:
                result = measure(target, args.rounds, args.pages, way)
                results.append(result | {"goal": target.goal if way == target.ways[0] else 0.0})
                if not args.json:
                    print(
                        f"{name:12} {result['way']:7} sink {result['sink_rows_per_s']:>9,} rows/s"
                        f"   driver {result['driver_rows_per_s']:>9,} rows/s"
                        f"   ratio {result['ratio']:.2f}",
                        flush=True,
                    )
    if args.json:
        print(json.dumps(results, indent=1))
    return int(any(r["ratio"] < r["goal"] for r in results))


if __name__ == "__main__":
    sys.exit(main())
