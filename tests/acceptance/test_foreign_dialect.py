"""A database whose SQLAlchemy dialect nobody here knows, as a source of the installed command."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import bitbucket_dialect

COMMAND = Path(sys.executable).with_name("api2db")
pytestmark = [pytest.mark.backend("sqlite"), pytest.mark.timeout(120)]

CONFIG = """\
streams: { db: { url: "sqlite:///out.db" } }
defaults: { every: 1h }
collectors:
  issues:
    sql: "bitbucket:///?Workspace=myworkspaceslug&Schema=Information\\
      &InitiateOAuth=GETANDREFRESH&OAuthSettingsLocation=."
    table: Issues
    page_size: 99
    since: { field: UpdatedOn, lag: 1ms }
    to: { db: { } }
  one:
    sql: "bitbucket:///?Workspace=myworkspaceslug&Schema=Information\\
      &InitiateOAuth=GETANDREFRESH&OAuthSettingsLocation=."
    query: select Id, Title, [Content Raw] as Raw from Issues where Id = '000001'
    key: Id
    to: { db: { upsert: Id } }
"""
N_ROWS = 1_000
TABLE = """\
create table Issues (
    Id varchar(20) primary key, Title varchar(200), [Content Raw] text, [Order] integer,
    UpdatedOn datetime not null, Votes decimal(10, 2), Open boolean
)
"""


def issue(i: int, at: str, title: str = "") -> tuple[Any, ...]:
    """Return a row."""
    return f"{i:06}", title or f"t{i}", "é😀", i, f"2024-01-01 00:00:{at}", i / 4, i % 2


class Project:
    """A folder with a workspace in it, and perhaps the dialect."""

    def __init__(self, folder: Path, *, installed: bool = True) -> None:
        self.folder = folder
        self.path = [str(bitbucket_dialect.install(folder))] if installed else []
        (folder / "config.yaml").write_text(CONFIG)
        with closing(sqlite3.connect(folder / "myworkspaceslug.db")) as db, db:
            db.execute(TABLE)
            rows = (issue(i, f"00.{i // 7:03}000") for i in range(N_ROWS))
            db.executemany("insert into Issues values (?, ?, ?, ?, ?, ?, ?)", rows)

    def run(self, *args: str, crash: str = "", code: int = 0) -> str:
        """Run ``api2db *args*``, check its exit code, and return what it says."""
        path = os.pathsep.join([*self.path, os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [COMMAND, *args],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "API2DB_CRASH": crash},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{args}: {done.returncode}\n{said}"
        assert "Traceback" not in said
        return said

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """Ask the target."""
        with closing(sqlite3.connect(self.folder / "out.db")) as db:
            return db.execute(select).fetchall()


def test_each_version_of_a_row_once(tmp_path: Path) -> None:
    """Reflection, quoted names, keyset pages with ties over their borders, `since`, and kill -9."""
    project = Project(tmp_path)
    project.run("check", "--connect")
    for crash in ("poller.after_put:3", "poller.before_put:5", ""):
        project.run("run", "--once", crash=crash, code=-9 if crash else 0)
    ids = Counter(i for (i,) in project.rows("select Id from issues"))
    assert ids == Counter(f"{i:06}" for i in range(N_ROWS))
    columns = '"Content Raw", "Order", UpdatedOn, Votes, Open'
    landed = project.rows(f"select {columns} from issues where Id = '000009'")
    assert landed == [("é😀", 9, "2024-01-01T00:00:00.001Z", "2.25", 1)]
    with closing(sqlite3.connect(tmp_path / "myworkspaceslug.db")) as db, db:
        db.execute("delete from Issues where Id = '000003'")
        new = [issue(3, "30.000000", "changed"), issue(N_ROWS, "40.000000")]
        db.executemany("insert into Issues values (?, ?, ?, ?, ?, ?, ?)", new)
    for _ in range(2):
        project.run("run", "--once")
    titles = project.rows("select Title from issues where Id in ('000003', '001000') order by 1")
    assert titles == [("changed",), ("t1000",), ("t3",)]
    assert project.rows("select count(*) from issues") == [(N_ROWS + 2,)]
    assert project.rows("select * from one") == [("000001", "t1", "é😀")]


def test_the_dialect_is_missing(tmp_path: Path) -> None:
    """A mistake in the configuration, with its line and the next step."""
    said = Project(tmp_path, installed=False).run("check", code=2)
    assert "config.yaml:5: collectors.issues.sql: sql: no driver for bitbucket" in said
    assert "install the package with the SQLAlchemy dialect 'bitbucket' beside api2db" in said
