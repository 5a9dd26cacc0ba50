"""What the sink of PostgreSQL promises beyond the contract, on a real server."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.core.types import JSON
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.sink.target import Database
from tests.contract.backends import PostgresBackend
from tests.contract.test_sink import STAMP, batch, ids
from tests.fixtures.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from api2db.sink.postgresql import PostgresSink

pytestmark = pytest.mark.backend("postgresql")


@pytest.fixture
def target(postgres: Postgres) -> Iterator[PostgresBackend]:
    """Return an empty database."""
    backend = PostgresBackend(postgres)
    yield backend
    backend.close()


def open_sink(target: PostgresBackend, **how: Any) -> PostgresSink:
    """Return an open sink, as what it is."""
    sink: PostgresSink = target.sink(**how)  # type: ignore[assignment]
    return sink


def backend_pid(sink: PostgresSink) -> int:
    """Return the process of the server that serves *sink*."""
    return sink._db.info.backend_pid


# -- connections ---------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_urls(target: PostgresBackend, scheme: str) -> None:
    """All usual spellings of the scheme reach the server; the query goes on to libpq."""
    url = scheme + target.url.removeprefix("postgresql") + "?application_name=mine"
    delivery = Delivery("0" * 32, "c", "s", "t")
    sink: Any = make_sink(Database(url), delivery, base=target.server.folder)
    sink.open()
    assert sink._run("show application_name").fetchone() == ("mine",)
    sink.close()


def test_a_unix_socket(target: PostgresBackend) -> None:
    """``?host=/folder`` connects to a socket."""
    database = target.url.rpartition("/")[2]
    server = target.server
    url = f"postgresql://postgres@/{database}?host={server.folder}&port={server.port}"
    sink: Any = make_sink(Database(url), Delivery("0" * 32, "c", "s", "t"), base=server.folder)
    sink.open()
    assert sink._run("show application_name").fetchone() == ("api2db",)
    sink.write([batch([{"id": 1}])])
    sink.close()
    assert ids(target) == [1]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://postgres@127.0.0.1:1/x", SinkUnavailable),
        ("postgresql://postgres@127.0.0.1:{port}/nowhere", SinkMisconfigured),
        ("postgresql://nobody@127.0.0.1:{port}/postgres", SinkMisconfigured),
        ("postgresql://postgres:s3cret@127.0.0.1:{port}/postgres?nonsense=1", SinkMisconfigured),
    ],
)
def test_a_connection_that_fails(postgres: Postgres, url: str, kind: type[SinkError]) -> None:
    """Nobody there: transient. Wrong database, role or option: configuration. No secret shows."""
    url = url.format(port=postgres.port)
    sink = make_sink(Database(url), Delivery("0" * 32, "c", "s", "t"), base=postgres.folder)
    with pytest.raises(kind) as caught:
        sink.open()
    assert "s3cret" not in str(caught.value)
    sink.close()


def test_many_sinks_open_a_new_database_at_once(target: PostgresBackend) -> None:
    """Whoever makes the marker table and the target first, the others go on with it."""
    start = threading.Barrier(6)
    failures: list[Exception] = []

    def run(i: int) -> None:
        try:
            sink = target.closed_sink(Delivery("0" * 32, f"c{i}", "s", "t"))
            start.wait()
            sink.open()
            start.wait()
            sink.write([batch([{"id": i, f"late{i % 2}": i}])])
            sink.close()
        except BaseException as exc:  # noqa: BLE001  (shown by the test's thread)
            failures.append(exc)
            start.abort()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(ids(target)) == list(range(6))


def test_a_schema_in_the_name(target: PostgresBackend) -> None:
    """``schema.table`` is a table of that schema; markers stay in the default one."""
    target.execute("create schema other")
    sink = target.sink("other.t")
    sink.write([batch([{"id": 1}])])
    sink.write([batch([{"id": 2, "late": "x"}])])
    assert ids(target, "other.t") == [1, 2]
    assert len(target.markers()) == 2


def test_only_the_target_and_the_markers_are_made(target: PostgresBackend) -> None:
    """Neither staging tables nor triggers stay behind."""
    sink = target.sink(upsert=("id",))
    sink.write([batch([{"id": 1, "v": Decimal("1.5")}])])
    sink.close()
    with target.connect() as connection:
        found = connection.execute(
            "select relname from pg_class where relkind in ('r', 'v', 'S', 'm')"
            " and relnamespace not in ('pg_catalog'::regnamespace,"
            " 'information_schema'::regnamespace, 'pg_toast'::regnamespace) order by 1"
        )
        assert [row["relname"] for row in found] == ["_api2db_batches", "t"]


# -- failures ------------------------------------------------------------------------------


def test_the_connection_dies_before_commit(target: PostgresBackend) -> None:
    """A session that is killed under a load leaves nothing; a replay lands it once."""
    sink = open_sink(target)
    sink.write([batch([{"id": 0}])])
    one = batch([{"id": 1}])
    target.execute(f"select pg_terminate_backend({backend_pid(sink)})")
    with pytest.raises(SinkUnavailable):
        sink.write([one])
    sink.close()
    sink.open()
    sink.write([one])
    assert ids(target) == [0, 1]


def test_the_connection_dies_after_commit(
    target: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the answer to COMMIT is lost the outcome is unknown, and the marker decides."""
    sink = open_sink(target)
    commit = sink._commit

    def lost() -> None:
        commit()
        raise psycopg.OperationalError("server closed the connection unexpectedly")

    one = batch([{"id": 1}])
    with monkeypatch.context() as patch:
        patch.setattr(sink, "_commit", lost)
        with pytest.raises(SinkUnknown):
            sink.write([one])
    sink.close()
    sink.open()
    assert sink.write([one]).repeated == {one.id}
    assert ids(target) == [1]


