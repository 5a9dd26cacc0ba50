"""Stores, run by a daemon on real files, into real SQLite."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMAND = Path(sys.executable).with_name("api2db")
CONFIG = """\
streams:
  db: { url: "sqlite:///x.db" }
  again: { local: composed_again }
collectors:
  c: { every: 1h, python: nothing:rows, to: { db: { table: other } } }
stores:
  s:
    collector: c
    from: shards
    every: 10m
    to: { db: { table: t%s }, again: {} }
%s
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "collectors").mkdir()
    (tmp_path / "collectors" / "nothing.py").write_text("def rows():\n    return []\n")
    (tmp_path / "shards").mkdir()
    configure(tmp_path)
    return tmp_path


def configure(project: Path, more: str = "", to: str = "") -> None:
    (project / "config.yaml").write_text(CONFIG % (to, more))


def put(project: Path, name: str, *rows: dict[str, object]) -> Path:
    """Write a shard as somebody would who is not us, and is done with it."""
    path = project / "shards" / name
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    os.utime(path, (1, 1))
    return path


def once(project: Path, crash: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "run", "--once"],
        cwd=project,
        env={**os.environ, "API2DB_CRASH": crash},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def rows(project: Path, query: str = "select n, text from t order by rowid") -> list[tuple[object]]:
    with closing(sqlite3.connect(project / "x.db")) as db:
        return db.execute(query).fetchall()


def left(project: Path) -> list[str]:
    return sorted(path.name for path in (project / "shards").iterdir())


def test_shards_are_composed_loaded_and_removed(project: Path) -> None:
    """All in one batch, in the order of their names, into every stream; columns may differ."""
    put(project, "2.parquet", {"n": 2, "text": "two", "more": 1.5})
    put(project, "1.parquet", {"n": 1, "text": "one"}, {"n": 1, "text": "one"})
    done = once(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert rows(project) == [(1, "one"), (1, "one"), (2, "two")]
    assert left(project) == []
    (composed,) = (project / "composed_again" / "c").glob("*.parquet")
    assert pq.read_table(composed).num_rows == 3
    put(project, "1.parquet", {"n": 3, "text": "three"})
    assert once(project).returncode == 0
    assert [n for n, _ in rows(project)] == [1, 1, 2, 3]
    assert rows(project, "select count(*) from _api2db_batches") == [(0,)]


def test_texts_stay_texts(project: Path) -> None:
    """The types of the shards are those of the target, also where a text looks like a time."""
    put(project, "1.parquet", {"n": 1, "text": "2024-02-29T00:00:00Z"})
    assert once(project).returncode == 0
    assert rows(project) == [(1, "2024-02-29T00:00:00Z")]


def test_kept_shards_and_compositions(project: Path) -> None:
    """After landing shards move to `keep_shards`, what was composed to `keep_composed`."""
    configure(project, "    keep_shards: old/shards\n    keep_composed: old/composed\n")
    put(project, "1.parquet", {"n": 1, "text": "one"})
    put(project, "2.parquet", {"n": 2, "text": "two"})
    assert once(project).returncode == 0
    assert left(project) == []
    kept = sorted((project / "old" / "shards").iterdir())
    assert [path.name for path in kept] == ["1.parquet", "2.parquet"]
    (composed,) = (project / "old" / "composed").iterdir()
    assert pq.read_table(composed).to_pylist() == [
        {"n": 1, "text": "one"},
        {"n": 2, "text": "two"},
    ]
    put(project, "1.parquet", {"n": 3, "text": "three"})
    assert once(project).returncode == 0
    kept = sorted((project / "old" / "shards").iterdir())
    assert [path.name for path in kept] == ["1-1.parquet", "1.parquet", "2.parquet"]


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        ("true", [(1, "a"), (1, "b"), (2, "c")]),
        ("n", [(1, "a"), (2, "c")]),
        ("[n, text]", [(1, "b"), (1, "a"), (2, "c")]),
        ("false", [(1, "a"), (1, "b"), (1, "a"), (2, "c")]),
    ],
)
def test_duplicates(project: Path, drop: str, expected: list[tuple[object]]) -> None:
    """Equal rows: the first stays; rows of one key: the last."""
    configure(project, f"    drop_duplicates: {drop}\n")
    put(project, "1.parquet", {"n": 1, "text": "a"}, {"n": 1, "text": "b"})
    put(project, "2.parquet", {"n": 1, "text": "a"}, {"n": 2, "text": "c"})
    assert once(project).returncode == 0
    assert rows(project) == expected


