"""Whatever an API or a target does wrong: it is told, good rows land once, bad rows are kept."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.postgres import Postgres, binaries, free_port

pytestmark = pytest.mark.timeout(120)

COMMAND = Path(sys.executable).with_name("api2db")
TARGETS = ["sqlite", "postgresql"]
CONFIG = """\
streams:
  db: {{ url: "${{DSN}}" }}
collectors:
  things:
    every: 300ms
    get: {url}
    pages: {{ cursor: next, param: cursor }}
    rows: data
    since: {{ field: at, param: since }}
    retries: 0
    timeout: 2s
    max_bytes: 16MB
    max_pages: 5
    to: {{ db: {{ table: things }} }}
status: {{ bind: "127.0.0.1:{port}" }}
"""

Row = dict[str, Any]


class World:
    """
    A project folder, its scripted API, and its target.

    Attributes:
        rows: What the API has, in the order of `at`; it serves two a page, `since` inclusive.
            The JSON of a row is that of its key ``raw``, if it has one.
        bad: Given a page's number (from 0) and the good answer, returns what is sent.
    """

    def __init__(self, folder: Path, api: ApiServer, dsn: str) -> None:
        self.folder = folder
        self.api = api
        self.dsn = dsn
        self.rows: list[Row] = []
        self.bad: Callable[[int, Reply], Reply] = lambda page, reply: reply
        url = api.on("/things", self._answer)
        config = CONFIG.format(url=url, port=free_port())
        (folder / "config.yaml").write_text(config)

    def _answer(self, seen: Seen) -> Reply:
        query = dict(seen.params)
        rows = [row for row in self.rows if row["at"] >= int(query.get("since", "0"))]
        start = int(query.get("cursor", "0"))
        following = start + 2 if start + 2 < len(rows) else None
        texts = (row.get("raw") or json.dumps(row) for row in rows[start : start + 2])
        body = f'{{"data": [{", ".join(texts)}], "next": {json.dumps(following)}}}'
        good = Reply(body.encode("utf-8", "surrogateescape"))
        return self.bad(start // 2, good)

    def run(self, *args: str, code: int) -> subprocess.CompletedProcess[str]:
        """Run ``api2db *args*`` and check its exit code."""
        done = subprocess.run(
            [COMMAND, *args],
            cwd=self.folder,
            env={**os.environ, "DSN": self.dsn},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def daemon(self) -> subprocess.Popen[bytes]:
        """Start ``api2db run``, its log in ``daemon.log``."""
        env = {**os.environ, "DSN": self.dsn}
        with (self.folder / "daemon.log").open("ab") as log:
            return subprocess.Popen(
                [COMMAND, "run"], cwd=self.folder, env=env, stdout=log, stderr=log
            )

    def log(self) -> str:
        """Return what the daemon has logged."""
        return (self.folder / "daemon.log").read_text()

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run *statement* in the target."""
        if self.dsn.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "things.db", timeout=10)) as file, file:
                return file.execute(statement).fetchall()
        with psycopg.connect(self.dsn) as db:
            done = db.execute(statement)
            return done.fetchall() if done.description else []

    def landed(self) -> Counter[int]:
        """Return how often each id is in the target."""
        return Counter(i for (i,) in self.sql("select id from things"))

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead letters of the form and of the stream."""
        files = (self.folder / "STORE" / "dead_letter" / "things").glob("*/*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def status(self, *, healthy: bool) -> tuple[str, dict[str, Any]]:
        """Return what ``status`` prints, and the collector in ``status --json``."""
        code = 0 if healthy else 1
        told = self.run("status", code=code).stdout
        picture = json.loads(self.run("status", "--json", code=code).stdout)
        assert picture["healthy"] == healthy
        found: dict[str, Any] = picture["collectors"]["things"]
        return told, found


def thing(number: int, **more: Any) -> Row:
    """Return one row."""
    return {"id": number, "at": number, "name": f"thing {number}", "v": number, **more}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a private PostgreSQL."""
    with Postgres(durable=False) as postgres:
        yield postgres


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Run a scripted API."""
    with ApiServer() as scripted:
        yield scripted


@pytest.fixture(params=TARGETS)
def world(request: pytest.FixtureRequest, tmp_path: Path, api: ApiServer) -> World:
    """Set up a project for each kind of target."""
    if request.param == "sqlite":
        return World(tmp_path, api, "sqlite:///things.db")
    if binaries() is None:
        pytest.skip("no PostgreSQL server here")
    postgres: Postgres = request.getfixturevalue("server")
    return World(tmp_path, api, postgres.create_database(f"bad_{time.monotonic_ns()}"))


def wait_for(condition: Callable[[], object], what: str, timeout: float = 30.0) -> None:
    """Wait until *condition*, about another process, holds."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while time.monotonic() < deadline:
        with suppress(OSError, psycopg.Error, sqlite3.Error):
            if condition():
                return
        pause.wait(0.05)
    raise AssertionError(f"not within {timeout:g} s: {what}")


