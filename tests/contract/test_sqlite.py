"""What the sink of SQLite promises beyond the contract."""

from __future__ import annotations

import sqlite3
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkRejected, SinkUnavailable
from api2db.core.types import JSON
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.sink.target import Database
from tests.contract.backends import SqliteBackend
from tests.contract.test_sink import batch, ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.backend("sqlite")
DELIVERY = Delivery("0" * 32, "c", "s", "t")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SqliteBackend]:
    """Return a file that is not there yet."""
    backend = SqliteBackend(tmp_path)
    yield backend
    backend.close()


def test_urls(tmp_path: Path) -> None:
    """Three slashes are relative to the base folder, four absolute; %20 is a space."""
    (tmp_path / "sub").mkdir()
    for url, path in (
        ("sqlite:///sub/a%20b.db", tmp_path / "sub" / "a b.db"),
        (f"sqlite:///{tmp_path}/c.db", tmp_path / "c.db"),
    ):
        sink = make_sink(Database(url), DELIVERY, base=tmp_path)
        sink.open()
        sink.close()
        assert path.is_file()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:x.db"])
def test_urls_without_a_file(url: str, tmp_path: Path) -> None:
    """A database that is no file cannot keep what lands."""
    with pytest.raises(ConfigError, match="sqlite:///"):
        make_sink(Database(url), DELIVERY, base=tmp_path)


def test_a_commit_is_durable(target: SqliteBackend) -> None:
    """The connection writes ahead, and syncs each commit."""
    sink: Any = target.sink()
    assert sink._run("pragma journal_mode").fetchone() == ("wal",)
    assert sink._run("pragma synchronous").fetchone() == (2,)


def test_nan_is_refused_by_row(target: SqliteBackend) -> None:
    """NaN would become NULL; infinity stays."""
    one = batch([{"id": 1, "f": float("inf")}, {"id": 2, "f": float("nan")}, {"id": 3, "f": None}])
    sink = target.sink()
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1]
    sink.write([one.with_rows(one.rows.filter(pa.array([True, False, True])))])
    assert [row["f"] for row in target.rows()] == [float("inf"), None]


def test_what_widening_leaves_as_it_was(target: SqliteBackend) -> None:
    """A rebuilt table keeps its rows, their digits, its key, indexes and triggers."""
    sink = target.sink(upsert=("id",))
    sink.write([batch([{"id": 1, "f": 0.1 + 0.2, "i": 2**62, "s": "007", "b": True}])])
    target.execute("create index mine on t (s)")
    target.execute("create table log (id)")
    target.execute(
        "create trigger mine_too after insert on t begin insert into log values (new.id); end"
    )
    sink.write([batch([{"id": 2, "f": "[1]", "i": "[2]"}], f=JSON, i=JSON)])
    sink.write([batch([{"id": 1, "s": "008", "b": False, "f": None, "i": None}])])
    assert target.types() == {
        "id": "INTEGER",
        "f": "TEXT",
        "i": "TEXT",
        "s": "TEXT",
        "b": "BOOLEAN",
    }
    first, second = target.rows()
    assert first["s"] == "008"
    assert second["f"] == "[1]"
    connection = sqlite3.connect(target.path)
    names = {row[0] for row in connection.execute("select name from sqlite_master")}
    connection.close()
    assert {"mine", "mine_too"} <= names
    assert not [name for name in names if "rebuilt" in name]
    assert [row["id"] for row in target.rows("log")] == [2]


def test_digits_of_floats_survive_widening(target: SqliteBackend) -> None:
    """SQLite's own cast keeps 15 digits of a float; ours keeps all."""
    sink = target.sink()
    sink.write([batch([{"f": 0.1 + 0.2}, {"f": 1e300}])])
    sink.write([batch([{"f": "{}"}], f=JSON)])
    assert [row["f"] for row in target.rows()] == ["0.30000000000000004", "1e+300", "{}"]


