"""What the sink of MariaDB and MySQL promises beyond the contract, on both real servers."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pymysql
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
from tests.contract.backends import MysqlBackend, loads
from tests.contract.test_sink import STAMP, batch, ids
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.mysql import MySql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api2db.sink.mysql import MysqlSink
    from tests.fixtures.mysqlserver import MysqlServer

SERVERS = [pytest.param(name, marks=pytest.mark.backend(name)) for name in ("mariadb", "mysql")]
DELIVERY = Delivery("0" * 32, "c", "s", "t")


@pytest.fixture(params=SERVERS)
def target(request: pytest.FixtureRequest) -> Iterator[MysqlBackend]:
    """Return an empty database of each server."""
    backend = MysqlBackend(request.getfixturevalue(request.param))
    yield backend
    backend.close()


def open_sink(target: MysqlBackend, **how: Any) -> MysqlSink:
    """Return an open sink, as what it is."""
    sink: MysqlSink = target.sink(**how)  # type: ignore[assignment]
    return sink


def session(sink: MysqlSink) -> int:
    """Return the number of the sink's connection."""
    ((number,),) = sink._db.run("select connection_id()")
    return int(number)


def refused(sink: MysqlSink, *batches: Any) -> dict[int, str]:
    """Write; return the rows of the last batch that were refused, with their reasons."""
    with pytest.raises(SinkRejected) as caught:
        sink.write(batches)
    return {row.row: row.reason for row in caught.value.rows[batches[-1].id]}


# -- connections ---------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"])
def test_urls(target: MysqlBackend, scheme: str) -> None:
    """Every scheme reaches either server, and the server says which one it is."""
    url = scheme + target.url[target.url.index(":") :]
    sink: Any = make_sink(Database(url), DELIVERY, base=target.server.folder)
    sink.open()
    assert sink.mariadb == (target.name == "mariadb")
    sink.write([batch([{"id": 1, "s": "x"}])])
    sink.close()
    assert ids(target) == [1]


def test_a_unix_socket(target: MysqlBackend) -> None:
    """``?unix_socket=`` connects to a socket."""
    url = f"mysql://root@/{target.database}?unix_socket={target.server.folder}/s.sock"
    sink = make_sink(Database(url), DELIVERY, base=target.server.folder)
    sink.open()
    sink.write([batch([{"id": 1}])])
    sink.close()
    assert ids(target) == [1]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("mysql://root@127.0.0.1:1/x", SinkUnavailable),
        ("mysql://root@127.0.0.1:{port}/nowhere", SinkMisconfigured),
        ("mysql://me:s3cret@127.0.0.1:{port}/test", SinkMisconfigured),
        ("mysql://root:s3cret%C3%A9@127.0.0.1:{port}/test", SinkMisconfigured),
        ("mysql://root@127.0.0.1:{port}/test?ssl_verify_cert=1", SinkMisconfigured),
        ("mysql://root@127.0.0.1:{port}/test?ssl_ca=/nowhere", SinkMisconfigured),
    ],
)
def test_a_connection_that_fails(target: MysqlBackend, url: str, kind: type[SinkError]) -> None:
    """Nobody there: transient. Wrong database, user or certificate: configuration. No secret."""
    url = url.format(port=target.server.port)
    sink = make_sink(Database(url), DELIVERY, base=target.server.folder)
    with pytest.raises(kind) as caught:
        sink.open()
    assert "s3cret" not in str(caught.value)
    sink.close()


def test_a_user_with_a_password(target: MysqlBackend) -> None:
    """A password of any characters logs in; a missing right is a configuration error."""
    user = f"u{target.database}"
    target.execute(f"create user {user}@'%' identified by 'p@ß:/'")
    url = f"mysql://{user}:p%40%C3%9F%3A%2F@127.0.0.1:{target.server.port}/{target.database}"
    sink = make_sink(Database(url), DELIVERY, base=target.server.folder)
    with pytest.raises(SinkMisconfigured, match="denied"):
        sink.open()
    rights = "select, insert, update, delete, create, alter, drop, index, lock tables"
    target.execute(f"grant {rights} on {target.database}.* to {user}@'%'")
    sink.open()
    sink.write([batch([{"id": 1, "v": True}])])
    sink.write([batch([{"id": 2, "v": "x"}])])
    sink.close()
    assert [row["v"] for row in target.rows()] == ["true", "x"]


