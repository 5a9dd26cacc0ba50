"""The process at the edges of its life: a signal while it starts, a kill at a rare place."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.api_server import ApiServer, Reply

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """\
status: { bind: "127.0.0.1:0" }
streams:
  lite: { url: "sqlite:///x.db" }
collectors:
  orders: { every: 30s, get: "http://127.0.0.1:1/orders", retries: 0, to: { lite: {} } }
"""


@pytest.mark.parametrize("module", ["pyarrow.lib", "pydantic", "api2db.app.daemon"])
def test_a_signal_while_it_starts(tmp_path: Path, module: str) -> None:
    """SIGTERM while the program is still being imported ends it in order, with 0."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    # Python tells on stderr what it has just imported; nothing else holds the process back.
    daemon = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "api2db", "run"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert daemon.stderr is not None
        assert any(line.split()[-1] == module for line in daemon.stderr), "it was not imported"
        daemon.send_signal(signal.SIGTERM)
        rest = daemon.stderr.read()
        assert daemon.wait(30) == 0, rest
    finally:
        daemon.kill()
        daemon.wait()
        assert daemon.stderr is not None
        daemon.stderr.close()


def test_a_crash_after_the_dead_letters(tmp_path: Path) -> None:
    """Killed when refused rows are on disk and the rest is not: each row lands or lies once."""
    rows = [{"id": 1, "v": "a"}, {"id": None, "v": "b"}, {"id": 2, "v": "c"}]
    dead = tmp_path / "STORE" / "dead_letter" / "orders" / "lite"
    with ApiServer() as api:
        url = api.on("/orders", Reply(rows), Reply([]))
        config = CONFIG.replace("http://127.0.0.1:1/orders", url)
        (tmp_path / "config.yaml").write_text(config.replace("lite: {} ", "lite: { upsert: id } "))
        for crash, code in (("worker.after_dead_letter:1", -signal.SIGKILL), ("", 1)):
            done = subprocess.run(
                [sys.executable, "-m", "api2db", "run", "--once"],
                cwd=tmp_path,
                env={**os.environ, "API2DB_CRASH": crash},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == code, done.stderr
            (path,) = dead.glob("*.jsonl")
            (line,) = path.read_text().splitlines()
            assert "the key 'id' is NULL" in line
    assert "orders/lite: 1 rows were refused" in done.stderr
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        assert database.execute("select id, v from orders").fetchall() == [(1, "a"), (2, "c")]


def test_a_signal_and_its_echo(tmp_path: Path) -> None:
    """Two signals at once, as ``timeout`` sends them, are one: the daemon ends in order."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    daemon = subprocess.Popen(
        [sys.executable, "-m", "api2db", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        assert daemon.stderr is not None
        assert any("poll_failed" in line for line in daemon.stderr)
        daemon.send_signal(signal.SIGTERM)
        daemon.send_signal(signal.SIGINT)
        assert '"stopped"' in daemon.stderr.read()
        assert daemon.wait(30) == 0
    finally:
        daemon.kill()
        daemon.wait()
        assert daemon.stderr is not None
        daemon.stderr.close()