@pytest.mark.parametrize(
    "ddl",
    [
        "create table t (id integer primary key autoincrement, v INTEGER)",
        "create table t (id INTEGER, v INTEGER check (v > 0))",
        "create table t (id INTEGER, v INTEGER unique)",
        "create table t (id integer, v integer)",
    ],
)
def test_tables_that_a_user_made_are_not_rebuilt(target: SqliteBackend, ddl: str) -> None:
    """What does not fit a user's column is refused by row; the declaration stays."""
    target.execute(ddl)
    sink = target.sink()
    one = batch([{"id": 1, "v": 7}])
    two = batch([{"id": 2, "v": 0.5}, {"id": 3, "v": 8.0}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one, two])
    assert set(caught.value.rows) == {two.id}
    sink.write([one])
    assert target.rows() == [{"id": 1, "v": 7}]
    connection = sqlite3.connect(target.path)
    found = connection.execute("select sql from sqlite_master where name = 't'").fetchone()
    connection.close()
    assert found[0].lower() == ddl.lower()


@pytest.mark.parametrize("declared", ["NUMERIC", "DATE", "DECIMAL(10,2)"])
def test_digits_in_a_numeric_column(target: SqliteBackend, declared: str) -> None:
    """Text that a user's column would turn into a number is refused by row."""
    target.execute(f"create table t (id INTEGER, v {declared})")
    sink = target.sink()
    one = batch([{"id": 1, "v": "2024-01-01"}, {"id": 2, "v": "007"}, {"id": 3, "v": None}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1]


@pytest.mark.parametrize("declared", ["NUMERIC", "DECIMAL(10,2)"])
def test_decimals_in_a_numeric_column(target: SqliteBackend, declared: str) -> None:
    """A number that 64 bits would round is refused by row; what they hold lands."""
    target.execute(f"create table t (id INTEGER, v {declared})")
    sink = target.sink()
    numbers = ["1.005", "12345678901234567890.5", "9007199254740993", "0.1", None]
    one = batch([{"id": i, "v": n and Decimal(n)} for i, n in enumerate(numbers)])
    js = batch([{"id": 9, "v": "[1]"}, {"id": 9, "v": "1e999"}], v=JSON)
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1]
    with pytest.raises(SinkRejected) as caught:
        sink.write([js])
    assert [row.row for row in caught.value.rows[js.id]] == [1]
    sink.write([one.with_rows(one.rows.filter(pa.array([True, False, True, True, True])))])
    assert [row["v"] for row in target.rows()] == [1.005, 9007199254740993, 0.1, None]


@pytest.mark.parametrize("declared", ["VARCHAR(20)", "", "BLOB"])
def test_text_in_other_columns(target: SqliteBackend, declared: str) -> None:
    """Columns of no or of text affinity keep what looks like a number."""
    target.execute(f"create table t (id INTEGER, v {declared})")
    target.sink().write([batch([{"id": 1, "v": "007"}])])
    assert target.rows() == [{"id": 1, "v": "007"}]


def test_another_writer(target: SqliteBackend) -> None:
    """While somebody else writes the load waits; a lock that stays is transient."""
    sink: Any = target.sink()
    sink.write([batch([{"id": 0}])])
    sink._run("pragma busy_timeout = 50")
    other = sqlite3.connect(target.path, isolation_level=None)
    other.execute("begin immediate")
    one = batch([{"id": 1}])
    with pytest.raises(SinkUnavailable):
        sink.write([one])
    other.execute("rollback")
    other.close()
    assert sink.write([one]).rows == 1


def test_a_file_that_is_no_database(target: SqliteBackend) -> None:
    """Another file of that name pauses the stream, and stays as it is."""
    target.path.write_text("mine " * 1000)
    with pytest.raises(SinkMisconfigured):
        target.sink()
    assert target.path.read_text() == "mine " * 1000


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """A missing folder pauses the stream with what to check."""
    sink = make_sink(Database("sqlite:///no/x.db"), DELIVERY, base=tmp_path)
    with pytest.raises(SinkMisconfigured, match="folder"):
        sink.open()


def test_interrupt(target: SqliteBackend) -> None:
    """A statement that runs is broken off from another thread; the next call works."""
    sink: Any = target.sink()
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select max(i) from n"
    raised: list[Exception] = []

    def run() -> None:
        with pytest.raises(SinkUnavailable) as caught, sink._edge():
            sink._run(endless).fetchone()
        raised.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        sink.interrupt()
        thread.join(0.05)
    assert raised
    sink.write([batch([{"id": 1}])])
    assert ids(target) == [1]


def test_decimals_are_text(target: SqliteBackend) -> None:
    """All digits of a decimal are there, without zeros at the end."""
    target.sink().write([batch([{"v": Decimal("0.10")}, {"v": Decimal("123456789012345678.5")}])])
    assert [row["v"] for row in target.rows()] == ["0.1", "123456789012345678.5"]
