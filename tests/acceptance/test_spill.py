"""A target that is away for longer than its attempts, through the installed command."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

COMMAND = Path(sys.executable).with_name("api2db")
AWAY = "postgresql://u@127.0.0.1:1/nothing"
CONFIG = """\
streams:
  db: {{ url: "{url}", attempts: 2 }}
  files: {{ local: shards }}
  more: {{ url: "{url}", attempts: 2 }}
collectors:
  c:
    every: 1h
    get: {api}
    to: {{ db: {{ upsert: id }}, files: {{}}, more: {{ table: all_rows }} }}
"""


class Api(BaseHTTPRequestHandler):
    """Answers each poll with two rows; a row's version is the number of the poll."""

    polls = 0

    def do_GET(self) -> None:
        Api.polls += 1
        body = json.dumps([{"id": n, "version": Api.polls} for n in (1, 2)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api() -> Iterator[str]:
    Api.polls = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def api2db(folder: Path, *arguments: str, crash: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "API2DB_CRASH": crash},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_spilled_batches_wait_and_land_in_order(tmp_path: Path, api: str) -> None:
    """Three polls spill, 1 and said so; with the target back, the newest version of each key."""
    config, spilled = tmp_path / "config.yaml", tmp_path / "STORE" / "upload_failed" / "c"
    config.write_text(CONFIG.format(url=AWAY, api=api))
    for poll in (1, 2, 3):
        done = api2db(tmp_path, "run", "--once")
        assert done.returncode == 1
        assert f"c/db: {poll} batches are spilled: " in done.stderr
    shards = sorted((spilled / "sql.postgresql").glob("*.parquet"))
    names = [int(path.stem) for path in shards]
    assert len(names) == 3
    assert names == [int(p.stem) for p in sorted((spilled / "sql.postgresql@more").iterdir())]
    assert names == [int(p.stem) for p in sorted((tmp_path / "shards" / "c").iterdir())]
    assert pq.read_table(shards[0]).to_pylist() == [{"id": n, "version": 1} for n in (1, 2)]

    status = api2db(tmp_path, "status", "--json")
    assert status.returncode == 1
    streams = json.loads(status.stdout)["collectors"]["c"]["streams"]
    assert {name: s["spilled_batches"] for name, s in streams.items()} == {
        "db": 3,
        "files": 0,
        "more": 3,
    }
    assert streams["db"]["queued_batches"] == 0

    # Shards follow their stream to wherever it leads now.
    config.write_text(CONFIG.format(url="sqlite:///x.db", api=api))
    done = api2db(tmp_path, "run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert db.execute("select id, version from c order by id").fetchall() == [(1, 4), (2, 4)]
        landed = db.execute("select version from all_rows order by rowid").fetchall()
        assert landed == [(v,) for v in (1, 1, 2, 2, 3, 3, 4, 4)]
        assert db.execute("select count(*) from _api2db_batches").fetchone() == (0,)
    assert not list(spilled.rglob("*.parquet"))
    assert api2db(tmp_path, "status").returncode == 0


def test_replay_lands_what_was_spilled_and_asks_no_api(tmp_path: Path, api: str) -> None:
    """`replay --from failed` ends with 1 while the target is away, with 0 once all has landed."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(url=AWAY, api=api))
    for _ in range(2):
        assert api2db(tmp_path, "run", "--once").returncode == 1
    assert api2db(tmp_path, "replay", "--from", "failed").returncode == 1
    config.write_text(CONFIG.format(url="sqlite:///x.db", api=api))
    done = api2db(tmp_path, "replay", "--from", "failed", "--json")
    assert done.returncode == 0
    streams = json.loads(done.stdout)["collectors"]["c"]["streams"]
    assert {name: s["rows_landed"] for name, s in streams.items()} == {
        "db": 4,
        "files": 0,
        "more": 4,
    }
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert db.execute("select id, version from c order by id").fetchall() == [(1, 2), (2, 2)]
    assert Api.polls == 2
    assert api2db(tmp_path, "replay").returncode == 2


@pytest.mark.parametrize(
    ("point", "left"), [("before_remove:1", 3), ("mid_remove:2", 1), ("after_remove:1", 0)]
)
def test_a_kill_between_commit_and_removal_doubles_nothing(
    tmp_path: Path, api: str, point: str, left: int
) -> None:
    """Shards that landed and are still there are known by their markers at the next start."""
    config, spilled = tmp_path / "config.yaml", tmp_path / "STORE" / "upload_failed" / "c"
    text = CONFIG.replace("db: {{ upsert: id }}, files: {{}}, ", "")
    config.write_text(text.format(url=AWAY, api=api))
    for _ in range(3):
        assert api2db(tmp_path, "run", "--once").returncode == 1
    config.write_text(text.format(url="sqlite:///x.db", api=api))
    killed = api2db(tmp_path, "replay", "--from", "failed", crash=f"recompose.{point}")
    assert killed.returncode == -9
    assert len(list(spilled.glob("sql.sqlite/*.parquet"))) == left
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert db.execute("select count(*) from _api2db_batches").fetchone() == (3,)
        assert api2db(tmp_path, "run", "--once").returncode == 0
        landed = db.execute("select version from all_rows order by rowid").fetchall()
        assert landed == [(v,) for v in (1, 1, 2, 2, 3, 3, 4, 4)]
        assert db.execute("select count(*) from _api2db_batches").fetchone() == (0,)
    assert not list(spilled.rglob("*.parquet"))


def test_a_damaged_shard_is_named_and_blocks_nothing(tmp_path: Path, api: str) -> None:
    """What can be read lands; the rest is set aside, and `run --once` says so with 1."""
    config, spilled = tmp_path / "config.yaml", tmp_path / "STORE" / "upload_failed" / "c"
    config.write_text(CONFIG.format(url=AWAY, api=api))
    for _ in range(2):
        assert api2db(tmp_path, "run", "--once").returncode == 1
    first = min((spilled / "sql.postgresql").iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    config.write_text(CONFIG.format(url="sqlite:///x.db", api=api))
    done = api2db(tmp_path, "run", "--once")
    assert done.returncode == 1
    assert "c/db: 1 spilled batches are damaged" in done.stderr
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        assert db.execute("select id, version from c order by id").fetchall() == [(1, 3), (2, 3)]
        assert db.execute("select count(*) from all_rows").fetchone() == (6,)
    assert (spilled / "sql.sqlite" / f"{first.name}.damaged").exists()