def test_a_commit_that_the_server_refuses_is_known(target: PostgresBackend) -> None:
    """A deferred constraint speaks at COMMIT: that is a refusal, not a lost answer."""
    target.execute("create table t (id bigint unique deferrable initially deferred)")
    sink = target.sink()
    with pytest.raises(SinkRejected):
        sink.write([batch([{"id": 1}, {"id": 1}])])
    sink.write([batch([{"id": 1}])])
    assert ids(target) == [1]


def stopped(sink: PostgresSink, call: Callable[[], object]) -> list[Exception]:
    """Run *call* while the sink's session is stopped; return what it raised when interrupted."""
    pid = backend_pid(sink)
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001  (shown by the test's thread)
            raised.append(exc)

    os.kill(pid, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "a stopped session answered"
        began = time.monotonic()
        sink.interrupt()
        thread.join(5)
        assert not thread.is_alive(), "the interrupt did not reach the call"
        sink.close()
        assert time.monotonic() - began < 2
    finally:
        os.kill(pid, signal.SIGCONT)
    return raised


@pytest.mark.parametrize("rows", [1, 200_000])
def test_a_stopped_server_is_interrupted(target: PostgresBackend, rows: int) -> None:
    """A call that waits on a stopped session ends soon after `interrupt`, also within COPY."""
    sink = open_sink(target)
    sink.write([batch([{"id": 0, "v": "x"}])])
    big = pa.record_batch({"id": pa.array(range(rows)), "v": pa.array(["x" * 100] * rows)})
    one = batch(big)
    raised = stopped(sink, lambda: sink.write([one]))
    assert isinstance(raised[0], (SinkUnavailable, SinkUnknown))
    sink.open()
    assert sink.write([one]).rows == rows
    assert len(ids(target)) == rows + 1


def test_close_does_not_wait_for_a_stopped_server(target: PostgresBackend) -> None:
    """`close` returns at once whatever the server does."""
    sink = open_sink(target)
    pid = backend_pid(sink)
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        sink.close()
        assert time.monotonic() - began < 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_interrupt_is_harmless(target: PostgresBackend) -> None:
    """`interrupt` may come at any time: before `open`, after `close`, between calls."""
    sink: Any = target.closed_sink(Delivery("0" * 32, "c", "s", "t"))
    sink.interrupt()
    sink.open()
    sink.write([batch([{"id": 1}])])
    sink.interrupt()
    with pytest.raises(SinkUnavailable):
        sink.write([batch([{"id": 2}])])
    sink.close()
    sink.interrupt()
    sink.open()
    sink.write([batch([{"id": 3}])])
    assert ids(target) == [1, 3]


def test_a_zombie_holds_a_marker(target: PostgresBackend) -> None:
    """While a dead daemon's transaction holds our marker, a write fails in time; then it lands."""
    zombie, sink = open_sink(target), open_sink(target)
    sink.write([batch([{"id": 0}])])
    one = batch([{"id": 1}])
    zombie._begin()
    zombie._mark({one.id: 1})
    sink._run("set lock_timeout = '100ms'")
    with pytest.raises(SinkUnavailable):
        sink.write([one])
    zombie.close()
    sink._run("set lock_timeout = '10s'")
    assert sink.write([one]).rows == 1
    assert ids(target) == [0, 1]


def test_a_commit_survives_a_crash_of_the_server(tmp_path: Path) -> None:
    """What `write` has returned for is there after the server died and recovered."""
    with Postgres() as server:
        target = PostgresBackend(server)
        sink = target.sink()
        one, two = batch([{"id": 1}]), batch([{"id": 2}])
        sink.write([one])
        server.stop("immediate")
        with pytest.raises(SinkUnavailable):
            sink.write([two])
        sink.close()
        with pytest.raises(SinkUnavailable):
            sink.open()
        server.start()
        sink.open()
        assert sink.landed() == {one.id}
        sink.write([one, two])
        assert ids(target) == [1, 2]
        target.close()


# -- what users made -----------------------------------------------------------------------


def test_columns_of_other_types(target: PostgresBackend) -> None:
    """Rows go into a user's own types by the server's reading of their text."""
    target.execute("create type mood as enum ('ok', 'bad')")
    target.execute(
        "create table t (id integer, u uuid, n timestamp, d date, j json, s varchar(3),"
        " r real, m mood, num numeric(10, 2), sm smallint, own text default 'x')"
    )
    uuid = "7b1c836e-0000-4000-8000-000000000001"
    row = {"id": 1, "u": uuid, "n": datetime(2024, 1, 1, 12, tzinfo=UTC), "d": date(2024, 2, 29)}
    row |= {"j": '{"a": 1}', "s": "abc", "r": 0.5, "m": "ok", "num": Decimal("1.25"), "sm": 7}
    sink = target.sink()
    sink.write([batch([row, {**dict.fromkeys(row), "id": 2}], n=STAMP, j=JSON)])
    first, second = target.rows()
    assert first == {
        "id": 1,
        "u": type(first["u"])(uuid),
        "n": datetime(2024, 1, 1, 12),
        "d": date(2024, 2, 29),
        "j": {"a": 1},
        "s": "abc",
        "r": 0.5,
        "m": "ok",
        "num": Decimal("1.25"),
        "sm": 7,
        "own": "x",
    }
    assert set(second.values()) == {2, None, "x"}
    assert target.types()["id"] == "integer"


@pytest.mark.parametrize(
    ("type_", "value"),
    [("integer", 2**31), ("varchar(3)", "abcd"), ("uuid", "x"), ("smallint", 70_000)],
)
def test_values_that_a_users_column_cannot_hold(
    target: PostgresBackend, type_: str, value: object
) -> None:
    """They are refused, never rounded or cut off; nothing lands."""
    target.execute(f"create table t (id bigint, v {type_})")
    sink = target.sink()
    with pytest.raises(SinkRejected):
        sink.write([batch([{"id": 1, "v": value}])])
    with pytest.raises(SinkRejected):
        sink.write([batch([{"id": 1, "v": value}])], commit=False)
    sink.write([batch([{"id": 2}])])
    assert ids(target) == [2]


def test_keys_that_are_equal_only_in_the_target(target: PostgresBackend) -> None:
    """The last wins also where the key's type makes two texts one."""
    target.execute("create table t (id integer primary key, v bigint)")
    sink = target.sink(upsert=("id",))
    sink.write([batch([{"id": "5", "v": 1}, {"id": "05", "v": 2}, {"id": "6", "v": 3}])])
    assert {row["id"]: row["v"] for row in target.rows()} == {5: 2, 6: 3}


def test_an_unchanged_row_is_not_written_again(target: PostgresBackend) -> None:
    """An upsert of equal values leaves the row's version as it is."""
    sink = target.sink(upsert=("id",))
    row = {"id": 1, "v": "x", "n": None, "j": '{"a": 1}'}
    sink.write([batch([row], j=JSON, n=pa.int64())])
    with target.connect() as connection:
        before = connection.execute("select xmin from t").fetchall()
        sink.write([batch([row], j=JSON, n=pa.int64())])
        assert connection.execute("select xmin from t").fetchall() == before
        sink.write([batch([row | {"n": 1}], j=JSON)])
        assert connection.execute("select xmin from t").fetchall() != before


# -- what users made: values that a column would take, but not keep --------------------------

KEPT = [
    ("numeric(10,2)", [Decimal("1.25"), None], [Decimal("1.25"), None]),
    ("numeric(10,2)", [1.5, 7], [Decimal("1.50"), Decimal("7.00")]),
    ("numeric(10,2)", ["1.50"], [Decimal("1.50")]),
    ("real", [0.1, 16777216], [0.1, 16777216.0]),
    ("money", [Decimal("1.25")], ["$1.25"]),
    ("varchar(3)", ["abc", "ab"], ["abc", "ab"]),
    ("char(3)", ["abc", "ab"], ["abc", "ab "]),
    ("name", ["abc"], ["abc"]),
    ("bit(3)", ["101"], ["101"]),
    ("timestamp", [datetime(2024, 1, 1, 12, 0, 0, 1, UTC)], [datetime(2024, 1, 1, 12, 0, 0, 1)]),
    ("timestamp", ["2024-01-01 12:00"], [datetime(2024, 1, 1, 12)]),
    ("timestamp(0)", [datetime(2024, 1, 1, tzinfo=UTC)], [datetime(2024, 1, 1)]),
    ("timestamptz(3)", ["2024-01-01T00:00:00.5+02:00"], None),
    (
        "day",
        [datetime(2024, 1, 1, tzinfo=UTC), "2024-02-29"],
        [date(2024, 1, 1), date(2024, 2, 29)],
    ),
    ("time", ["12:00:01"], None),
    ("interval(0)", ["1 day"], None),
    ("cents", [Decimal("1.25")], [Decimal("1.25")]),
    ("numeric(10,2)[]", ["{1.25}"], [[Decimal("1.25")]]),
]
ALTERED = [
    ("numeric(10,2)", Decimal("1.005")),
    ("numeric(10,2)", 0.125),
    ("numeric(10,2)", "1.005"),
    ("numeric(10,0)", 1.5),
    ("real", 16777217),
    ("real", 0.1 + 0.2),
    ("money", Decimal("1.005")),
    ("varchar(3)", "abcd"),
    ("varchar(3)", "abc "),
    ("char(3)", "ab "),
    ("name", "x" * 64),
    ("bit(3)", "1010"),
    ("timestamp", "2024-01-01T12:00:00+02:00"),
    ("timestamp", "today"),
    ("timestamp", "2024-01-01T12:00:00.0000001"),
    ("timestamp(0)", datetime(2024, 1, 1, 12, 0, 0, 1, UTC)),
    ("timestamptz(3)", datetime(2024, 1, 1, 12, 0, 0, 1, UTC)),
    ("day", datetime(2024, 1, 1, 12, tzinfo=UTC)),
    ("day", "2024-01-01T00:00:00+02:00"),
    ("day", "yesterday"),
    ("time", "12:00:00.0000001"),
    ("interval(0)", "1.5 s"),
    ("oid", -1),
    ("cents", Decimal("1.005")),
    ("numeric(10,2)[]", "{1.005}"),
    ("varchar(3)[]", "{abcd}"),
]


def with_column(target: PostgresBackend, type_: str, key: str = "") -> None:
    """Make ``t`` with a column ``v`` of a user's own type."""
    target.execute("create domain cents as numeric(10,2)")
    target.execute("create domain day as date")
    target.execute(f"create table t (id bigint {key}, v {type_})")


@pytest.mark.parametrize(("type_", "values", "landed"), KEPT)
def test_a_users_column_keeps_what_it_can_hold(
    target: PostgresBackend, type_: str, values: list[Any], landed: list[Any] | None
) -> None:
    """Values that a column holds land in it, as that type reads them."""
    with_column(target, type_)
    target.sink().write([batch([{"id": i, "v": v}]) for i, v in enumerate(values)])
    found = [row["v"] for row in target.rows()]
    assert len(found) == len(values)
    if landed is not None:
        assert found == landed


@pytest.mark.parametrize("key", ["", "primary key"])
@pytest.mark.parametrize(("type_", "value"), ALTERED)
def test_a_users_column_alters_nothing(
    target: PostgresBackend, type_: str, value: Any, key: str
) -> None:
    """A value that would be rounded, cut off, or lose its zone is refused by row; others land."""
    with_column(target, type_, key)
    sink = target.sink(upsert=("id",) if key else ())
    good, bad = batch([{"id": 1, "v": None}]), batch([{"id": 2, "v": None}, {"id": 3, "v": value}])
    for commit in (True, False):
        with pytest.raises(SinkRejected) as caught:
            sink.write([good, bad], commit=commit)
        ((id_, (row,)),) = caught.value.rows.items()
        assert (id_, row.row) == (bad.id, 1)
        assert row.reason.startswith("v: a column of type ")
    sink.write([good, bad.with_rows(bad.rows.slice(0, 1))])
    assert target.rows() == [{"id": 1, "v": None}, {"id": 2, "v": None}]


def test_altered_values_of_a_row_that_another_replaces(target: PostgresBackend) -> None:
    """In an upsert each refused row has its own number, though only the last of a key is sent."""
    with_column(target, "varchar(3)", "primary key")
    rows = [(1, "a"), (1, "abcd"), (2, "b"), (1, "c"), (2, "long"), (3, "long")]
    one = batch([{"id": i, "v": v} for i, v in rows])
    sink = target.sink(upsert=("id",))
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1, 4, 5]
    kept = pa.array([len(v) < 4 for _, v in rows])
    sink.write([one.with_rows(one.rows.filter(kept))])
    assert {row["id"]: row["v"] for row in target.rows()} == {1: "c", 2: "b"}


def test_our_own_columns_are_not_checked(target: PostgresBackend) -> None:
    """A load into columns of our types asks no more than marker, catalog and rows."""
    sink = open_sink(target)
    row = {"id": 1, "f": 0.5, "s": "x", "t": datetime(2024, 1, 1, tzinfo=UTC), "j": "{}"}
    sink.write([batch([row], t=STAMP, j=JSON)])
    asked: list[str] = []
    run = sink._run

    def counted(query: str, *params: object) -> Any:
        asked.append(query.split()[0])
        return run(query, *params)

    sink._run = counted  # type: ignore[method-assign]
    sink.write([batch([row], t=STAMP, j=JSON)])
    assert asked == ["begin", "lock", "select", "insert", "commit"]


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize("upsert", [(), ("id",)])
def test_nul_is_named_by_row(target: PostgresBackend, upsert: tuple[str, ...]) -> None:
    """Rows with NUL in text or JSON are named; an escaped backslash before u0000 is none."""
    sink = target.sink(upsert=upsert)
    rows = [
        {"id": 1, "s": "fine", "j": r'"\\u0000"'},
        {"id": 2, "s": "a\0b", "j": "1"},
        {"id": 3, "s": "fine", "j": r'{"a": "\u0000"}'},
        {"id": 4, "s": None, "j": None},
    ]
    one, two = batch([{"id": 0}]), batch(rows, j=JSON)
    with pytest.raises(SinkRejected) as caught:
        sink.write([one, two])
    assert {k: [r.row for r in v] for k, v in caught.value.rows.items()} == {two.id: [1, 2]}
    mask = pa.array([True, False, False, True])
    sink.write([one, two.with_rows(two.rows.filter(mask))])
    assert ids(target) == [0, 1, 4]


def test_dates_beyond_the_calendar(target: PostgresBackend) -> None:
    """Instants and days that PostgreSQL has no place for are refused by row, never wrapped."""
    sink = target.sink()
    stamps = pa.array([0, -(2**63) + 1, 0, 2**63 - 1], pa.int64())
    days = pa.array([0, 0, -(2**31), 0], pa.int32())
    rows = pa.record_batch(
        {"id": pa.array([1, 2, 3, 4]), "t": stamps.cast(STAMP), "d": days.cast(pa.date32())}
    )
    one = batch(rows)
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    found = {row.row: row.reason for row in caught.value.rows[one.id]}
    assert sorted(found) == [1, 2]
    assert found[1].startswith("t:")
    assert found[2].startswith("d:")
    sink.write([one.with_rows(rows.filter(pa.array([True, False, False, True])))])
    with target.connect() as connection:
        found_year = connection.execute("select extract(year from t)::int as y from t where id = 4")
        assert found_year.fetchall() == [{"y": 294247}]


INT = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INSTANT = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)
ROW = st.fixed_dictionaries(
    {
        "i": st.none() | INT,
        "f": st.none() | st.floats(width=64),
        "b": st.none() | st.booleans(),
        "s": st.none() | TEXT,
        "t": st.none() | INSTANT,
        "d": st.none() | st.dates(),
        "n": st.none()
        | st.decimals(allow_nan=False, allow_infinity=False, places=9, max_value=10**20),
    }
)
TYPES = {
    "i": pa.int64(),
    "f": pa.float64(),
    "b": pa.bool_(),
    "s": pa.string(),
    "t": STAMP,
    "d": pa.date32(),
    "n": pa.decimal128(38, 9),
}