def ended(daemon: subprocess.Popen[bytes]) -> int:
    """End the daemon as an init system does; return its exit code."""
    daemon.send_signal(signal.SIGTERM)
    try:
        return daemon.wait(40)
    finally:
        daemon.kill()


# -- pages that cannot be used ---------------------------------------------------------------


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b"\0" * 10**6) for _ in range(100)) + packer.flush()


GZIP = {"Content-Encoding": "gzip"}
PAGE = json.dumps({"data": [thing(3), thing(4)], "next": 4}).encode()
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
#: What comes in place of the second page, and what is told about it.
BAD_PAGES = {
    "malformed": (Reply(b'{"data": [{"id": 3,]}'), "not JSON"),
    "html": (Reply(HTML, headers={"Content-Type": "text/html"}), "HTML, not JSON"),
    "truncated": (Reply(PAGE, cut=40), "complete message body|incomplete"),
    "truncated-without-length": (Reply(PAGE, length=-1, cut=40), "the body is cut off"),
    "gzip-cut": (Reply(gzip.compress(PAGE)[:-9], headers=GZIP), "gzip body is cut off"),
    "bomb": (Reply(_bomb(), headers=GZIP), "larger than 16,000,000 bytes.*max_bytes"),
    "drip": (Reply(PAGE, drip=0.1), "no complete answer within 2 s"),
    "silence": (Reply(PAGE, hang=True), "no complete answer within 2 s"),
    "reset": (Reply(reset=True), "/things: "),
    "empty": (Reply(b""), "the body is empty"),
    "no-rows": (Reply({"error": "busy"}), "rows: 'data' is missing or null.*error"),
    "rows-no-list": (Reply({"data": {"id": 3}}), "rows: 'data' is an object, not a list"),
    "deep": (Reply(b'{"data": [' + b"[" * 100_000), "nested too deeply|cut off"),
    "odd-cursor": (Reply({"data": [], "next": {"a": 1}}), "'next' is a dict, not a text"),
    "500": (Reply(status=500), "500 Internal Server Error"),
    "401": (Reply(status=401), "401 Unauthorized.*check 'auth'"),
    "429": (Reply(status=429, headers={"Retry-After": "3600"}), "429 Too Many Requests"),
    "file": (Reply(status=302, headers={"Location": "file:///etc/passwd"}), "redirects to file"),
}


@pytest.mark.parametrize(
    ("world", "name"),
    [("sqlite", name) for name in BAD_PAGES] + [("postgresql", "truncated")],
    indirect=["world"],
)
def test_a_bad_page_is_told_and_the_poll_resumes(world: World, name: str) -> None:
    """The pages before land; log and status say what is wrong; mended, each row lands once."""
    reply, words = BAD_PAGES[name]
    world.rows = [thing(n) for n in range(1, 7)]
    world.bad = lambda page, good: reply if page == 1 else good
    twice = 2 if name in ("malformed", "truncated") else 1  # each process takes its time
    for _ in range(twice):
        told = world.run("run", "--once", code=1).stderr
        line = next(line for line in told.splitlines() if "poll_failed" in line)
        assert re.search(words, json.loads(line)["error"])
        assert world.landed() == Counter([1, 2])
    text, picture = world.status(healthy=False)
    assert re.search(words, text)
    assert re.search(words, picture["error"])
    assert picture["state"] == "failing"
    if name in ("malformed", "html"):
        kept = world.folder / "STORE" / "dead_letter" / "things" / "_responses"
        assert [path.read_bytes() for path in kept.glob("*.body")] == [reply.content()]
        (reason,) = kept.glob("*.reason")
        assert re.search(words, reason.read_text())

    world.bad = lambda page, good: good
    for _ in range(twice):
        world.run("run", "--once", code=0)
        assert world.landed() == Counter(range(1, 7))
    assert world.dead() == []
    if twice == 2:
        text, picture = world.status(healthy=True)
        assert picture["error"] == ""


