"""A database as a source, on SQLite: pages, their order, and what is refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.dialects import registry

from api2db.core.errors import ConfigError, FormError, SourceError, SourceUnavailable
from api2db.ingest.chunk import Chunk
from api2db.ingest.source import Request
from api2db.ingest.sql import SqlSource
from tests.fixtures.bitbucket_dialect import BitbucketDialect
from tests.fixtures.fake_clock import FakeClock


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a database with 25 orders, five for each second."""
    connection = sqlite3.connect(tmp_path / "in.db", isolation_level=None)
    connection.execute(
        "create table orders (id integer primary key, at timestamp, price decimal(8,2),"
        " ok boolean not null, day date, file blob, extra json, note text)"
    )
    for i in range(25):
        at = f"2024-01-01 00:00:{i // 5:02}"
        row = (i, at, i * 0.25, i % 2, "2024-02-03", b"\xff", "[1]", "x")
        connection.execute("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?)", row)
    yield connection
    connection.close()


def source(folder: Path, **changes: Any) -> SqlSource:
    options = {"table": "orders", "page_size": 7, "cursor": "at"} | changes
    url = options.pop("url", "sqlite:///in.db")
    return SqlSource(url, folder=folder, clock=FakeClock(), stop=threading.Event(), **options)


def pages(api: SqlSource, since: str | None = None) -> Iterator[Chunk]:
    request: Request | None = api.first(since)
    while request is not None:
        # as after a crash: nothing but the JSON of the request is kept
        request = Request.from_json(request.to_json())
        page = api.send(request).read()
        assert isinstance(page, Chunk)
        yield page
        request = api.follow(request, page.next, since=since)


def ids(api: SqlSource, since: str | None = None) -> list[int]:
    return [row["id"] for page in pages(api, since) for row in page.values]


def test_pages_in_the_order_of_cursor_and_key(tmp_path: Path, db: sqlite3.Connection) -> None:
    """Ties of the cursor column that cross pages are neither lost nor doubled."""
    assert [len(page.values) for page in pages(source(tmp_path))] == [7, 7, 7, 4]
    assert ids(source(tmp_path)) == list(range(25))
    assert ids(source(tmp_path), "2024-01-01T00:00:03Z") == list(range(15, 25))
    assert ids(source(tmp_path, cursor=None)) == list(range(25))


def test_rows_that_come_and_go_move_no_page(tmp_path: Path, db: sqlite3.Connection) -> None:
    """Each row that is there all the time is read once."""
    found = []
    for number, page in enumerate(pages(source(tmp_path))):
        found += [row["id"] for row in page.values]
        db.execute("delete from orders where id = ?", (number,))
        insert = "insert into orders (id, at, ok) values (?, ?, 1)"
        db.execute(insert, (90 + number, "2023-01-01 00:00:00"))
        db.execute(insert, (50 + number, "2024-01-01 00:00:04"))
    assert sorted(i for i in found if i < 25) == list(range(25))
    assert [i for i in found if i >= 25] == [50, 51, 52]


def test_types(tmp_path: Path, db: sqlite3.Connection) -> None:
    """The table says what its columns are; values are what they mean, not how SQLite keeps them."""
    api = source(tmp_path)
    assert api.types() == {
        "id": "int",
        "at": "datetime",
        "price": "decimal(8,2)",
        "ok": "bool",
        "day": "date",
        "file": "str",
        "extra": "json",
        "note": "str",
    }
    [first, *_] = pages(api)
    assert first.values[1] == {
        "id": 1,
        "at": "2024-01-01T00:00:00Z",
        "price": Decimal("0.25"),
        "ok": True,
        "day": date(2024, 2, 3),
        "file": "ff",
        "extra": [1],
        "note": "x",
    }


def test_a_query(tmp_path: Path, db: sqlite3.Connection) -> None:
    """Any select is read in the same pages, colons and semicolon included."""
    query = "select id as n, at as when_, ':x' as c, 5 % 3 as m from orders"
    query += " where at < '2024-01-01 00:00:02';"
    api = source(tmp_path, table=None, query=query, key=["n"], cursor="when_", page_size=4)
    found = [row for page in pages(api) for row in page.values]
    assert [row["n"] for row in found] == list(range(10))
    assert found[0] == {"n": 0, "when_": "2024-01-01 00:00:00", "c": ":x", "m": 2}
    assert api.types() == {}