@pytest.fixture(scope="module")
def shared(postgres: Postgres) -> Iterator[PostgresBackend]:
    """One database for all examples."""
    backend = PostgresBackend(postgres)
    yield backend
    backend.close()


@given(st.lists(st.lists(ROW, min_size=1, max_size=5), min_size=1, max_size=3))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_values_come_back(shared: PostgresBackend, calls: list[list[dict[str, Any]]]) -> None:
    """Any value of any kind is read back as it was, beside NULLs, in one load of batches."""
    shared.execute("drop table if exists t")
    sink = shared.sink()
    sink.write([batch(rows, **TYPES) for rows in calls])
    sink.close()
    want = [row for rows in calls for row in rows]
    assert [comparable(row) for row in shared.rows()] == [comparable(row) for row in want]


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return *row* with NaN as something that equals itself, and -0.0 apart from 0.0."""
    value = row["f"]
    if value is not None:
        value = "nan" if math.isnan(value) else (value, math.copysign(1, value))
    return row | {"f": value}


JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON_VALUE, min_size=1, max_size=5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_json_comes_back(shared: PostgresBackend, values: list[Any]) -> None:
    """Any JSON value is read back as it was."""
    import json

    shared.execute("drop table if exists t")
    sink = shared.sink()
    sink.write([batch([{"id": i, "j": json.dumps(v)} for i, v in enumerate(values)], j=JSON)])
    sink.close()
    assert [row["j"] for row in shared.rows()] == values