def test_endless_pages_end(world: World) -> None:
    """`max_pages` ends the poll; its rows land once however often it comes to that."""
    world.rows = [thing(n) for n in range(1, 100)]
    for _ in range(2):
        told = world.run("run", "--once", code=1).stderr
        assert "more than 5 pages" in told
        assert "max_pages" in told
        assert world.landed() == Counter(range(1, 11))
    text, picture = world.status(healthy=False)
    assert "more than 5 pages" in text
    assert "more than 5 pages" in picture["error"]
    del world.rows[9:]
    world.rows.append(thing(10))
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(1, 11))
    world.status(healthy=True)


def test_a_page_that_comes_again_ends_the_poll(world: World) -> None:
    """An API that ignores the cursor doubles nothing; the error names 'pages'."""
    world.rows = [thing(1), thing(2)]
    stuck = {"data": world.rows, "next": 2}
    world.bad = lambda page, good: Reply(stuck)
    for _ in range(2):
        told = world.run("run", "--once", code=1).stderr
        assert "check 'pages'" in told
        assert world.landed() == Counter([1, 2])


def test_no_content_is_a_good_poll(world: World) -> None:
    """204 is success without rows, before the first row ever and after."""
    world.bad = lambda page, good: Reply(status=204)
    world.run("run", "--once", code=0)
    world.rows = [thing(1)]
    world.bad = lambda page, good: good
    world.run("run", "--once", code=0)
    world.bad = lambda page, good: Reply(status=204)
    world.run("run", "--once", code=0)
    assert world.landed() == Counter([1])


# -- rows that cannot be used ----------------------------------------------------------------

