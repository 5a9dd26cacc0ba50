"""`if_exists` of a declared stream, and a method of a user's, run from outside."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.postgres import Postgres

COMMAND = Path(sys.executable).with_name("api2db")
COLLECTOR = """\
from pathlib import Path
from api2db.ingest import *
from api2db.stream import *

calls = Path("calls")

def ticks_import():
    n = int(calls.read_text()) if calls.exists() else 0
    calls.write_text(str(n + 1))
    first, second = [{{"n": 10 * n}}, {{"n": 10 * n + 1}}], [{{"n": 10 * n + 2}}]
    return [{{"rows": first}}, None, {{"rows": second}}]

def ticks_form():
    pre = [ListExtract(lam=lambda x: x["rows"])]
    return ApiForm(name="ticks", pre_process=pre, data_features=[
        Feature(key="n", lam=lambda x: x["n"], dtype=int)], post_process=[])

class Mine(Stream2Local):
    def stream(self, data):
        if Path("away").exists():
            raise ConnectionError("away")
        with open("mine", "a") as file:
            file.writelines(f"{{n}}\\n" for n in data["n"])

def ticks_streams():
    return [Stream2Sql(name="ticks", db_name="postgres", dialect="postgresql", username="postgres",
                       password="none", host="127.0.0.1", port="{port}", if_exists="{if_exists}"),
            Mine(name="ticks")]

ticks_info = Collector(name="ticks", seconds=1, import_target=ticks_import, api_form=ticks_form,
                       streams=ticks_streams, stores=lambda: [])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres(durable=False) as server:
        yield server


def _once(folder: Path, code: int) -> str:
    command = [COMMAND, "run", "--once"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr


def _project(folder: Path, server: Postgres, if_exists: str) -> None:
    (folder / "collectors").mkdir()
    source = COLLECTOR.format(port=server.port, if_exists=if_exists)
    (folder / "collectors" / "ticks.py").write_text(source)
    with server.connect() as connection:
        connection.execute("drop table if exists ticks")


def _rows(server: Postgres) -> list[int]:
    with server.connect() as connection:
        return [n for (n,) in connection.execute("select n from ticks order by n").fetchall()]


@pytest.mark.backend("postgresql")
def test_a_table_that_was_there_before_is_left_alone(tmp_path: Path, server: Postgres) -> None:
    """`fail`: the stream waits and says why; with the table gone, all that waited lands."""
    _project(tmp_path, server, "fail")
    with server.connect() as connection:
        connection.execute("create table ticks (n bigint)")
    assert "the table ticks was there before, and if_exists is 'fail'" in _once(tmp_path, 1)
    assert _rows(server) == []
    with server.connect() as connection:
        connection.execute("drop table ticks")
    _once(tmp_path, 0)
    assert _rows(server) == [0, 1, 2, 10, 11, 12]
    _once(tmp_path, 0)  # its own table is no obstacle: in 2021 the second upload failed
    assert len(_rows(server)) == 9


@pytest.mark.backend("postgresql")
def test_a_poll_takes_the_place_of_the_one_before(tmp_path: Path, server: Postgres) -> None:
    """`replace`: with all of its DataFrames."""
    _project(tmp_path, server, "replace")
    _once(tmp_path, 0)
    _once(tmp_path, 0)
    assert _rows(server) == [10, 11, 12]


@pytest.mark.backend("postgresql")
def test_a_method_of_a_users_that_fails_is_spilled_to_and_tried_again(
    tmp_path: Path, server: Postgres
) -> None:
    """It fails five times, while the other stream delivers; then it gets all, in order, once."""
    _project(tmp_path, server, "append")
    (tmp_path / "away").touch()
    troubles = _once(tmp_path, 1)
    assert "2 batches are spilled: local.parquet: stream() failed" in troubles
    assert "ConnectionError: away" in troubles
    assert len(list(tmp_path.glob("STORE/upload_failed/ticks/local.parquet/*.parquet"))) == 2
    assert _rows(server) == [0, 1, 2]
    (tmp_path / "away").unlink()
    _once(tmp_path, 0)
    assert (tmp_path / "mine").read_text().split() == ["0", "1", "2", "10", "11", "12"]
