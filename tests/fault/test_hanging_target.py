"""A target whose server is stopped but not closed, through the installed command."""

from __future__ import annotations

import json
import signal
import threading
import urllib.request
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.world import World, ended, thing, wait_for
from tests.fault.proxy import Frontend, MysqlFrontend, Proxy
from tests.fixtures.api_server import ApiServer
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.postgres import Postgres

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fixtures.mysqlserver import MysqlServer

    Server = Postgres | MysqlServer

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow, pytest.mark.backend("sqlite")]

#: Rows by which a pace is measured.
ROWS = 5
FRONTENDS: dict[type[Any], type[Frontend]] = {Postgres: Frontend, MariaDb: MysqlFrontend}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Postgres, marks=pytest.mark.backend("postgresql"), id="postgresql"),
        pytest.param(MariaDb, marks=pytest.mark.backend("mariadb"), id="mariadb"),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Start a private server."""
    with request.param(durable=False) as server:
        yield server


class Project(World):
    """One collector whose rows go into a target that will hang, and into an SQLite file."""

    def __init__(self, folder: Path, api: ApiServer, server: Server, timeout: str) -> None:
        super().__init__(folder, api, "sqlite:///things.db")
        self.server = server
        self.name = f"hang_{folder.name}"[:50]
        self.target = server.create_database(self.name)
        text = self.config.read_text().replace("to: { db: {} }", "to: { db: {}, hung: {} }")
        stream = f'  hung: {{ url: "{self.target}", timeout: {timeout}, attempts: null }}\n'
        text = text.replace(
            "defaults: { every: 300ms", f"{stream}defaults: {{ grace: 2s, every: 100ms"
        )
        self.config.write_text(text.replace("max_pages: 5", "max_pages: 1000"))

    def through(self, port: int) -> None:
        """Lead the stream through a proxy."""
        text = self.config.read_text()
        self.config.write_text(text.replace(f":{self.server.port}/", f":{port}/"))

    def add(self) -> None:
        """Give the API one row more."""
        self.things.rows.append(thing(len(self.things.rows)))

    def said(self) -> Any:
        """Return what the running daemon says of the collector."""
        url = f"http://127.0.0.1:{self.port}/api/status"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["collectors"]["things"]

    def state(self, stream: str) -> Any:
        """Return what it says of a stream."""
        return self.said()["streams"][stream]

    def pace(self) -> int:
        """Return how many polls it takes for `ROWS` rows, one after the other, into SQLite."""
        before = self.said()["polls"]["ok"]
        for _ in range(ROWS):
            self.add()
            wait_for(lambda: len(self.landed()) == len(self.things.rows), "a row is in SQLite")
        return int(self.said()["polls"]["ok"] - before)

    def logged(self, event: str) -> bool:
        """Return whether the daemon has logged *event*."""
        return f'"event": "{event}"' in self.log()

    def in_target(self) -> Counter[int]:
        """Return how often each id is in the target that hung."""
        with closing(self.server.connect(self.name)) as db, db.cursor() as cursor:
            cursor.execute("select id from things")
            return Counter(i for (i,) in cursor.fetchall())

    def await_all(self) -> None:
        """Wait until both targets have every row once, and a little longer."""
        once = Counter(range(len(self.things.rows)))
        wait_for(lambda: self.state("hung")["queued_batches"] == 0, "the hung stream is through")
        assert self.in_target() == once
        assert self.landed() == once


@contextmanager
def running(project: Project) -> Iterator[subprocess.Popen[bytes]]:
    """Run the daemon for the block, which begins when both targets have a row."""
    project.add()
    daemon = project.daemon()
    try:
        wait_for(lambda: project.state("hung")["rows_landed"] == 1, "the first row")
        yield daemon
    finally:
        assert ended(daemon) == 0


def test_a_stopped_server_holds_up_nobody_else(tmp_path: Path, server: Server) -> None:
    """Its worker is free after `timeout`, the other stream keeps its pace, and all lands once."""
    with ApiServer() as api:
        project = Project(tmp_path, api, server, "2s")
        with running(project):
            before = project.pace()
            with server.suspended():
                during = project.pace()
                wait_for(lambda: project.logged("call_interrupted"), "it is cut off", 10)
                wait_for(lambda: project.state("hung")["state"] == "retrying", "it is free", 2)
                during += project.pace()
                wait_for(lambda: project.state("db")["queued_batches"] == 0, "all is acknowledged")
                assert not project.said()["error"]
            assert during <= 4 * before + 2 * ROWS
            project.await_all()


@pytest.mark.parametrize("hangs", ["in a write", "in a login"])
def test_the_end_comes_in_time(tmp_path: Path, server: Server, hangs: str) -> None:
    """SIGTERM while a call hangs ends the daemon within `grace`; the next one delivers."""
    with ApiServer() as api:
        project = Project(tmp_path, api, server, "1h" if hangs == "in a write" else "1s")
        with running(project) as daemon, server.suspended():
            project.add()
            wait_for(lambda: len(project.landed()) == 2, "the row is in SQLite")
            if hangs == "in a login":
                wait_for(lambda: project.logged("stream_retrying"), "it was cut off")
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(20) == 0
            at = {}
            for line in project.log().splitlines():
                told = json.loads(line)
                at[told["event"]] = datetime.fromisoformat(told["at"])
            assert (at["stopped"] - at["stopping"]).total_seconds() < 3
        project.run("run", "--once", code=0)
        assert project.in_target() == project.landed() == Counter(range(2))


class Stopping(Proxy):
    """A proxy that stops the server just before it passes on a COMMIT."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.port, 1, FRONTENDS[type(server)])
        self.armed = threading.Event()
        self.stopped = threading.Event()
        self.life = ExitStack()
        self._server = server

    def cut(self) -> str | None:
        """Cut nothing; stop the server once."""
        if self.armed.is_set() and not self.stopped.is_set():
            self.life.enter_context(self._server.suspended())
            self.stopped.set()
        return None


def test_a_commit_that_is_never_answered(tmp_path: Path, server: Server) -> None:
    """The server takes the COMMIT when it goes on: the marker tells, and no row comes twice."""
    with ApiServer() as api, closing(Stopping(server)) as proxy:
        project = Project(tmp_path, api, server, "1s")
        project.through(proxy.port)
        with running(project):
            with proxy.life:
                proxy.armed.set()
                project.add()
                wait_for(proxy.stopped.is_set, "COMMIT is sent")
                wait_for(lambda: project.logged("stream_retrying"), "it is cut off")
                project.pace()
            project.await_all()
            # What the server did by itself is not counted.
            assert project.state("hung")["rows_landed"] == len(project.things.rows) - 1