#: The JSON of `v` or `name` in a row after good ones, and what its dead letter says.
BAD_ROWS = {
    "type-changes": ('"v": "five", "name": "x"', "'v'.*string"),
    "nan": ('"v": NaN, "name": "x"', "NaN"),
    "infinity": ('"v": -Infinity, "name": "x"', "Infinity"),
    "surrogate": ('"v": 5, "name": "a\\ud800b"', "surrogate|half|not a character|UTF|escape"),
    "latin-1": ('"v": 5, "name": "\udce9"', "UTF-8"),
    "no-object": (None, "not an object|number"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_kept_with_its_reason(world: World, name: str) -> None:
    """The rows around it land once; it is a dead letter once, told in log and status."""
    fields, words = BAD_ROWS[name]
    world.rows = [thing(1), thing(2)]
    world.run("run", "--once", code=0)
    bad = "5" if fields is None else f'{{"id": 4, "at": 5, {fields}}}'
    world.rows += [thing(3), {"at": 5, "raw": bad}, thing(5)]
    told = world.run("run", "--once", code=1).stderr
    line = next(line for line in told.splitlines() if "rows_dead" in line)
    assert re.search(words, json.loads(line)["reason"])
    assert world.landed() == Counter([1, 2, 3, 5])
    (letter,) = world.dead()
    assert re.search(words, letter["reason"])
    kept = letter["content"].encode("utf-8", "surrogateescape")
    assert kept == bad.encode("utf-8", "surrogateescape") or name == "latin-1"
    text, picture = world.status(healthy=False)
    assert "1 rows did not fit" in text
    assert picture["dead_rows"] == 1
    world.run("run", "--once", code=1)  # it comes again, for `since` is inclusive
    assert world.landed() == Counter([1, 2, 3, 5])
    assert world.dead() == [letter]


def test_nul_in_text_is_refused_or_kept_as_it_is(world: World) -> None:
    """Where a target cannot hold it, it is a dead letter of the stream; others land once."""
    world.rows = [thing(1), thing(2, name="a\0b"), thing(3)]
    if world.dsn.startswith("sqlite"):
        world.run("run", "--once", code=0)
        assert world.sql("select name from things where id = 2") == [("a\0b",)]
        return
    told = world.run("run", "--once", code=1).stderr
    assert "rows_dead" in told or "dead" in told
    assert world.landed() == Counter([1, 3])
    (letter,) = world.dead()
    assert re.search("0x00|NUL|null character", letter["reason"])
    text, picture = world.status(healthy=False)
    assert "1 dead" in text
    assert picture["streams"]["db"]["dead_rows"] == 1
    world.rows.append(thing(4))
    world.run("run", "--once", code=1)
    assert world.landed() == Counter([1, 3, 4])
    assert len(world.dead()) == 1


def test_integers_beyond_64_bits_keep_every_digit(world: World) -> None:
    """A column of integers becomes decimal; nothing is rounded, nothing is lost."""
    world.rows = [thing(1), thing(2)]
    world.run("run", "--once", code=0)
    world.rows += [thing(3, v=2**70), thing(4)]
    world.run("run", "--once", code=0)
    values = {i: int(v) for i, v in world.sql("select id, v from things")}
    assert values == {1: 1, 2: 2, 3: 2**70, 4: 4}
    assert world.landed() == Counter([1, 2, 3, 4])
    assert world.dead() == []


# -- while the daemon runs -------------------------------------------------------------------


def test_the_daemon_goes_on_when_the_api_is_mended(world: World) -> None:
    """Failure and recovery are one line each; nobody starts anything again."""
    world.rows = [thing(n) for n in range(1, 7)]
    world.bad = lambda page, good: Reply(HTML) if page == 1 else good
    daemon = world.daemon()
    try:
        wait_for(lambda: "poll_failed" in world.log(), "the failure is logged")
        wait_for(lambda: world.landed() == Counter([1, 2]), "the first page landed")
        text, picture = world.status(healthy=False)
        assert "HTML" in text
        assert "HTML" in picture["error"]
        world.bad = lambda page, good: good
        wait_for(lambda: world.landed() == Counter(range(1, 7)), "all rows landed")
        wait_for(lambda: "poll_recovered" in world.log(), "the recovery is logged")
        world.status(healthy=True)
    finally:
        assert ended(daemon) == 0
    assert world.landed() == Counter(range(1, 7))


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_a_hanging_api_does_not_hold_the_end(world: World) -> None:
    """SIGTERM ends a daemon whose request would wait for a minute; no row is lost or doubled."""
    config = world.folder / "config.yaml"
    config.write_text(config.read_text().replace("timeout: 2s", "timeout: 60s"))
    world.rows = [thing(n) for n in range(1, 7)]
    world.bad = lambda page, good: Reply(hang=True) if page == 1 else good
    daemon = world.daemon()
    try:
        wait_for(lambda: len(world.api.seen) == 2, "the second page is asked for")
    finally:
        begun = time.monotonic()
        code = ended(daemon)
    assert code == 0
    assert time.monotonic() - begun < 10
    assert "Traceback" not in world.log()
    world.bad = lambda page, good: good
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(1, 7))


def test_a_table_that_is_dropped_is_made_again(world: World) -> None:
    """New rows land in a new table; the stream goes on by itself and says what happened."""
    world.rows = [thing(1), thing(2)]
    daemon = world.daemon()
    try:
        wait_for(lambda: world.landed() == Counter([1, 2]), "two rows landed")
        world.sql("drop table things")
        world.rows += [thing(3, late="x"), thing(4)]
        wait_for(lambda: set(world.landed()) >= {3, 4}, "new rows landed")
        assert world.landed() == Counter([3, 4])
        assert "drop" in world.log() or "created" in world.log()
        wait_for(lambda: world.status(healthy=True), "healthy")
    finally:
        assert ended(daemon) == 0


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_a_wrong_password_pauses_the_stream_until_it_is_mended(
    world: World, server: Postgres
) -> None:
    """Polls go on; log and status say what to mend, without the password; then all land."""
    database = world.dsn.rpartition("/")[2]
    role = f"app_{time.monotonic_ns()}"
    hba = server.folder / "data" / "pg_hba.conf"
    hba.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    admin = world.dsn
    with server.connect() as db:
        db.execute(f"create role {role} login password 'right-s3cret'")
        db.execute(f'alter database "{database}" owner to {role}')
        db.execute("select pg_reload_conf()")
    world.rows = [thing(1), thing(2)]
    world.dsn = f"postgresql://{role}:wrong-s3cret@127.0.0.1:{server.port}/{database}"
    daemon = world.daemon()
    try:
        wait_for(lambda: "stream_paused" in world.log(), "the pause is logged")
        text, picture = world.status(healthy=False)
        stream = picture["streams"]["db"]
        assert stream["state"] == "paused"
        assert "password authentication failed" in stream["error"]
        assert "password authentication failed" in text
        world.rows.append(thing(3))
        wait_for(lambda: world.status(healthy=False)[1]["rows_collected"] == 3, "polls go on")
        with server.connect() as db:
            db.execute(f"alter role {role} password 'wrong-s3cret'")
        world.dsn = admin
        wait_for(lambda: world.landed() == Counter([1, 2, 3]), "all rows landed", 60)
        wait_for(lambda: world.status(healthy=True), "healthy")
    finally:
        assert ended(daemon) == 0
    assert "s3cret" not in world.log() + text
