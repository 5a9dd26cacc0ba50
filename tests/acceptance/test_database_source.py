"""PostgreSQL as a source, through the installed command: killed, written to, stopped, hung."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from api2db.core.clock import SystemClock
from api2db.core.errors import SourceUnavailable
from api2db.ingest.form import Form
from api2db.ingest.sql import SqlSource
from tests.fixtures import mariadb
from tests.fixtures.postgres import Postgres, binaries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api2db.ingest.source import Request

COMMAND = Path(sys.executable).with_name("api2db")
pytestmark = [
    pytest.mark.backend("postgresql"),
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server here"),
    pytest.mark.timeout(120),
]

CONFIG = """\
streams:
  db: { url: "sqlite:///out.db" }
status: { bind: "127.0.0.1:0" }
collectors:
  events:
    every: 200ms
    sql: "${SOURCE}"
    table: app.events
    page_size: 50
    timeout: %s
    retries: 12
    since: { field: at, lag: 5s }
    to: { db: { } }
"""

TABLE = """\
create schema app;
create table app.events (
    id bigserial primary key,
    at timestamptz not null default clock_timestamp(),
    amount numeric(12,3), day date, ok boolean, extra jsonb, tags text[], file bytea,
    span interval, place inet, note varchar(9), ratio real, nothing text
)
"""
ROWS = """\
insert into app.events (amount, day, ok, extra, tags, file, span, place, note, ratio)
select g * 1.125, '2024-02-29', g %% 2 = 0, jsonb_build_object('g', g), array['a','b'],
    '\\x00ff', interval '90 minutes', '10.0.0.1', 'n' || g, 0.5
