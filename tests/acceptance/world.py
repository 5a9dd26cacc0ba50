"""A project whose APIs a test scripts page by page, driven and read from outside."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.server import free_port

COMMAND = Path(sys.executable).with_name("api2db")
CONFIG = """\
status: {{ bind: "127.0.0.1:{port}" }}
streams:
  db: {{ url: "${{DSN}}" }}
defaults: {{ every: 300ms, retries: 0, timeout: {timeout}, max_bytes: 16MB, max_pages: 5 }}
collectors:
"""
COLLECTOR = """\
  {name}:
    get: {url}
    pages: {{ cursor: next, param: cursor }}
    rows: data
    since: {{ field: at, param: since }}
    to: {{ db: {{}} }}
"""

Row = dict[str, Any]


class Feed:
    """
    What one path of the API has.

    Attributes:
        rows: In the order of `at`; it serves two a page, `since` inclusive. The JSON of a
            row is that of its key ``raw``, if it has one.
        bad: Given a page's number (from 0) and the good answer, returns what is sent.
    """

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.bad: Callable[[int, Reply], Reply] = lambda page, reply: reply

    def heal(self) -> None:
        """Send good pages from now on."""
        self.bad = lambda page, reply: reply

    def answer(self, seen: Seen) -> Reply:
        """Return the page that is asked for, or what comes in its place."""
        query = dict(seen.params)
        rows = [row for row in self.rows if row["at"] >= int(query.get("since", "0"))]
        start = int(query.get("cursor", "0"))
        following = start + 2 if start + 2 < len(rows) else None
        texts = (row.get("raw") or json.dumps(row) for row in rows[start : start + 2])
        body = f'{{"data": [{", ".join(texts)}], "next": {json.dumps(following)}}}'
        return self.bad(start // 2, Reply(body.encode("utf-8", "surrogateescape")))


class World:
    """
    A project folder, its scripted API, and its target; one collector and table per feed.

    Args:
        dsn: URL of the target.
        feeds: Names of the collectors.
        timeout: Of a request, as it is written in the configuration.

    Attributes:
        port: Of the status page.
    """

    def __init__(
        self,
        folder: Path,
        api: ApiServer,
        dsn: str,
        feeds: Iterable[str] = ("things",),
        *,
        timeout: str = "2s",
    ) -> None:
        self.folder = folder
        self.api = api
        self.dsn = dsn
        self.feeds = {name: Feed() for name in feeds}
        self.port = free_port()
        config = CONFIG.format(port=self.port, timeout=timeout)
        for name, feed in self.feeds.items():
            config += COLLECTOR.format(name=name, url=api.on(f"/{name}", feed.answer))
        self.config = folder / "config.yaml"
        self.config.write_text(config)

    @property
    def things(self) -> Feed:
        """The only feed of a project that has one."""
        return self.feeds["things"]

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

    def landed(self, name: str = "things") -> Counter[int]:
        """Return how often each id is in a table."""
        return Counter(i for (i,) in self.sql(f'select id from "{name}"'))

    def dead(self, name: str = "things") -> list[dict[str, Any]]:
        """Return the dead letters of a collector's form and stream."""
        files = (self.folder / "STORE" / "dead_letter" / name).glob("*/*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def responses(self, name: str = "things") -> Path:
        """Return the folder of the bodies that could not be used."""
        return self.folder / "STORE" / "dead_letter" / name / "_responses"

    def statuses(self, *, healthy: bool) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return of each collector what ``status`` prints, and says with ``--json``."""
        code = 0 if healthy else 1
        printed = self.run("status", code=code).stdout
        picture = json.loads(self.run("status", "--json", code=code).stdout)
        assert picture["healthy"] == healthy
        sections: dict[str, str] = dict.fromkeys(self.feeds, "")
        name = ""
        for line in printed.splitlines()[1:]:
            name = name if line.startswith(" ") else line.partition(":")[0]
            sections[name] += f"{line}\n"
        return {name: (text, picture["collectors"][name]) for name, text in sections.items()}

    def status(self, *, healthy: bool) -> tuple[str, dict[str, Any]]:
        """Return the same of the only collector."""
        return self.statuses(healthy=healthy)["things"]


def thing(number: int, **more: Any) -> Row:
    """Return one row."""
    return {"id": number, "at": number, "name": f"thing {number}", "v": number, **more}


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
