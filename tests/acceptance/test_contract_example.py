"""The example configuration as it stands, through the installed command, into PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.acceptance.orders_api import TOKEN, OrdersApi
from tests.fixtures.postgres import Postgres, binaries
from tests.fixtures.server import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.backend("postgresql"),
    pytest.mark.skipif(binaries() is None, reason="no PostgreSQL server here"),
    pytest.mark.timeout(120),
]

COMMAND = Path(sys.executable).with_name("api2db")

EXAMPLE = """\
streams:
  pg: { url: "${PG_DSN}" }
collectors:
  orders:
    every: 30s
    get: https://api.acme.com/v1/orders
    auth: { bearer: "${ACME_TOKEN}" }
    pages: { cursor: meta.next, param: cursor }
    rows: data
    since: { field: updated_at, param: since }
    to: { pg: { table: orders, upsert: id } }
"""


def order(number: int, **changes: Any) -> dict[str, Any]:
    """Return one order as the API writes it."""
    return {
        "id": number,
        "updated_at": f"2026-03-0{number}T10:00:00.500Z",
        "total": 10.25 * number,
        "paid": number % 2 == 0,
        "customer": {"name": "Zoë", "tags": ["a", "b"]},
        "note": None if number == 1 else f"note {number}",
        "big": 2**53 + number if number > 1 else None,
        **changes,
    }


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a private PostgreSQL."""
    with Postgres() as postgres:
        yield postgres


