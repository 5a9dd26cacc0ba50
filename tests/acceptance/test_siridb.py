"""A configuration with SiriDB, run and checked as a person does, on a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.siridb import PASSWORD, USER, SiriDbServer

pytestmark = pytest.mark.backend("siridb")

CONFIG = """\
streams:
  siri: { siridb: { auth: AUTH/siridb.json, tags: [station], time: at } }
collectors:
  weather:
    every: 1h
    python: weather:rows
    columns: { at: datetime, station: str, temp: float, ok: bool }
    to: { siri: {} }
"""
ROWS = """\
def rows():
    yield [
        {"at": "2024-01-01T00:00:00Z", "station": "a", "temp": 1.5, "ok": True},
        {"at": "2024-01-01T00:00:01Z", "station": "b", "temp": None, "ok": False},
        {"at": None, "station": "b", "temp": 2.5, "ok": False},
    ]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SiriDbServer]:
    """One server."""
    with SiriDbServer() as server:
        server.create_database("weather", "ms")
        yield server


@pytest.fixture
def project(tmp_path: Path, server: SiriDbServer) -> Path:
    """A project whose stream leads to it."""
    (tmp_path / "collectors").mkdir()
    (tmp_path / "AUTH").mkdir()
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "collectors" / "weather.py").write_text(ROWS)
    write_auth(tmp_path, hostlist=[["127.0.0.1", server.port]])
    return tmp_path


def write_auth(project: Path, **changed: Any) -> None:
    """Write the file of AUTH/."""
    file = project / "AUTH" / "siridb.json"
    file.touch(mode=0o600)
    given = {"username": USER, "password": PASSWORD, "dbname": "weather"}
    before = json.loads(file.read_text() or "{}")
    file.write_text(json.dumps({**given, **before, **changed}))


def api2db(project: Path, *args: str, path: str = "") -> tuple[int, str]:
    """Run a command; return its exit code and all that it said."""
    env = {**os.environ, "PYTHONPATH": f"{path}:{os.environ.get('PYTHONPATH', '')}"}
    command = [str(Path(sys.executable).with_name("api2db")), *args]
    run = subprocess.run(
        command, cwd=project, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return run.returncode, run.stdout + run.stderr


def test_rows_become_points(project: Path, server: SiriDbServer) -> None:
    """Twice the same poll is twice the points; the row without a time is a dead letter."""
    code, said = api2db(project, "check", "--connect")
    assert (code, "stream siri for weather: ok" in said) == (0, True)
    for _ in range(2):
        api2db(project, "run", "--once")
    base = 1_704_067_200_000
    (found,) = server.query("weather", "select * from /^weather.*/")
    assert found == {
        "weather|station=a|temp": [[base, 1.5]] * 2,
        "weather|station=a|ok": [[base, 1]] * 2,
        "weather|station=b|ok": [[base + 1000, 0]] * 2,
    }
    code, said = api2db(project, "dead", "list")
    assert "siri" in said
    assert "the time 'at' is NULL" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "s3cret"}, "Invalid credentials; check username, password and dbname"),
        ({"dbname": "nowhere"}, "Unknown database; check username, password and dbname"),
        ({"hostlist": [["127.0.0.1", 1]]}, "SiriDB 127.0.0.1:1: [Errno 111] Connect call failed"),
    ],
)
def test_check_says_what_to_look_at(project: Path, changed: dict[str, Any], said: str) -> None:
    """It ends with 1, with one line, which shows no password."""
    write_auth(project, **changed)
    code, output = api2db(project, "check", "--connect")
    assert code == 1
    assert said in output
    assert "s3cret" not in output


def test_the_client_is_missing(project: Path) -> None:
    """It says what to install."""
    shadow = project / "shadow" / "siridb"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").write_text("raise ModuleNotFoundError(name='siridb')")
    write_auth(project, password="s3cret")
    code, output = api2db(project, "check", "--connect", path=str(shadow.parent))
    assert code == 1
    assert "pip install 'api2db[siridb]>=2'" in output