from generate_series(1, %s) g
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a private PostgreSQL."""
    with Postgres() as postgres:
        yield postgres


class Project:
    """A folder, a source database, and SQLite as the target."""

    def __init__(self, folder: Path, server: Postgres, timeout: str = "10s") -> None:
        self.folder = folder
        self.dsn = server.create_database(f"source_{time.monotonic_ns()}")
        (folder / "config.yaml").write_text(CONFIG % timeout)
        self.sql(TABLE)

    def sql(self, statement: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self, *args: str, crash: str = "") -> subprocess.Popen[bytes]:
        env = {**os.environ, "API2DB_CRASH": crash, "SOURCE": self.dsn}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [COMMAND, *args], cwd=self.folder, env=env, stdout=log, stderr=log
            )

    def once(self, crash: str = "") -> int:
        return self.start("run", "--once", crash=crash).wait(60)

    def landed(self) -> Counter[int]:
        database = sqlite3.connect(self.folder / "out.db")
        try:
            return Counter(i for (i,) in database.execute("select id from events"))
        except sqlite3.OperationalError:
            return Counter()
        finally:
            database.close()

    def expected(self) -> Counter[int]:
        with psycopg.connect(self.dsn) as connection:
            return Counter(i for (i,) in connection.execute("select id from app.events"))


def test_types(tmp_path: Path, server: Postgres) -> None:
    """What the table says is what arrives; a second poll brings nothing again."""
    project = Project(tmp_path, server)
    project.sql(ROWS % 3)
    assert project.once() == 0 and project.once() == 0
    database = sqlite3.connect(tmp_path / "out.db")
    row = database.execute("select * from events where id = 1").fetchone()
    assert row[2:] == (
        *("1.125", "2024-02-29", 0, '{"g":1}', '["a","b"]', "00ff"),
        *("1:30:00", "10.0.0.1", "n1", 0.5, None),
    )
    assert row[1].endswith("Z")
    assert project.landed() == project.expected()
    database.close()


def test_killed_while_rows_are_inserted(tmp_path: Path, server: Postgres) -> None:
    """kill -9 in the middle of pages, transactions that commit late: 0 lost, 0 doubled."""
    project = Project(tmp_path, server)
    project.sql(ROWS % 400)
    stop, failures = threading.Event(), []

    def write(number: int) -> None:
        try:
            with psycopg.connect(project.dsn) as connection:
                while not stop.wait(0.01):
                    connection.execute((ROWS % 7).encode())
                    stop.wait(0.3 * number)  # committed later than it says
                    connection.commit()
        except psycopg.Error as exc:
            failures.append(exc)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(3)]
    for writer in writers:
        writer.start()
    kills = 0
    try:
        for nth in (3, 5, 1):
            daemon = project.start("run", crash=f"poller.after_put:{nth}")
            try:
                kills += daemon.wait(15) == -signal.SIGKILL
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        daemon = project.start("run")
        stop.wait(3)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures
    deadline = time.monotonic() + 30
    while project.landed() != project.expected() and time.monotonic() < deadline:
        threading.Event().wait(0.2)
    daemon.terminate()
    assert daemon.wait(60) == 0
    landed, expected = project.landed(), project.expected()
    assert kills >= 2
    assert len(expected) > 450
    assert expected - landed == Counter(), "lost"
    assert landed - expected == Counter(), "doubled"


def test_a_server_that_hangs_or_is_gone(tmp_path: Path, server: Postgres) -> None:
    """A page that never comes fails the poll within `timeout`; so does a stopped server."""
    project = Project(tmp_path, server, "2s")
    project.sql(ROWS % 3)
    with psycopg.connect(project.dsn) as holder:
        holder.execute("lock table app.events in access exclusive mode")
        began = time.monotonic()
        assert project.once() == 1
        assert time.monotonic() - began < 100
    assert "no page within 2 s" in (tmp_path / "log").read_text()
    server.stop("immediate")
    daemon = project.start("run", "--once")
    threading.Event().wait(3)
    server.start()
    assert daemon.wait(60) == 0, "a connection that is refused is tried again"
    assert project.landed() == project.expected()
    project.sql("drop table app.events")
    assert project.once() == 1
    log = (tmp_path / "log").read_text()
    assert "there is no table 'app.events'" in log


@pytest.mark.backend("mariadb")
@pytest.mark.skipif(mariadb.binaries() is None, reason="no MariaDB server here")
def test_mariadb(tmp_path: Path) -> None:
    """Pages, types and the read-only session, and a server that hangs, on MariaDB too."""
    with mariadb.MariaDb(durable=False) as maria:
        dsn = maria.create_database("source")
        with maria.connect("source", autocommit=True) as connection, connection.cursor() as cursor:
            cursor.execute(
                "create table t (id bigint unsigned primary key, at datetime(6) not null,"
                " price decimal(10,2), day date, bits bit(3), e enum('x','y'), raw varbinary(9))"
            )
            for i in range(25):
                at = f"2024-01-01 00:00:0{i // 5}.5"
                rest = "1.25, '2024-02-03', b'101', 'y', x'00ff'"
                cursor.execute(f"insert into t values ({i}, '{at}', {rest})")
        api = SqlSource(
            dsn,
            folder=tmp_path,
            clock=SystemClock(),
            stop=threading.Event(),
            table="t",
            cursor="at",
            page_size=7,
            timeout=2.0,
            retries=0,
        )
        form = Form(rows=None, columns=None, since="at", memory={"columns": api.types()})
        request: Request | None = api.first("2024-01-01T00:00:02.500000Z")
        found = []
        while request is not None:
            page = form.parse(api.send(request).read())
            found += page.build().rows.to_pylist()
            request = api.follow(request, page.next, since=None)
        assert [row["id"] for row in found] == list(range(10, 25))
        assert found[0] == {
            "id": 10,
            "at": datetime(2024, 1, 1, 0, 0, 2, 500_000, UTC),
            "price": Decimal("1.25"),
            "day": date(2024, 2, 3),
            "bits": 5,
            "e": "y",
            "raw": "00ff",
        }
        with pytest.raises(SourceUnavailable, match="READ ONLY"):
            api._tried(lambda connection: connection.exec_driver_sql("delete from t"))
        os.kill(maria.pid, signal.SIGSTOP)
        try:
            with pytest.raises(SourceUnavailable, match="no page within 2 s"):
                api.send(api.first(None)).read()
        finally:
            os.kill(maria.pid, signal.SIGCONT)
        assert len(api.send(api.first(None)).read().values) == 7  # type: ignore[union-attr]
        api.close()
