from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from api2db.core.backoff import Backoff
from api2db.core.errors import ConfigError, SinkUnavailable
from api2db.sink.sqlite import SqliteSink
from api2db.sink.target import Database
from api2db.stream import FileConverter, Stream2Local, Stream2Sql, direct
from tests.fixtures.fake_clock import FakeClock

NOBODY = {"username": "u", "password": "s3cret-word", "host": "127.0.0.1", "port": "1"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).iterdir() if path.is_file() and path.name[0] != ".")


def test_shards_never_share_a_name() -> None:
    """Names were milliseconds, and two shards in one overwrote each other."""
    stream = Stream2Local("quakes")
    for i in range(50):
        stream.stream(pd.DataFrame({"A": [i]}))
    found = files("STORE/quakes/parquet")
    assert [pq.read_table(path)["A"].to_pylist() for path in found] == [[i] for i in range(50)]
    assert all(len(path.stem) == 19 for path in found)


@pytest.mark.parametrize("fmt", ["parquet", "json", "csv", "pickle"])
def test_update_and_replace(fmt: str) -> None:
    """A file grows, or holds the last DataFrame; an old one is whole until the new one is."""
    for mode, rows in (("update", [1, 2, 3]), ("replace", [3])):
        path = f"a/{mode}.{fmt}"
        stream = Stream2Local("quakes", path=path, mode=mode, fmt=fmt)
        stream.stream(pd.DataFrame({"A": [1, 2]}))
        stream.stream(pd.DataFrame({"A": [3]}))
        assert FileConverter.static_load_df(path, fmt)["A"].tolist() == rows


def test_replacing_is_never_removing() -> None:
    """What cannot be written leaves the file: the old one was removed first. The rows are kept."""
    stream = Stream2Local("quakes", path="a/x.json", mode="replace", fmt="json")
    stream.stream(pd.DataFrame({"A": [1.0]}))
    stream.stream(pd.DataFrame({"A": [float("inf")]}))
    assert FileConverter.json_load("a/x.json")["A"].tolist() == [1.0]
    assert len(files("STORE/upload_failed/quakes/local.json")) == 1


@pytest.mark.parametrize("fmt", ["parquet", "json", "csv", "pickle"])
def test_no_rows_replace_what_is_there(fmt: str) -> None:
    """An empty DataFrame empties the file; it was passed over."""
    stream = Stream2Local("quakes", path=f"a/x.{fmt}", mode="replace", fmt=fmt)
    stream.stream(pd.DataFrame({"A": [1]}))
    stream.stream(pd.DataFrame({"A": []}))
    assert len(FileConverter.static_load_df(f"a/x.{fmt}", fmt)) == 0


def test_a_key_that_is_no_column_drops_nothing() -> None:
    """A misspelt `drop_duplicate_keys` left one row."""
    stream = Stream2Local("quakes", drop_duplicate_keys=["idd"])
    stream.stream(pd.DataFrame({"id": [1, 2]}))
    assert len(pq.read_table(files(stream.path)[0])) == 2


def test_duplicates_are_dropped_as_documented() -> None:
    """The first row of each key stays; lists in a row are no obstacle."""
    data = pd.DataFrame({"id": [1, 1, 2], "x": [[1], [2], [3]]})
    Stream2Local("a", drop_duplicate_keys=["id"]).stream(data)
    Stream2Local("b").stream(pd.concat([data, data]))
    assert pq.read_table("STORE/a/parquet")["x"].to_pylist() == ["[1]", "[3]"]
    assert pq.read_table("STORE/b/parquet").num_rows == 3


class Sqlite(Stream2Sql):
    """A stream of SQL that needs no server."""

    def _target(self) -> Database:
        return Database("sqlite:///x.db")


def rows_of(table: str = "quakes") -> list[Any]:
    with closing(sqlite3.connect("x.db")) as connection:
        return connection.execute(f"select * from {table}").fetchall()


def test_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """`chunk_size` is the most rows of a statement; all are one transaction."""
    sent: list[int] = []

    class Spied(SqliteSink):
        def _append(self, columns: Any, targets: Any) -> None:
            sent.append(len(columns["A"]))
            super()._append(columns, targets)

    monkeypatch.setattr("api2db.sink.sqlite.SqliteSink", Spied)
    Sqlite("quakes", "d", "mysql", chunk_size=2, **NOBODY).stream(pd.DataFrame({"A": range(5)}))
    assert sent == [2, 2, 1]
    assert rows_of() == [(0,), (1,), (2,), (3,), (4,)]


def test_a_failure_behind_the_commit_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed after the insert was taken for a failed insert: 100 rows became 600."""

    def fails(*_: object) -> None:
        raise SinkUnavailable("the answer was lost")

    monkeypatch.setattr(SqliteSink, "forget", fails)
    Sqlite("quakes", "d", "mysql", **NOBODY).stream(pd.DataFrame({"A": [1]}))
    assert rows_of() == [(1,)]
    assert not Path("STORE/upload_failed").exists()


def test_dtypes_come_with_the_data() -> None:
    """The first DataFrame says what the collector's columns are; the next process knows it."""
    stream = Stream2Local("quakes")
    assert stream.dtypes is None
    stream.stream(pd.DataFrame({"A": [1], "B": [0.5]}))
    assert stream.dtypes == {"A": "int64", "B": "float64"} == Stream2Local("quakes").dtypes


class Full(Backoff):
    """Without jitter."""

    def delay(self, attempt: int) -> float:
        return 0.5 * 2.0 ** (attempt - 1)


@pytest.mark.parametrize("dialect", ["postgresql", "mysql", "mariadb", "amazon_aurora"])
def test_what_a_target_does_not_take_is_kept(dialect: str, caplog: Any) -> None:
    """Six attempts with growing waits (there were none), then a file; no error, no secret."""
    stream = Stream2Sql("quakes", "d", dialect, **NOBODY)
    clock = FakeClock()
    assert not direct.deliver(
        stream.declaration(), pd.DataFrame({"A": [1, 2]}), 5, clock=clock, backoff=Full()
    )
    assert clock.waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    (kept,) = files(f"STORE/upload_failed/quakes/sql.{dialect}")
    assert pq.read_table(kept)["A"].to_pylist() == [1, 2]
    assert kept.stem.isdecimal() and kept.suffix == ".parquet"
    assert "upload_failed" in caplog.messages
    assert "s3cret-word" not in caplog.text + str([vars(r) for r in caplog.records])


def test_retry_depth(caplog: Any) -> None:
    """`retry_depth=0` tries once."""
    stream = Stream2Sql("quakes", "d", "postgresql", **NOBODY)
    assert stream.stream(pd.DataFrame({"A": [1]}), retry_depth=0) is None
    assert caplog.messages.count("stream_failed") == 1
    assert stream.connected is False
    assert stream.connect() is False


def test_rows_that_no_column_holds_are_kept() -> None:
    """They become dead letters with their reason; the others are stored."""
    Stream2Local("quakes").stream(pd.DataFrame({"A": [1, 10**80]}, dtype=object))
    (letter,) = Path("STORE/dead_letter/quakes/_rows").iterdir()
    assert "A" in letter.read_text()
    assert pq.read_table("STORE/quakes/parquet").num_rows == 1


def test_a_dialect_that_is_none() -> None:
    """It is an error at once."""
    with pytest.raises(ConfigError):
        direct.deliver(Stream2Sql("q", "d", "nothing", **NOBODY).declaration(), pd.DataFrame())