def test_many_sinks_open_a_new_database_at_once(target: MysqlBackend) -> None:
    """Whoever makes the marker table and the target first, the others go on with it."""
    start = threading.Barrier(5)
    failures: list[BaseException] = []

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

    threads = [threading.Thread(target=run, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(ids(target)) == list(range(5))


def test_a_database_in_the_name(target: MysqlBackend) -> None:
    """``database.table`` is a table of that database; markers stay in the URL's one."""
    other = f"o{target.database}"
    target.server.create_database(other)
    sink = target.sink(f"{other}.t", upsert=("id",))
    sink.write([batch([{"id": 1, "late": True}])])
    sink.write([batch([{"id": 1, "late": "x"}])])
    assert target.rows(f"{other}.t") == [{"id": 1, "late": "x"}]
    assert len(target.markers()) == 2


def test_only_the_target_and_the_markers_are_made(target: MysqlBackend) -> None:
    """Nothing else stays behind; the table is in InnoDB, its text utf8mb4 without padding."""
    sink = target.sink(upsert=("id",))
    sink.write([batch([{"id": "a", "v": True}])])
    sink.write([batch([{"id": "a", "v": "x"}])])
    sink.close()
    found = target.fetch(
        "select table_name as name, engine as engine, table_collation as collation"
        f" from information_schema.tables where table_schema = '{target.database}'"
    )
    made = {row["name"]: row["collation"] for row in found}
    assert sorted(made) == ["_api2db_batches", "t"]
    assert {row["engine"] for row in found} == {"InnoDB"}
    assert made["t"] in ("utf8mb4_nopad_bin", "utf8mb4_0900_bin")
    assert target.types()["id"] == "varchar(255)"


def test_no_file_of_ours_is_sent(target: MysqlBackend) -> None:
    """The server's request for a file, out of turn, is refused by the driver."""
    sink = open_sink(target)
    target.execute("create table t (s longtext)")
    with pytest.raises(RuntimeError, match="LOAD_LOCAL"):
        sink._db.run("load data local infile '/etc/passwd' into table t")


# -- failures ------------------------------------------------------------------------------


def test_the_connection_dies_before_commit(target: MysqlBackend) -> None:
    """A connection that is killed leaves nothing; a replay lands it once."""
    sink = open_sink(target)
    sink.write([batch([{"id": 0}])])
    one = batch([{"id": 1}])
    target.execute(f"kill {session(sink)}")
    with pytest.raises(SinkUnavailable):
        sink.write([one])
    sink.close()
    sink.open()
    sink.write([one])
    assert ids(target) == [0, 1]


def test_the_connection_dies_after_commit(
    target: MysqlBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the answer to COMMIT is lost the outcome is unknown, and the marker decides."""
    sink = open_sink(target)
    commit = sink._commit

    def lost() -> None:
        commit()
        raise pymysql.OperationalError(2013, "Lost connection to MySQL server during query")

    one = batch([{"id": 1}])
    with monkeypatch.context() as patch:
        patch.setattr(sink, "_commit", lost)
        with pytest.raises(SinkUnknown):
            sink.write([one])
    sink.close()
    sink.open()
    assert sink.write([one]).repeated == {one.id}
    assert ids(target) == [1]


def stopped(target: MysqlBackend, sink: MysqlSink, call: Callable[[], object]) -> list[Any]:
    """Run *call* while the server is stopped; return what it raised when interrupted."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as exc:  # noqa: BLE001  (shown by the test's thread)
            raised.append(exc)

    os.kill(target.server.pid, signal.SIGSTOP)
    try:
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "a stopped server answered"
        began = time.monotonic()
        sink.interrupt()
        thread.join(5)
        assert not thread.is_alive(), "the interrupt did not reach the call"
        sink.close()
        assert time.monotonic() - began < 2
    finally:
        os.kill(target.server.pid, signal.SIGCONT)
    return raised


def stopped_amid_a_load(target: MysqlBackend, rows: int) -> None:
    """Stop the server under a load that is interrupted then, and written again."""
    sink = open_sink(target)
    sink.write([batch([{"id": 0, "v": "x"}])])
    big = pa.record_batch({"id": pa.array(range(rows)), "v": pa.array(["x" * 100] * rows)})
    one = batch(big)
    raised = stopped(target, sink, lambda: sink.write([one]))
    assert isinstance(raised[0], (SinkUnavailable, SinkUnknown))
    sink.open()
    assert sink.write([one]).rows == rows
    assert len(ids(target)) == rows + 1


@pytest.mark.parametrize("rows", [1, 60_000])
def test_a_stopped_server_is_interrupted(target: MysqlBackend, rows: int) -> None:
    """A call that waits on a stopped server ends soon after `interrupt`, also amid a load."""
    stopped_amid_a_load(target, rows)


def test_open_on_a_stopped_server_is_interrupted(target: MysqlBackend) -> None:
    """So does a login that is never answered."""
    sink: Any = target.closed_sink(DELIVERY)
    raised = stopped(target, sink, sink.open)
    assert isinstance(raised[0], SinkUnavailable)
    sink.open()


def test_close_does_not_wait_for_a_stopped_server(target: MysqlBackend) -> None:
    """`close` returns at once whatever the server does."""
    sink = open_sink(target)
    os.kill(target.server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        sink.close()
        assert time.monotonic() - began < 1
    finally:
        os.kill(target.server.pid, signal.SIGCONT)


def test_interrupt_is_harmless(target: MysqlBackend) -> None:
    """`interrupt` may come at any time: before `open`, after `close`, between calls."""
    sink: Any = target.closed_sink(DELIVERY)
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


def test_a_zombie_holds_a_marker(target: MysqlBackend) -> None:
    """While a dead daemon's transaction holds our marker, a write fails in time; then it lands."""
    zombie, sink = open_sink(target), open_sink(target)
    sink.write([batch([{"id": 0}])])
    one = batch([{"id": 1}])
    zombie._begin()
    zombie._mark({one.id: 1})
    sink._db.run("set innodb_lock_wait_timeout = 1")
    with pytest.raises(SinkUnavailable):
        sink.write([one])
    zombie.close()
    assert sink.write([one]).rows == 1
    assert ids(target) == [0, 1]


def test_a_deadlock_is_transient(target: MysqlBackend) -> None:
    """Of two transactions that wait for each other one is refused, and may try again."""
    target.execute("create table t (id bigint primary key, v bigint)")
    target.execute("insert into t values (1, 0), (2, 0)")
    sinks = [open_sink(target), open_sink(target)]
    both = threading.Barrier(2)
    raised: list[Exception] = []

    def run(sink: MysqlSink, first: int, second: int) -> None:
        try:
            with sink._edge():
                sink._begin()
                sink._db.run(f"update t set v = v + 1 where id = {first}")
                both.wait(20)
                sink._db.run(f"update t set v = v + 1 where id = {second}")
                sink._commit()
        except Exception as exc:  # noqa: BLE001  (judged by the test's thread)
            raised.append(exc)

    other = threading.Thread(target=run, args=(sinks[0], 1, 2))
    other.start()
    run(sinks[1], 2, 1)
    other.join(20)
    assert [type(exc) for exc in raised] == [SinkUnavailable]
    assert [row["v"] for row in target.rows()] == [1, 1]


def test_a_read_only_server_is_transient(target: MysqlBackend) -> None:
    """As a replica answers during a failover."""
    user = f"r{target.database}"
    target.execute(f"create user {user}@'%'")
    target.execute(f"grant all on {target.database}.* to {user}@'%'")
    url = f"mysql://{user}@127.0.0.1:{target.server.port}/{target.database}"
    sink = make_sink(Database(url), DELIVERY, base=target.server.folder)
    sink.open()
    sink.write([batch([{"id": 1}])])
    target.execute("set global read_only = 1")
    try:
        with pytest.raises(SinkUnavailable):
            sink.write([batch([{"id": 2}])])
    finally:
        target.execute("set global read_only = 0")
    sink.close()
    assert ids(target) == [1]


@pytest.mark.backend("mysql")
def test_a_full_disk_is_transient() -> None:
    """A server that cannot write takes nothing of a load, and what fits is taken after it."""
    small = {"innodb_doublewrite": "0"}
    with MySql(settings=small, durable=False) as server:
        server.stop()
        limit = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh", "prlimit", "--fsize=50000000"]
        server._as_nobody = [*limit, *server._as_nobody]  # MariaDB would end itself
        server.start()
        target = MysqlBackend(server)
        sink = open_sink(target)
        big = batch([{"id": i, "v": "x" * 100_000} for i in range(600)])
        with pytest.raises(SinkUnavailable, match="full"):
            sink.write([big])
        one = batch([{"id": 1, "v": "y"}])
        sink.write([one])
        assert ids(target) == [1]
        assert sink.landed() == {one.id}
        target.close()


def test_a_refusal_amid_a_file_is_understood(target: MysqlBackend) -> None:
    """The server's word on a row is heard though megabytes were on their way behind it."""
    target.execute("create table t (id bigint, v longtext)")
    target.execute(
        "create trigger g before insert on t for each row begin"
        " if new.id = 5 then signal sqlstate '45000' set message_text = 'no fives'; end if; end"
    )
    sink = open_sink(target)
    with pytest.raises(SinkRejected, match="no fives"):
        sink.write([batch([{"id": i, "v": "x" * 10_000} for i in range(1500)])])
    sink.write([batch([{"id": 6, "v": "x"}])])
    assert ids(target) == [6]


def test_a_server_that_demands_primary_keys(target: MysqlBackend) -> None:
    """It refuses the table of a stream that appends, with what to do."""
    variable = {"mysql": "sql_require_primary_key", "mariadb": "innodb_force_primary_key"}
    target.execute(f"set global {variable[target.name]} = 1")
    try:
        with pytest.raises(SinkMisconfigured):
            target.sink().write([batch([{"id": 1}])])
        target.sink(upsert=("id",)).write([batch([{"id": 1}])])
    finally:
        target.execute(f"set global {variable[target.name]} = 0")


@pytest.mark.parametrize("kind", SERVERS)
def test_a_commit_survives_a_crash_of_the_server(kind: str) -> None:
    """What `write` has returned for is there after the server died and recovered."""
    server: MysqlServer = MariaDb() if kind == "mariadb" else MySql()
    with server:
        target = MysqlBackend(server)
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


def test_thousands_of_markers(target: MysqlBackend) -> None:
    """A load of many batches marks, finds and forgets each of them."""
    sink = open_sink(target)
    many = [batch([{"id": i}]) for i in range(2001)]
    assert sink.write(many).rows == 2001
    assert sink.write(many).repeated == {one.id for one in many}
    sink.forget({one.id for one in many})
    assert target.markers() == []


# -- engines -------------------------------------------------------------------------------


def test_a_table_without_transactions_is_refused(target: MysqlBackend) -> None:
    """An existing table of another engine pauses the stream with the ALTER to type."""
    target.execute("create table t (id bigint) engine=MyISAM")
    sink = open_sink(target)
    one = batch([{"id": 1}])
    with pytest.raises(SinkMisconfigured, match="MyISAM") as caught:
        sink.write([one])
    assert caught.value.hint is not None
    target.execute(caught.value.hint.partition(": ")[2])
    sink.write([one])
    assert ids(target) == [1]


def test_markers_without_transactions_are_refused(target: MysqlBackend) -> None:
    """So does a marker table that somebody has made so."""
    open_sink(target).close()
    target.execute("alter table _api2db_batches engine=MyISAM")
    with pytest.raises(SinkMisconfigured, match="alter table _api2db_batches engine=InnoDB"):
        target.sink()


def test_a_view_is_refused(target: MysqlBackend) -> None:
    """A view is no table."""
    target.execute("create table real_one (id bigint)")
    target.execute("create view t as select id from real_one")
    with pytest.raises(SinkMisconfigured, match="view"):
        target.sink().write([batch([{"id": 1}])])


# -- values --------------------------------------------------------------------------------


def test_floats(target: MysqlBackend) -> None:
    """Doubles come back to the last bit; NaN and infinity are refused by row."""
    values = [0.1, -0.0, 5e-324, -1.7976931348623157e308, 1e22, 2**53 + 2.0, 1 / 3]
    sink = open_sink(target)
    sink.write([batch([{"id": i, "v": v} for i, v in enumerate(values)])])
    found = [row["v"] for row in target.rows()]
    assert found == values
    # MariaDB knows no negative zero; it is equal to what it makes of it.
    assert math.copysign(1, found[1]) == (-1 if target.name == "mysql" else 1)
    bad = batch([{"v": v} for v in (1.0, math.nan, math.inf, -math.inf)])
    assert set(refused(sink, bad)) == {1, 2, 3}


def test_text_of_any_characters(target: MysqlBackend) -> None:
    """NUL, backslashes, quotes, tabs, ends of lines, four bytes and '\\N' stay what they are."""
    values = ["", "\0", "a\0b", "\\N", "NULL", "\\", "'", '"', "\t\n\r", "\x1a", "😀", "\\t", " "]
    values += ["\ufeff", "a\\", "\u2028", "NULL\\N", "x" * 70_000]
    sink = open_sink(target)
    rows = [{"id": i, "v": v} for i, v in enumerate(values)]
    sink.write([batch(rows)])
    sink._db.infile = False
    sink.write([batch(rows)])
    assert [row["v"] for row in target.rows()] == values * 2


def test_years(target: MysqlBackend) -> None:
    """Years 1000 to 9999 are kept in UTC; others are refused by row, as the manual warns."""
    good = [
        datetime(1000, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
    ]
    sink = open_sink(target)
    sink.write([batch([{"t": t, "d": t.date()} for t in good], t=STAMP, d=pa.date32())])
    found = target.rows()
    assert [row["t"] for row in found] == good
    assert [row["d"] for row in found] == [t.date() for t in good]
    early = datetime(999, 12, 31, tzinfo=UTC)
    bad = batch([{"t": good[0], "d": date(999, 1, 1)}, {"t": early, "d": None}], t=STAMP)
    assert set(refused(sink, bad)) == {0, 1}


def test_keys_are_bytes(target: MysqlBackend) -> None:
    """Case, accents and spaces at the end tell keys apart; one of 256 characters is refused."""
    keys = ["a", "A", "a ", "ä", "a\0", "😀" * 255]
    sink = open_sink(target, upsert=("id",))
    sink.write([batch([{"id": key, "v": i} for i, key in enumerate(keys)])])
    sink.write([batch([{"id": key, "v": i + 10} for i, key in enumerate(keys)])])
    assert {row["id"]: row["v"] for row in target.rows()} == {k: i + 10 for i, k in enumerate(keys)}
    bad = batch([{"id": "b", "v": 1}, {"id": "x" * 256, "v": 2}])
    assert "varchar(255)" in refused(sink, bad)[1]


def test_json_numbers(target: MysqlBackend) -> None:
    """MySQL keeps numbers as 64 bits: what would be rounded is refused. MariaDB keeps the text."""
    good = [
        '{"a": 18446744073709551615, "b": -9223372036854775808, "c": 0.1, "d": 1.5e3}',
        '["12345678901234567890.123456789", {"\\u0000": null}]',
        "12345678.87654321",
    ]
    bad = ['{"a": 123456789012345678901}', "0.12345678901234567890", "[1e400]", "9" * 5000]
    sink = open_sink(target)
    sink.write([batch([{"v": v} for v in good], v=JSON)])
    assert [loads(row["v"]) for row in target.rows()] == [loads(v) for v in good]
    one = batch([{"v": v} for v in bad], v=JSON)
    if target.name == "mariadb":
        sink.write([one])
        assert [row["v"] for row in target.rows()][3:] == bad
    else:
        assert set(refused(sink, one)) == {0, 1, 2, 3}


def test_json_that_is_none_is_named(target: MysqlBackend) -> None:
    """A text that the server does not take as JSON is refused by row."""
    sink = open_sink(target)
    deep = "[" * 200 + "]" * 200
    sink.write([batch([{"id": 1, "v": "{}"}], v=JSON)])
    bad = batch([{"id": 2, "v": "[]"}, {"id": 3, "v": deep}, {"id": 4, "v": "1"}], v=JSON)
    if target.name == "mysql":
        with pytest.raises(SinkRejected):
            sink.write([bad])
    sink.write([bad.with_rows(bad.rows.slice(0, 1))])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_rows_come_back(target: MysqlBackend, data: st.DataObject) -> None:
    """Rows of any values come back as they were sent, by either way of writing."""
    row = st.fixed_dictionaries(
        {
            "i": st.none() | st.integers(-(2**63), 2**63 - 1),
            "f": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "b": st.none() | st.booleans(),
            "s": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            "d": st.none() | st.dates(date(1000, 1, 1)),
            "t": st.none() | st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC)),
            "n": st.none() | st.decimals(-(10**28), 10**28, places=9),
        }
    )
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    types = {
        "i": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "s": pa.string(),
        "d": pa.date32(),
        "t": STAMP,
        "n": pa.decimal128(38, 9),
    }
    target.execute("drop table if exists t")
    sink = open_sink(target)
    sink._db.infile = data.draw(st.booleans())
    sink.write([batch([{"k": k} | row for k, row in enumerate(rows)], **types)])
    sink.close()
    found = target.rows()
    for row in found:
        del row["k"]
    sent = [
        {key: v for key, v in row.items() if key in (found[0] if found else row)} for row in rows
    ]
    assert found == sent


# -- LOAD DATA -----------------------------------------------------------------------------


def test_what_load_data_would_alter_is_refused_by_row(target: MysqlBackend) -> None:
    """A text too long, a number out of range, a second key, a NULL: each names its row."""
    target.execute(
        "create table t (id int primary key, s varchar(3), n smallint, x bigint not null default 0)"
    )
    sink = open_sink(target)
    good = {"id": 1, "s": "abc", "n": 7, "x": 1}
    sink.write([batch([good])])
    assert refused(sink, batch([good | {"id": 2}, good | {"id": 3, "s": "abcd"}])).keys() == {1}
    assert refused(sink, batch([good | {"id": 2}, good | {"id": 3, "n": 40_000}])).keys() == {1}
    assert refused(sink, batch([good | {"id": 2}, good | {"id": 3, "x": None}])).keys() == {1}
    with pytest.raises(SinkRejected):  # MySQL does not say which row
        sink.write([batch([good | {"id": 2}, good])])
    assert target.rows() == [good]


@pytest.mark.parametrize("infile", [True, False])
def test_load_data_is_what_lands_rows(target: MysqlBackend, infile: bool) -> None:
    """Rows go in by LOAD DATA, or where the server forbids it by INSERT, without being told."""
    target.execute(f"set global local_infile = {int(infile)}")
    try:
        sink = open_sink(target)
        sink.write([batch([{"id": 0}])])
        sent: list[bytes] = []
        send = sink._db.send
        sink._db.send = lambda statement: (sent.append(statement), send(statement))[1]  # type: ignore[method-assign]
        sink.write([batch([{"id": i} for i in range(1, 1000)])])
    finally:
        target.execute("set global local_infile = 1")
    assert bool(sent) != infile
    assert ids(target) == list(range(1000))


def test_load_data_is_forbidden_while_running(target: MysqlBackend) -> None:
    """A server that forbids it after the login is believed, too."""
    sink = open_sink(target)
    target.execute("set global local_infile = 0")
    try:
        assert sink._db.infile
        sink.write([batch([{"id": 1}])])
        assert not sink._db.infile
    finally:
        target.execute("set global local_infile = 1")
    assert ids(target) == [1]


@pytest.mark.parametrize("infile", [True, False])
def test_max_allowed_packet(target: MysqlBackend, infile: bool) -> None:
    """Statements keep within it; by INSERT a row that is larger by itself is refused by name."""
    ((before,),) = open_sink(target)._db.run("select @@global.max_allowed_packet")
    target.execute("set global max_allowed_packet = 1048576")
    try:
        sink = open_sink(target)
        sink._db.infile = infile
        sink.write([batch([{"id": i, "v": "x" * 300_000} for i in range(10)])])
        assert len(ids(target)) == 10
        one = batch([{"id": 10, "v": "y"}, {"id": 11, "v": "x" * 2_000_000}])
        if infile:
            sink.write([one])
            assert len(ids(target)) == 12
        else:
            assert "max_allowed_packet" in refused(sink, one)[1]
    finally:
        target.execute(f"set global max_allowed_packet = {before}")


def test_a_zero_in_a_counted_column(target: MysqlBackend) -> None:
    """0 stays 0 in an auto_increment column."""
    target.execute("create table t (id bigint auto_increment primary key, v int)")
    target.sink().write([batch([{"id": 0, "v": 1}, {"id": 5, "v": 2}])])
    assert ids(target) == [0, 5]


# -- upsert --------------------------------------------------------------------------------


def test_only_the_declared_key_decides(target: MysqlBackend) -> None:
    """A row that another unique index finds is refused; the row that is there stays."""
    target.execute("create table t (id bigint primary key, mail varchar(50) unique, v int)")
    sink = open_sink(target, upsert=("id",))
    sink.write([batch([{"id": 1, "mail": "a", "v": 1}, {"id": 2, "mail": "b", "v": 2}])])
    for clash in ({"id": 3, "mail": "a", "v": 9}, {"id": 2, "mail": "a", "v": 9}):
        with pytest.raises(SinkRejected):
            sink.write([batch([clash])])
    sink.write([batch([{"id": 2, "mail": "c", "v": 3}, {"id": 4, "mail": None, "v": 4}])])
    assert target.rows() == [
        {"id": 1, "mail": "a", "v": 1},
        {"id": 2, "mail": "c", "v": 3},
        {"id": 4, "mail": None, "v": 4},
    ]


def test_a_unique_index_that_is_no_primary_key(target: MysqlBackend) -> None:
    """The declared key may be a unique index beside a counter of the user's."""
    target.execute(
        "create table t (n bigint auto_increment primary key, a int, b varchar(9), v int,"
        " unique (a, b))"
    )
    sink = open_sink(target, upsert=("a", "b"))
    sink.write([batch([{"a": 1, "b": "x", "v": 1}, {"a": 1, "b": "y", "v": 2}])])
    sink.write([batch([{"a": 1, "b": "x", "v": 3}])])
    found = {(row["a"], row["b"]): row["v"] for row in target.rows()}
    assert found == {(1, "x"): 3, (1, "y"): 2}


def test_a_key_that_the_column_folds(target: MysqlBackend) -> None:
    """In a user's column without case the last arrival wins, whichever case it has."""
    target.execute(
        "create table t (id varchar(9) character set utf8mb4 collate utf8mb4_general_ci"
        " primary key, v int)"
    )
    sink = open_sink(target, upsert=("id",))
    sink.write([batch([{"id": "a", "v": 1}, {"id": "A", "v": 2}])])
    assert [row["v"] for row in target.rows()] == [2]


def test_a_prefix_is_no_unique_key(target: MysqlBackend) -> None:
    """A unique index on the start of a column does not keep whole values apart."""
    target.execute("create table t (id varchar(50), v int, unique (id(3)))")
    with pytest.raises(SinkMisconfigured, match="unique index"):
        target.sink(upsert=("id",)).write([batch([{"id": "abcd", "v": 1}])])


# -- what users made -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "kept", "lost"),
    [
        ("int", [1, -(2**31)], [2**31]),
        ("tinyint unsigned", [0, 255], [256]),
        ("bigint unsigned", [2**63 - 1, 0], [-1]),
        ("float", [0.1, 1.5, -0.25], [123456789.123]),
        ("decimal(5,2)", [Decimal("123.45"), Decimal("-0.10")], [Decimal("0.125")]),
        ("double(7,2)", [0.25, 12345.5], [0.125]),
        ("char(3)", ["abc", "a", " a"], ["abcd", "a "]),
        ("varchar(3)", ["abc", "a  "], ["abcd", "abc "]),
        ("tinytext", ["x" * 255], ["x" * 256, "x" * 255 + " ", "ä" * 128]),
        ("varchar(9) character set latin1", ["ä"], ["😀"]),
        ("enum('a','it''s','3')", ["a", "it's", "3"], ["A", "b", "1", ""]),
        ("datetime", [datetime(2024, 1, 1, tzinfo=UTC)], [datetime(2024, 1, 1, 0, 0, 0, 5, UTC)]),
        (
            "timestamp(3) null",
            [datetime(2024, 1, 1, 0, 0, 0, 5000, UTC)],
            [datetime(2024, 1, 1, 0, 0, 0, 5, UTC), datetime(1950, 1, 1, tzinfo=UTC)],
        ),
    ],
)
def test_columns_of_other_types(
    target: MysqlBackend, type_: str, kept: list[Any], lost: list[Any]
) -> None:
    """A narrower column keeps a value as it is, or its row is refused; nothing is altered."""
    stamp = {"v": STAMP} if isinstance(kept[0], datetime) else {}
    if isinstance(kept[0], Decimal):
        stamp = {"v": pa.decimal128(38, 9)}
    target.execute(f"create table t (id int, v {type_})")
    declared = target.types()
    for infile in (True, False):
        sink = open_sink(target)
        sink._db.infile = infile
        sink.write([batch([{"id": i, "v": v} for i, v in enumerate([*kept, None])], **stamp)])
        for value in lost:
            one = batch([{"id": 99, "v": kept[0]}, {"id": 100, "v": value}], **stamp)
            assert set(refused(sink, one)) == {1}, value
        sink.close()
    assert [row["v"] for row in target.rows()] == [*kept, None] * 2
    assert target.types() == declared


@pytest.mark.parametrize("type_", ["time", "bit(8)", "blob", "set('a')", "year"])
def test_columns_that_nothing_is_written_to(target: MysqlBackend, type_: str) -> None:
    """Where text would be read as something else the stream pauses; without the column it lands."""
    target.execute(f"create table t (id int, v {type_})")
    sink = target.sink()
    with pytest.raises(SinkMisconfigured, match="nothing is written"):
        sink.write([batch([{"id": 1, "v": "1"}])])
    sink.write([batch([{"id": 1}])])
    assert target.rows() == [{"id": 1, "v": None}]


def test_new_columns_in_a_table_of_another_character_set(target: MysqlBackend) -> None:
    """Text goes into new columns as utf8mb4, whatever the table's default is."""
    target.execute("create table t (id int) character set latin1")
    sink = target.sink()
    sink.write([batch([{"id": 1, "s": "😀", "b": True}])])
    sink.write([batch([{"id": 2, "b": "😀"}])])
    assert [(row["s"], row["b"]) for row in target.rows()] == [("😀", "true"), (None, "😀")]


@pytest.mark.parametrize(
    "declared", ["bigint not null", "bigint default 5", "bigint comment 'mine'"]
)
def test_a_column_with_a_users_attributes_is_not_widened(
    target: MysqlBackend, declared: str
) -> None:
    """It would lose them: the row is a dead letter."""
    target.execute(f"create table t (id int, v {declared})")
    sink = open_sink(target)
    assert set(refused(sink, batch([{"id": 1, "v": 1}]), batch([{"id": 2, "v": 0.5}]))) == {0}


def test_an_indexed_column_is_not_made_text(target: MysqlBackend) -> None:
    """Numbers widen under an index; text cannot be in one, so the row is a dead letter."""
    target.execute("create table t (id int, n bigint, b tinyint(1), index (n), index (b, id))")
    sink = open_sink(target)
    sink.write([batch([{"id": 1, "n": 1, "b": True}]), batch([{"id": 2, "n": 0.5}])])
    assert set(refused(sink, batch([{"id": 3, "b": "x"}]))) == {0}
    assert target.types()["n"] == "double"


def test_small_numbers_are_no_booleans(target: MysqlBackend) -> None:
    """A user's tinyint(1) that holds other numbers is not made text."""
    target.execute("create table t (v tinyint(1))")
    target.execute("insert into t values (5)")
    sink = open_sink(target)
    assert set(refused(sink, batch([{"v": "x"}]))) == {0}
    assert target.rows() == [{"v": 5}]


def test_numbers_in_a_users_boolean(target: MysqlBackend) -> None:
    """To MySQL a boolean is a small number: 0, 1 and others go in as they are."""
    target.execute("create table t (v boolean)")
    sink = open_sink(target)
    sink.write([batch([{"v": True}, {"v": False}]), batch([{"v": True}])])
    sink.write([batch([{"v": 0}, {"v": 1}, {"v": 5}])])
    assert [row["v"] for row in target.rows()] == [1, 0, 1, 0, 1, 5]
    assert set(refused(sink, batch([{"v": 1}, {"v": 300}]))) == {1}
    assert target.types() == {"v": "tinyint(1)"}


def test_a_widening_that_was_cut_off_is_done_again(target: MysqlBackend) -> None:
    """The column that lives during it is removed by the next try."""
    sink = open_sink(target)
    sink.write([batch([{"id": 1, "v": True}])])
    target.execute("alter table t add column _api2db_wide longtext after v")
    sink.write([batch([{"id": 2, "v": "x"}])])
    assert target.rows() == [{"id": 1, "v": "true"}, {"id": 2, "v": "x"}]


@pytest.mark.parametrize(
    ("old", "new", "landed"),
    [
        (Decimal("1.50"), '{"a": 1}', 1.5),
        (Decimal(1700), '{"a": 1}', 1700),
        (True, '{"a": 1}', "true"),
        ('a"\\b', '{"a": 1}', 'a"\\b'),
        (date(2024, 2, 29), '{"a": 1}', "2024-02-29"),
        (0.1, '{"a": 1}', 0.1),
    ],
)
def test_old_values_in_a_column_of_json(
    target: MysqlBackend, old: Any, new: str, landed: Any
) -> None:
    """Old rows have the same JSON as new ones of the same value."""
    sink = target.sink()
    types = {"v": pa.decimal128(38, 9)} if isinstance(old, Decimal) else {}
    for value, type_ in ((old, types), (new, {"v": JSON}), (old, types)):
        sink.write([batch([{"v": value}], **type_)])
    one, two, three = (loads(row["v"]) for row in target.rows())
    assert two == {"a": 1}
    assert one == three
    assert one == (landed if landed != "true" else three)


# -- names ---------------------------------------------------------------------------------


def test_names_that_differ_in_the_case_of_any_letter(target: MysqlBackend) -> None:
    """MySQL folds all letters; names that it would take for one are kept apart."""
    row = {"É": 1, "é": 2, "e": 3, "x ": 4, "x": 5, "a😀": 6, "a_": 7}
    sink = target.sink()
    sink.write([batch([row])])
    sink.write([batch([dict(reversed(row.items()))])])
    first, second = target.rows()
    assert sorted(first.values()) == list(range(1, 8))
    assert first == second
    assert all(len(name) <= 64 for name in first)


def test_the_ddl_is_quoted_by_backticks(target: MysqlBackend) -> None:
    """What `preview` shows can be typed into the server's own client."""
    sink: Any = target.closed_sink(Delivery("0" * 32, "c", "s", "t", ("id",)))
    ddl = sink.ddl(pa.schema({"id": pa.string(), "a`b": pa.float64()}))
    assert "`id` varchar(255)" in ddl
    assert "engine=InnoDB character set utf8mb4 collate" in ddl
    target.execute(ddl)
    assert target.types() == {"id": "varchar(255)", "a`b": "double"}