def test_what_cannot_be_read_is_set_aside(project: Path) -> None:
    """The rest lands; `run --once` names it with 1, until somebody has taken it away."""
    put(project, "1.parquet", {"n": 1, "text": "one"})
    bad = project / "shards" / "2.parquet"
    bad.write_bytes(b"PAR1 no more")
    done = once(project)
    assert done.returncode == 1
    assert "1 shards in " in done.stderr
    assert rows(project) == [(1, "one")]
    assert left(project) == ["2.parquet.unreadable"]
    (project / "shards" / "2.parquet.unreadable").unlink()
    assert once(project).returncode == 0


def test_files_that_are_still_written_are_left_alone(project: Path) -> None:
    """Hidden and temporary names, and a file that grows."""
    put(project, ".1.parquet", {"n": 1, "text": "hidden"})
    put(project, "2.parquet.tmp", {"n": 2, "text": "temporary"})
    growing = project / "shards" / "3.parquet"
    ended = threading.Event()

    def grow() -> None:
        while not ended.wait(0.02):
            with growing.open("ab") as file:
                file.write(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        done = once(project)
    finally:
        ended.set()
        writer.join()
    assert done.returncode == 0, done.stderr
    assert left(project) == [".1.parquet", "2.parquet.tmp", "3.parquet"]


@pytest.mark.parametrize(
    "point",
    [
        "store.after_intent:1",
        "poller.after_put:1",
        "store.after_put:1",
        "sink.after_commit:1",
        "worker.before_ack:1",
        "spool.after_ack:1",
        "store.mid_retire:1",
        "store.mid_retire:2",
        "store.before_forget:1",
    ],
)
def test_a_crash_anywhere_neither_loses_nor_doubles(project: Path, point: str) -> None:
    """Killed while it composes, lands, or puts shards away; the next run ends it."""
    configure(project, "    keep_shards: old\n")
    put(project, "1.parquet", {"n": 1, "text": "one"})
    put(project, "2.parquet", {"n": 2, "text": "two"})
    assert once(project, point).returncode == -9
    put(project, "3.parquet", {"n": 3, "text": "three"})
    assert once(project).returncode == 0
    assert rows(project) == [(1, "one"), (2, "two"), (3, "three")]
    assert left(project) == []
    assert len(list((project / "old").iterdir())) == 3
    assert not list((project / "STORE" / "stores" / "s").iterdir())


def test_a_target_that_is_away_keeps_the_shards(project: Path) -> None:
    """Shards are put away when all targets have them, and not taken twice meanwhile."""
    text = CONFIG % ("", "")
    away = text.replace('"sqlite:///x.db"', '"postgresql://u@127.0.0.1:1/x", attempts: 1')
    (project / "config.yaml").write_text(away)
    put(project, "1.parquet", {"n": 1, "text": "one"})
    for _ in range(2):
        done = once(project)
        assert done.returncode == 1
        assert "s/db: 1 batches are spilled" in done.stderr
        assert left(project) == ["1.parquet"]
    configure(project)
    assert once(project).returncode == 0
    assert rows(project) == [(1, "one")]
    assert left(project) == []


def test_a_shard_that_was_written_anew_is_taken_anew(project: Path) -> None:
    """Another content under the name of a shard that is under way is another shard."""
    put(project, "1.parquet", {"n": 1, "text": "one"})
    assert once(project, "store.after_put:1").returncode == -9
    put(project, "1.parquet", {"n": 2, "text": "two"}, {"n": 3, "text": "three"})
    assert once(project).returncode == 0
    assert rows(project) == [(1, "one"), (2, "two"), (3, "three")]
    assert left(project) == []