def test_long_texts_make_short_pages(
    tmp_path: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded by bytes as well as by rows."""
    monkeypatch.setattr("api2db.ingest.sql.PAGE_BYTES", 5_000)
    db.execute("update orders set note = ?", ("x" * 1_000,))
    assert {len(page.values) for page in pages(source(tmp_path))} == {5}
    assert ids(source(tmp_path)) == list(range(25))


def test_nothing_is_written(tmp_path: Path, db: sqlite3.Connection) -> None:
    """The session is read-only: what calls itself a query cannot change the database."""
    api = source(tmp_path)
    with pytest.raises(SourceUnavailable, match="readonly"):
        api._tried(lambda connection: connection.exec_driver_sql("delete from orders"))
    assert ids(api) == list(range(25))
    with pytest.raises(SourceUnavailable, match="there is no such file"):
        ids(source(tmp_path, url="sqlite:///nosuch.db"))
    assert not (tmp_path / "nosuch.db").exists()


def test_null_in_the_cursor_column_is_said(
    tmp_path: Path, db: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """Rows without a cursor value are not read with `since`: an ERROR line, once."""
    db.execute("update orders set at = null where id = 3")
    api = source(tmp_path)
    assert 3 not in ids(api, "2024-01-01T00:00:00Z")
    ids(api, "2024-01-01T00:00:00Z")
    assert [record.message for record in caplog.records] == ["since_field_null"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"table": "ordres"}, "there is no table 'ordres'; there are: orders"),
        ({"cursor": "updated"}, "no column 'updated'; there are: id, at"),
        ({"key": ["nope"]}, "no column 'nope'"),
        ({"key": ["note"]}, "rows have the same (at, note)"),
        ({"key": ["price"], "cursor": None}, "the key 'price' is NULL somewhere"),
        ({"table": None, "query": "select from", "key": ["id"]}, "syntax error"),
        ({"cursor": "file"}, "has no order"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, db: sqlite3.Connection, changes: dict[str, Any], said: str
) -> None:
    """Each mistake fails the poll with what to do; no statement, no values."""
    db.execute("update orders set price = null where id = 24")
    with pytest.raises(SourceError) as caught:
        ids(source(tmp_path, **changes))
    assert said in str(caught.value)
    assert "api2db_query" not in str(caught.value)


def test_a_table_without_a_key(tmp_path: Path, db: sqlite3.Connection) -> None:
    """Pages need an order in which no two rows are the same."""
    db.execute("create table bare as select * from orders")
    with pytest.raises(FormError, match="give 'key'"):
        ids(source(tmp_path, table="bare"))
    assert ids(source(tmp_path, table="bare", key=["id"])) == list(range(25))


def test_new_columns_are_seen(tmp_path: Path, db: sqlite3.Connection) -> None:
    """A table that grows while the daemon runs is described anew in each poll."""
    api = source(tmp_path)
    ids(api)
    db.execute("alter table orders add column late text default 'yes'")
    [first, *_] = pages(api)
    assert first.values[0]["late"] == "yes"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nosuchdb://me:hunter2@h/d", "no driver for nosuchdb"),
        ("://hunter2", "not a SQLAlchemy URL"),
    ],
)
def test_a_url_that_cannot_be_used(tmp_path: Path, url: str, said: str) -> None:
    """It is a mistake of the configuration, and no message shows the URL."""
    with pytest.raises(ConfigError) as caught:
        source(tmp_path, url=url)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


class Undescribed(BitbucketDialect):
    """A dialect that reads, and can describe nothing."""

    supports_statement_cache = True

    def get_columns(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError


def test_a_dialect_that_cannot_describe_tables(tmp_path: Path) -> None:
    """Any registered dialect is taken; what it lacks is said, and a query does without it."""
    registry.register("undescribed", __name__, "Undescribed")
    with closing(sqlite3.connect(tmp_path / "acme.db")) as db, db:
        db.execute("create table Issues (id integer primary key, [Order] text)")
        db.executemany("insert into Issues values (?, 'x')", [(i,) for i in range(20)])
    url = "undescribed:///?Workspace=acme&Schema=Information&InitiateOAuth=GETANDREFRESH"
    url = f"{url}&OAuthSettingsLocation={tmp_path}"
    with pytest.raises(FormError, match="'bitbucket' cannot describe tables") as caught:
        ids(source(tmp_path, url=url, table="Issues", cursor=None))
    assert caught.value.hint == "give 'query' and 'key' in place of 'table'"
    api = source(
        tmp_path, url=url, table=None, query="select * from Issues", key=["id"], cursor=None
    )
    assert ids(api) == list(range(20))
