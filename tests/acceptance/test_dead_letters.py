"""Dead rows: listed, shown, mended, sent again once, also when that is killed; dropped."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

COMMAND = Path(sys.executable).with_name("api2db")
pytestmark = [pytest.mark.backend("sqlite"), pytest.mark.timeout(120)]

CONFIG = """\
streams:
  lite: { url: "sqlite:///out.db" }
  files: { local: out }
collectors:
  things:
    every: 1h
    python: things_:fetch
    columns: { id: int, at: datetime, price: decimal, day: date, extra: json, ok: bool }
    attempts: 1
    to: { lite: { upsert: id }, files: {} }
"""
MODULE = """\
import pathlib
def fetch():
    if pathlib.Path("quiet").exists():
        return []
    row = {"at": "2024-01-01T00:00:00.5Z", "price": "1.25", "day": "2024-02-03",
           "extra": {"a": [1]}, "ok": True}
    return [{"id": 1, **row}, {"id": None, **row}, {"id": "two", **row}]
"""


class Project:
    """A project in which one row is refused by SQLite, and one by the form."""

    def __init__(self, folder: Path, crash: str = "") -> None:
        self.folder = folder
        self.dead = folder / "STORE" / "dead_letter" / "things"
        (folder / "config.yaml").write_text(CONFIG)
        (folder / "collectors").mkdir()
        (folder / "collectors" / "things_.py").write_text(MODULE)
        done = self.command("run", "--once", crash=crash)
        assert done.returncode == (-signal.SIGKILL if crash else 1)
        (folder / "quiet").touch()

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

    def json(self, *args: str) -> list[dict[str, Any]]:
        lines = self.command(*args, "--json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def mend(self, stream: str, old: str, new: str) -> None:
        [letter] = (self.dead / stream).glob("*.jsonl")
        assert old in letter.read_text()
        letter.write_text(letter.read_text().replace(old, new))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let SQLite take no rows."""
        database = sqlite3.connect(self.folder / "out.db", isolation_level=None)
        try:
            database.execute("begin exclusive")
            yield
        finally:
            database.close()

    def lite(self) -> list[tuple[Any, ...]]:
        database = sqlite3.connect(self.folder / "out.db")
        try:
            return database.execute("select * from things order by id").fetchall()
        finally:
            database.close()

    def files(self) -> Counter[int | None]:
        tables = [pq.read_table(path) for path in (self.folder / "out").rglob("*.parquet")]
        return Counter(value for table in tables for value in table["id"].to_pylist())


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_list_and_show(project: Project) -> None:
    """Where rows are dead, how many, and why; the contents as they came."""
    [[rows, lite]] = project.json("dead", "list")
    assert (rows["stream"], rows["rows"], lite["stream"], lite["rows"]) == ("_rows", 1, "lite", 1)
    assert "NULL" in lite["reason"] or "null" in lite["reason"]
    [shown] = project.json("dead", "show", "things", "_rows")
    assert json.loads(shown["content"])["id"] == "two"
    assert len(project.json("dead", "show", "things")) == 2
    assert len(project.json("dead", "show", "things", "--limit", "1")) == 1
    for name in ("nothing", "../../etc"):
        assert project.command("dead", "show", "things", name).returncode == 2


@pytest.mark.parametrize("points", [[], ["after_shard", "after_rename", "after_move"]])
def test_a_refused_row_is_sent_to_its_stream_once(project: Project, points: list[str]) -> None:
    """Killed at any point and begun again: no stream gets the row twice, or not at all."""
    project.mend("lite", '\\"id\\": null', '\\"id\\": 7')
    for point in points:
        killed = project.command("dead", "retry", "things", crash=f"retry.{point}:1")
        assert killed.returncode == -signal.SIGKILL
        assert "lite" in project.command("dead", "list").stdout
    project.command("dead", "retry", "things", "lite")
    assert list((project.dead / "lite").iterdir()) == []
    project.command("run", "--once")
    one, seven = project.lite()
    assert (one[0], seven[0]) == (1, 7)
    assert one[1:] == seven[1:], "types survive the letter"
    assert project.files() == {1: 1, None: 1}, "the other stream has the row"
    assert project.json("dead", "list")[0][0]["stream"] == "_rows"