class Project:
    """A folder with the example's config.yaml, its API, and a fresh database."""

    def __init__(self, folder: Path, postgres: Postgres) -> None:
        self.folder = folder
        self.api = OrdersApi([order(n) for n in (1, 2, 3)])
        self.dsn = postgres.create_database(f"acceptance_{time.monotonic_ns()}")
        self.config = folder / "config.yaml"
        self.config.write_text(EXAMPLE.replace("https://api.acme.com/v1/orders", self.api.url))
        self.env = {**os.environ, "PG_DSN": self.dsn, "ACME_TOKEN": TOKEN}

    def command(self, *args: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run ``api2db *args*`` to its end and check its exit code."""
        done = subprocess.run(
            [COMMAND, *args],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert TOKEN not in done.stdout + done.stderr
        return done

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with psycopg.connect(self.dsn) as connection:
            return connection.execute(sql.encode()).fetchall()

    def tables(self) -> set[str]:
        """Return the names of all tables."""
        sql = "select tablename from pg_tables where schemaname = 'public'"
        return {name for (name,) in self.rows(sql)}

    def daemon(self) -> subprocess.Popen[bytes]:
        """Start ``api2db run``, its log in ``daemon.log``."""
        log = (self.folder / "daemon.log").open("ab")
        with log:
            return subprocess.Popen(
                [COMMAND, "run"], cwd=self.folder, env=self.env, stdout=log, stderr=log
            )


@pytest.fixture
def project(tmp_path: Path, server: Postgres) -> Iterator[Project]:
    """Set up the example."""
    made = Project(tmp_path, server)
    yield made
    made.api.close()


def wait_for(condition: Any, what: str, timeout: float = 30.0) -> None:
    """Poll *condition* of another process until it holds."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while time.monotonic() < deadline:
        with suppress(OSError, psycopg.Error):
            if condition():
                return
        pause.wait(0.05)
    raise AssertionError(f"not within {timeout:g} s: {what}")


def test_once_lands_every_page_with_the_right_types(project: Project) -> None:
    """Two pages land: bigint, timestamptz, jsonb, boolean, the key as primary key."""
    project.command("run", "--once")
    types = dict(
        project.rows(
            "select column_name::text, data_type::text from information_schema.columns"
            " where table_name = 'orders'"
        )
    )
    assert types == {
        "id": "bigint",
        "updated_at": "timestamp with time zone",
        "total": "double precision",
        "paid": "boolean",
        "customer": "jsonb",
        "note": "text",
        "big": "bigint",
    }
    key = project.rows(
        "select a.attname::text from pg_index i join pg_attribute a"
        " on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
        " where i.indrelid = 'orders'::regclass and i.indisprimary"
    )
    assert key == [("id",)]
    rows = project.rows("select id, updated_at, total, paid, customer, note, big from orders")
    assert sorted(rows)[1] == (
        2,
        datetime(2026, 3, 2, 10, 0, 0, 500_000, tzinfo=UTC),
        20.5,
        True,
        {"name": "Zoë", "tags": ["a", "b"]},
        "note 2",
        2**53 + 2,
    )
    assert len(rows) == 3
    assert project.tables() == {"orders", "_api2db_batches"}


def test_a_second_run_sees_updates_and_asks_only_for_them(project: Project) -> None:
    """A changed row, a new row and a late key arrive; ``since`` is as the API wrote it."""
    project.command("run", "--once")
    assert "since" not in project.api.queries[0]
    project.api.orders[0] = order(1, updated_at="2026-03-04T00:00:00Z", total=99, late="x")
    project.api.orders.append(order(5))
    seen = len(project.api.queries)
    project.command("run", "--once")
    assert {query["since"][0] for query in project.api.queries[seen:]} == {
        "2026-03-03T10:00:00.500Z"
    }
    rows = project.rows("select id, total, late from orders order by id")
    assert rows == [(1, 99.0, "x"), (2, 20.5, None), (3, 30.75, None), (5, 51.25, None)]


def test_status_check_and_preview_tell_without_writing(project: Project) -> None:
    """``check`` and ``preview`` leave the database empty; ``status --json`` is JSON."""
    project.command("check")
    project.command("check", "--connect")
    shown = project.command("preview", "orders").stdout
    assert "create table" in shown.lower()
    assert "jsonb" in shown
    assert project.tables() <= {"_api2db_batches"}
    project.command("run", "--once")
    status = json.loads(project.command("status", "--json").stdout)
    assert "orders" in json.dumps(status)
    assert "pg" in json.dumps(status)


def test_mistakes_have_their_exit_codes(project: Project) -> None:
    """2: the config, all errors with their lines; 1: an API or a target that is away."""
    project.api.down = True
    project.config.write_text(project.config.read_text() + "defaults: { retries: 0 }\n")
    project.command("check", "--connect", code=1)
    project.command("run", "--once", code=1)
    good = project.config.read_text()
    project.config.write_text(good.replace("every:", "evry:").replace("upsert: id", "upsrt: id"))
    told = project.command("check", code=2).stderr
    assert "config.yaml:5: collectors.orders.evry: unknown key, did you mean 'every'?" in told
    assert "upsrt" in told
    project.config.write_text(good)
    del project.env["ACME_TOKEN"]
    assert "ACME_TOKEN" in project.command("run", "--once", code=2).stderr


def test_a_target_that_is_away_holds_the_rows_until_it_is_back(project: Project) -> None:
    """``run --once`` says 1 while PostgreSQL is away, and lands everything after."""
    good = project.env["PG_DSN"]
    project.env["PG_DSN"] = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere"
    project.command("run", "--once", "--timeout", "3s", code=1)
    project.env["PG_DSN"] = good
    project.api.orders.clear()
    project.command("run", "--once")
    assert project.rows("select count(*) from orders") == [(3,)]


def test_the_daemon_has_one_store_serves_its_health_and_ends_on_sigterm(project: Project) -> None:
    """A second daemon exits 75; /healthz, /readyz, /metrics answer; SIGTERM gives 0 in time."""
    port = free_port()
    # The only addition to the example: the default port may be taken on this machine.
    project.config.write_text(
        project.config.read_text() + f'status: {{ bind: "127.0.0.1:{port}" }}\n'
    )
    daemon = project.daemon()
    try:
        wait_for(
            lambda: project.rows("select count(*) from orders") == [(3,)], "three orders landed"
        )
        told = project.command("run", code=75).stderr
        assert str(daemon.pid) in told
        assert project.command("status", "--json").returncode == 0
        for path in ("/healthz", "/readyz", "/api/status", "/metrics", "/"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                body = answer.read().decode()
                assert answer.status == 200
            assert TOKEN not in body
            if path == "/metrics":
                assert 'api2db_rows_landed_total{collector="orders",stream="pg"} 3.0' in body
        begun = time.monotonic()
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
        assert time.monotonic() - begun < 10
    finally:
        if daemon.poll() is None:
            daemon.kill()
            daemon.wait()
    assert TOKEN not in (project.folder / "daemon.log").read_text()


def test_help_and_check_are_quick(project: Project) -> None:
    """``--help`` and ``check`` import nothing heavy: best of three under 0.3 s and 1 s."""
    for limit, args in ((0.3, ["--help"]), (1.0, ["check"])):
        times = []
        for _ in range(3):
            begun = time.monotonic()
            project.command(*args)
            times.append(time.monotonic() - begun)
        assert min(times) < limit, f"{args}: {times}"
