"""A collector file in the manner of the quickstart of 2021, unchanged, against real servers."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fault.collector_of_2021 import COMMAND, PASSWORD, ROWS, Quickstart
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.mysql import MySql

pytestmark = [
    pytest.mark.backend("mysql"),
    pytest.mark.backend("mariadb"),
    pytest.mark.slow,
    pytest.mark.timeout(300),
]


@pytest.fixture
def quickstart(tmp_path: Path) -> Iterator[Quickstart]:
    with MySql() as mysql, MariaDb() as mariadb:
        project = Quickstart(tmp_path, mysql, mariadb, random.SystemRandom().randrange(2**31))
        try:
            yield project
        finally:
            project.close()


def _run(project: Quickstart, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *args],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_runs_killed_and_restarted(quickstart: Quickstart) -> None:
    """Four kills: each row is in MySQL, in a local shard and in MariaDB, once."""
    for _ in range(4):
        quickstart.live_and_die()
    quickstart.settle()
    landed = quickstart.landed()
    assert quickstart.verdict(landed) == ""
    assert len(landed["mysql"]) >= 8 * ROWS
    assert landed["mysql"] == landed["mariadb"] == landed["local"]
    _looks_as_documented(quickstart)
    _is_seen(quickstart, "insert into quakes select * from quakes limit 1", "mysql: doubled")
    _is_seen(quickstart, "delete from quakes where serial = 3", "mysql: in part")
    _is_seen(quickstart, "delete from quakes where serial < 7", "mysql: lost")


def _is_seen(project: Quickstart, statement: str, what: str) -> None:
    """The oracle of this test can say no."""
    with project.servers["mysql"].connect("test") as connection, connection.cursor() as cursor:
        cursor.execute(statement)
    assert what in project.verdict(project.landed())


def _looks_as_documented(project: Quickstart) -> None:
    """All of the product works on it: types, folders, `list`, `check`, `status`, no secret."""
    with project.servers["mysql"].connect("test") as connection, connection.cursor() as cursor:
        cursor.execute(
            "select column_name, data_type from information_schema.columns"
            " where table_schema = 'test' and table_name = 'quakes'"
        )
        types = dict(cursor.fetchall())
        cursor.execute("select updated, place, magnitude from quakes where serial = 5")
        updated, place, magnitude = cursor.fetchone()  # type: ignore[misc]
    assert types == {
        "generated": "bigint",
        "uuid": "longtext",
        "serial": "bigint",
        "magnitude": "double",
        "place": "longtext",
        "updated": "datetime",
    }
    assert (str(updated), place, magnitude) == (
        "2021-05-01 00:00:05",
        "5 KM SÜDLICH VON 'X'",
        None,
    )
    assert not (project.folder / "CACHE").exists()  # no pickle of the types
    assert "quakes" in _run(project, "list").stdout
    assert _run(project, "check", "--connect").returncode == 0
    picture = json.loads(_run(project, "status", "--json").stdout)
    assert picture["healthy"], picture
    one, store = sorted(picture["collectors"])
    assert one == "quakes" and store.startswith("quakes.sql.mariadb.test-")
    assert PASSWORD not in project.log() + json.dumps(picture)
