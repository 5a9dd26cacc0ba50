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


def test_preview_says_where_points_go(project: Path) -> None:
    """By the names of their series."""
    code, said = api2db(project, "preview", "weather")
    assert (code, "weather|station=<station>|<column>" in said) == (0, True), said


def test_a_declared_stream_lands(
    project: Path, server: SiriDbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Stream2Siridb` and `Store2Siridb` write through this sink, from a file or as given."""
    from pandas import DataFrame, Timestamp

    from api2db.store import Store2Siridb
    from api2db.stream import Stream2Siridb

    monkeypatch.chdir(project)
    how = {"tags": ["s"], "time": "at"}
    data = DataFrame({"at": [Timestamp(5, unit="s", tz="UTC")] * 2, "s": ["a", "b"], "v": [1, 2]})
    Stream2Siridb("declared", "AUTH/siridb.json", **how).stream(data)
    login = {"username": USER, "password": PASSWORD, "dbname": "weather"}
    hosts = [("127.0.0.1", server.port)]
    store = Store2Siridb("stored", 60, path="shards", hostlist=hosts, **login, **how)
    store.stream.stream(data)
    for name in ("declared", "stored"):
        (found,) = server.query("weather", f"select * from /^{name}.*/")
        assert found == {f"{name}|s=a|v": [[5000, 1]], f"{name}|s=b|v": [[5000, 2]]}


def test_a_stream_that_is_half_declared() -> None:
    """It says what is missing, and shows nothing."""
    from api2db.core.errors import ConfigError
    from api2db.stream import Stream2Siridb

    with pytest.raises(ConfigError, match="x: username, dbname missing") as caught:
        Stream2Siridb("x", password="s3cret")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigError, match="hostlist"):
        Stream2Siridb("x", username="u", password="s3cret", dbname="d")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "s3cret"}, "Invalid credentials; check username and password"),
        ({"dbname": "nowhere"}, "Unknown database; make the database, or check dbname"),
        ({"hostlist": [["127.0.0.1", 1]]}, "and is 'hostlist' in the AUTH file right?"),
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
    assert code == 2
    assert "pip install 'api2db[siridb]>=2'" in output
