"""Python collectors through the installed command, killed in the middle."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("api2db")
pytestmark = [pytest.mark.backend("sqlite"), pytest.mark.timeout(120)]

CONFIG = """\
streams:
  db: { url: "sqlite:///out.db" }
defaults: { every: 1h }
collectors:
  plain: { python: "numbers_:plain", to: { db: { } } }
  marked: { python: "numbers_:marked", to: { db: { } } }
"""

#: Ten chunks of which every other row is equal to one before; ten with a checkpoint each.
MODULE = """\
import datetime
from api2db import Checkpoint

def plain():
    for i in range(10):
        yield [{"n": i}, {"n": None}]

def marked(checkpoint):
    for i in range(checkpoint or 0, 10):
        yield {"n": i, "at": datetime.datetime(2024, 1, 1, i, tzinfo=datetime.UTC)}
        yield [{"n": None, "late": str(i % 3)}]
        yield Checkpoint(i + 1)
"""


class Project:
    """A folder with config.yaml and collectors."""

    def __init__(self, folder: Path, config: str = CONFIG, module: str = MODULE) -> None:
        self.folder = folder
        (folder / "config.yaml").write_text(config)
        (folder / "collectors").mkdir()
        (folder / "collectors" / "numbers_.py").write_text(module)

    def command(self, *args: str, crash: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *args],
            cwd=self.folder,
            env={**os.environ, "API2DB_CRASH": crash},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def rows(self, table: str) -> Counter[tuple[object, ...]]:
        database = sqlite3.connect(self.folder / "out.db")
        try:
            return Counter(database.execute(f"select * from {table}").fetchall())
        finally:
            database.close()


@pytest.mark.parametrize("point", ["poller.before_put", "poller.after_put"])
def test_a_killed_poll_loses_and_doubles_nothing(tmp_path: Path, point: str) -> None:
    """kill -9 again and again: the function without checkpoints begins again, the other goes on."""
    project = Project(tmp_path)
    kills = 0
    for nth in (3, 5, 2, 4, 40):
        done = project.command("run", "--once", crash=f"{point}:{nth}")
        if done.returncode != -9:
            break
        kills += 1
    assert kills >= 3
    while done.returncode == -9:
        done = project.command("run", "--once")
    assert done.returncode == 0, done.stderr
    plain, marked = project.rows("plain"), project.rows("marked")
    # A collector whose poll ended before a kill polls anew: whole calls, nothing in between.
    calls = plain[(0,)]
    assert plain == {(i,): calls for i in range(10)} | {(None,): 10 * calls}
    assert sum(marked.values()) == 20
    assert all(count == 1 for row, count in marked.items() if row[0] is not None)


def test_a_broken_module_is_exit_2_with_its_line(tmp_path: Path) -> None:
    """Before anything runs: every broken function, with file, line and reason."""
    project = Project(tmp_path, module="import nosuch\n")
    for command in (["check"], ["run", "--once"], ["preview", "plain"]):
        done = project.command(*command)
        assert done.returncode == 2
        said = "collectors/numbers_.py:1: ModuleNotFoundError: No module named 'nosuch'"
        assert f"config.yaml:5: collectors.plain.python: {said}" in done.stderr
        assert (f"config.yaml:6: collectors.marked.python: {said}" in done.stderr) == (
            command[0] != "preview"
        )
    assert not (tmp_path / "STORE" / "spool").exists()
    assert project.command("status").returncode in (0, 1)


def test_errors_and_hanging_functions_leave_the_others_alone(tmp_path: Path) -> None:
    """One function raises, one never returns; the third keeps its pace in the same daemon."""
    config = """\
streams: { db: { url: "sqlite:///out.db" } }
status: { bind: "127.0.0.1:0" }
collectors:
  raises: { every: 100ms, python: "numbers_:raises", to: { db: { } } }
  hangs: { every: 100ms, python: "numbers_:hangs", to: { db: { } } }
  works: { every: 100ms, python: "numbers_:works", to: { db: { } } }
"""
    module = """\
import threading
def raises():
    return {}["gone"]
def hangs():
    threading.Event().wait()
def works():
    return {"n": 1}
"""
    project = Project(tmp_path, config, module)
    log = tmp_path / "daemon.log"
    with log.open("wb") as out:
        daemon = subprocess.Popen([COMMAND, "run"], cwd=tmp_path, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        landed = 0
        while landed < 10 and time.monotonic() < deadline and daemon.poll() is None:
            threading.Event().wait(0.1)
            try:
                landed = sum(project.rows("works").values())
            except sqlite3.OperationalError:
                continue
        status = json.loads(project.command("status", "--json").stdout)
    finally:
        daemon.terminate()
        code = daemon.wait(60)
    assert landed >= 10
    assert code == 0
    assert status["collectors"]["works"]["healthy"]
    assert "collectors/numbers_.py:3: KeyError: 'gone'" in status["collectors"]["raises"]["error"]
    assert "Traceback" in log.read_text()


def test_one_signal_ends_a_run_whose_function_hangs(tmp_path: Path) -> None:
    """`run --once` does not wait for ever for what never returns."""
    module = "import pathlib, threading\ndef plain():\n    pathlib.Path('called').touch()\n"
    module += "    threading.Event().wait()\ndef marked():\n    return []\n"
    Project(tmp_path, module=module)
    run = subprocess.Popen([COMMAND, "run", "--once"], cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "called").exists() and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        run.terminate()
        assert run.wait(30) == 1
    finally:
        run.kill()
        run.wait()