@pytest.mark.parametrize("crash", ["", "retry.after_put:1"])
def test_a_row_that_did_not_fit_goes_through_the_form_again(project: Project, crash: str) -> None:
    """Every stream gets it once; what still does not fit stays."""
    assert project.command("dead", "retry", "things", "_rows").returncode == 1
    [letter] = (project.dead / "_rows").glob("*.jsonl")
    both = letter.read_text() + letter.read_text().replace("two", "three")
    letter.write_text(both.replace('\\"two\\"', "2"))
    if crash:
        killed = project.command("dead", "retry", "things", "_rows", crash=crash)
        assert killed.returncode == -signal.SIGKILL
    done = project.command("dead", "retry", "things", "_rows")
    assert (done.returncode, "1 rows stay" in done.stderr) == (1, True)
    project.command("run", "--once")
    assert [row[0] for row in project.lite()] == [1, 2]
    assert project.files() == {1: 1, 2: 1, None: 1}
    assert len(project.json("dead", "show", "things", "_rows")) == 1


def test_drop(project: Project) -> None:
    """Only who says so; then the rows are gone and the project is healthy."""
    assert project.command("dead", "drop", "things").returncode == 2
    assert project.command("dead", "drop", "things", "--yes").returncode == 0
    assert project.command("dead", "list").stdout == "no row is dead\n"
    assert project.command("run", "--once").returncode == 0
    assert project.command("dead", "drop", "nothing", "--yes").returncode == 2


def test_a_running_daemon_owns_the_letters(project: Project) -> None:
    """Exit 75, and nothing is touched; looking is allowed."""
    with (project.folder / "STORE" / "LOCK").open("rb+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in (["retry"], ["drop", "--yes"]):
            done = project.command("dead", command[0], "things", *command[1:])
            assert done.returncode == 75
        assert len(project.json("dead", "list")[0]) == 2
        assert project.command("spool", "verify").returncode == 0


def test_a_look_into_the_queues(project: Project) -> None:
    """Segments, records and cursors; damage is found by `verify`, and nothing is changed."""
    [picture] = project.json("spool", "inspect")
    things = picture["things"]
    assert (things["batches"], things["rows"], things["damage"]) == (1, 2, [])
    assert {stream["batches"] for stream in things["streams"].values()} == {0}
    [segment] = (project.folder / "STORE" / "spool" / "things" / "seg").glob("*.seg")
    raw = bytearray(segment.read_bytes())
    at = raw.index(b"ARROW") if b"ARROW" in raw else len(raw) // 2
    raw[at] ^= 1
    segment.write_bytes(raw)
    assert project.command("spool", "inspect", "things").returncode == 0
    done = project.command("spool", "verify")
    assert (done.returncode, "are no record" in done.stderr) == (1, True)
    assert segment.read_bytes() == raw
    assert project.command("spool", "verify", "other").returncode == 2


def test_the_letter_of_a_batch_that_waits_stays(tmp_path: Path) -> None:
    """In the queue or in a shard: without it the row would come again, or twice."""
    project = Project(tmp_path, crash="worker.after_dead_letter:1")
    (letter,) = (project.dead / "lite").glob("*.jsonl")
    for where in ("the queue", "upload_failed"):
        for command in (["drop", "--yes"], ["retry"]):
            done = project.command("dead", command[0], "things", "lite", *command[1:])
            assert (done.returncode, letter.exists()) == (1, True), done
            assert any(x in done.stderr for x in (f"waits in {where}", "batches wait for"))
        if where == "the queue":
            with project.locked():
                assert project.command("run", "--once").returncode == 1
    (shard,) = (tmp_path / "STORE/upload_failed/things/sql.sqlite").glob("*.parquet")
    damaged = shard.rename(f"{shard}.damaged")
    for command in (["drop", "--yes"], ["retry"]):
        done = project.command("dead", command[0], "things", "lite", *command[1:])
        assert (done.returncode, str(damaged) in done.stderr) == (1, True)
    damaged.rename(shard)
    assert project.command("replay", "--from", "failed").returncode == 1  # rows are dead
    done = project.command("dead", "drop", "things", "lite", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"dropped": 1, "left": 0})
    project.command("run", "--once")
    assert [row[0] for row in project.lite()] == [1]
    assert project.json("dead", "list")[0][0]["stream"] == "_rows"
