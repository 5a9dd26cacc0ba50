"""What only SiriDB can do wrong, on a real server."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.errors import (
    ConfigError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink.base import Delivery
from api2db.sink.siridb import SiridbSink
from api2db.sink.siridbname import quote
from api2db.sink.target import Siridb
from tests.contract.siridb import SiridbBackend
from tests.contract.test_sink import STAMP, batch
from tests.fixtures.siridb import PASSWORD, USER, SiriDbServer

Make = Callable[..., SiridbBackend]
pytestmark = pytest.mark.backend("siridb")


@pytest.fixture
def server() -> Iterator[SiriDbServer]:
    """A server that a test may kill."""
    with SiriDbServer() as server:
        yield server


@pytest.fixture
def make(siridb: SiriDbServer) -> Iterator[Make]:
    """Return what makes an empty database, with the arguments of `Siridb`."""
    made = []

    def make(server: SiriDbServer = siridb, **target: Any) -> SiridbBackend:
        made.append(SiridbBackend(server, **target))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


def at(backend: SiridbBackend, name: str) -> list[list[Any]]:
    """Return the points of a series."""
    points: list[list[Any]] = backend.query(f"select * from {quote(name)}")[name]
    return points


def again(backend: SiridbBackend, sink: Any, *batches: Batch) -> None:
    """Write *batches* as a daemon does that was killed before it had an answer."""
    sink.close()
    sink.open()
    sink.write(batches)


STATIONS = [
    {"at": datetime(2024, 1, 1, 0, 0, i, tzinfo=UTC), "station": s, "temp": i + 0.5, "n": i}
    for i, s in enumerate(["a", "b", "a", None])
]


def test_tags_and_time_name_the_points(make: Make) -> None:
    """A series for each column and tag; time and tags are no series; NULL is no part of a name."""
    backend = make(tags=("station",), time="at", precision="ms")
    backend.sink().write([batch(STATIONS, at=STAMP)])
    base = 1_704_067_200_000
    assert backend.series() == {
        "t|station=a|temp": [[base, 0.5], [base + 2000, 2.5]],
        "t|station=a|n": [[base, 0], [base + 2000, 2]],
        "t|station=b|temp": [[base + 1000, 1.5]],
        "t|station=b|n": [[base + 1000, 1]],
        "t|temp": [[base + 3000, 3.5]],
        "t|n": [[base + 3000, 3]],
    }


@pytest.mark.parametrize(
    ("precision", "ticks"), [("s", 1_704_067_200), ("us", 1_704_067_200_123_456)]
)
def test_instants_in_the_units_of_the_database(make: Make, precision: str, ticks: int) -> None:
    """What the database cannot tell apart is cut, never rounded up."""
    backend = make(time="at", precision=precision)
    when = datetime(2024, 1, 1, 0, 0, 0, 123456, UTC)
    backend.sink().write([batch([{"at": when, "v": 1}], at=STAMP)])
    assert at(backend, "t|v") == [[ticks, 1]]


def test_dates_and_numbers_are_times(make: Make) -> None:
    """A date is its midnight in UTC, a number is in the unit of the database."""
    backend = make(time="at", precision="s")
    backend.sink().write([batch([{"at": date(1970, 1, 2), "v": 1}])])
    backend.sink("u").write([batch([{"at": 7, "v": 1}])])
    assert (at(backend, "t|v"), at(backend, "u|v")) == ([[86400, 1]], [[7, 1]])


def test_times_that_cannot_be(make: Make) -> None:
    """Rows without a time, or before 1970, are dead letters; a time that is JSON is a mistake."""
    backend = make(time="at")
    bad = batch([{"at": 5, "v": 1}, {"at": None, "v": 2}, {"at": -1, "v": 3}])
    with pytest.raises(SinkRejected) as caught:
        backend.sink().write([bad])
    assert [row.row for row in caught.value.rows[bad.id]] == [1, 2]
    with pytest.raises(SinkRejected, match="missing"):
        backend.sink().write([batch([{"v": 1}])])
    with pytest.raises(SinkMisconfigured, match="name a column of instants in 'time'"):
        backend.sink().write([batch([{"at": True, "v": 1}])])


@pytest.mark.parametrize(
    ("times", "tick"),
    [
        (["1970-01-01T00:00:05Z", "yesterday", ""], 5),
        ([5.0, 5.5, math.inf], 5),
        ([Decimal("5.00"), Decimal("5.1"), Decimal("1e20")], 5),
    ],
)
def test_a_column_that_has_had_other_times_once(make: Make, times: list[Any], tick: int) -> None:
    """
    Texts and fractions among the times are dead letters; the others are read from what it became.

    The rows keep the type that they were collected with: a pause would last for ever.
    """
    backend = make(time="at", precision="s")
    one = batch([{"at": time, "v": 1} for time in times])
    with pytest.raises(SinkRejected) as caught:
        backend.sink().write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1, 2]
    backend.sink().write([one.with_rows(one.rows.slice(0, 1))])
    assert at(backend, "t|v") == [[tick, 1]]


def test_equal_points_of_two_batches_are_two(make: Make) -> None:
    """Each is stored, and neither again when both are written again."""
    backend = make(time="at")
    sink = backend.sink()
    row = {"at": 5, "v": 1.5, "w": math.nan}
    one, two, three = (batch([row, row]) for _ in range(3))
    sink.write([one, two])
    sink.write([three])
    again(backend, sink, one, two, three)
    assert at(backend, "t|v") == [[5, 1.5]] * 6
    assert [math.isnan(v) for _, v in at(backend, "t|w")] == [True] * 6


def test_what_is_missing_is_added(make: Make, siridb: SiriDbServer) -> None:
    """Of a batch that is there in part, with equal points of others, only the rest is inserted."""
    backend = make(time="at")
    sink = backend.sink()
    first = batch([{"at": i, "v": i, "w": f"{i}"} for i in range(10)])
    sink.write([first])
    same = batch([{"at": i, "v": i, "w": f"{i}"} for i in range(5, 15)])
    sink.write([same])
    backend.query('drop series "t|w"')  # as if the server had lost it
    siridb.insert(backend.database, {"t|w": [(i, f"{i}") for i in (0, 5, 5, 14)]})
    again(backend, sink, first, same)
    assert sorted(at(backend, "t|v")) == sorted([i, i] for i in [*range(10), *range(5, 15)])
    assert sorted(at(backend, "t|w")) == sorted([i, f"{i}"] for i in [*range(10), *range(5, 15)])


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5, 6])
def test_broken_off_anywhere(make: Make, after: int, monkeypatch: Any) -> None:
    """Whatever request was the last, the next life completes the load, and doubles nothing."""
    backend = make(time="at")
    backend.sink(collector="other").write([batch([{"at": 3, "v": 3, "w": "x"}])])
    sink = backend.sink()
    assert isinstance(sink, SiridbSink)
    done = 0

    def counted(real: Any) -> Any:
        def call(*args: Any) -> Any:
            nonlocal done
            if done >= after:
                raise SinkUnknown("killed")
            done += 1
            return real(*args)

        return call

    load = [batch([{"at": i, "v": i, "w": "x"} for i in (1, 2, 3, 3)]) for _ in range(2)]
    with monkeypatch.context() as patch:
        for name in ("query", "insert"):
            patch.setattr(sink._client, name, counted(getattr(sink._client, name)))
        patch.setattr("api2db.sink.siridbpackage.INSERT_POINTS", 3)
        with pytest.raises(SinkUnknown):
            sink.write(load)
    again(backend, sink, *load[:1])
    again(backend, sink, *load)
    expected = sorted([1, 2, 3, 3] * 2 + [3])
    assert [tick for tick, _ in at(backend, "t|v")] == expected
    assert [tick for tick, _ in at(backend, "t|w")] == expected


@pytest.mark.parametrize("n", [3, 50, 500])
def test_a_killed_server_keeps_what_it_acknowledged(
    make: Make, server: SiriDbServer, n: int
) -> None:
    """It is killed right after each load; nothing of it is lost, whatever its size."""
    backend = make(server, time="at")
    for k in range(3):
        sink = backend.sink()
        rows = [{"at": k * n + i, "v": i, "w": f"{i}", f"new{k}": i + 0.5} for i in range(n)]
        sink.write([batch(rows)])
        server.stop("immediate")
        sink.close()
        server.start()
    counts = {name: len(points) for name, points in backend.series().items()}
    assert counts == {"t|v": 3 * n, "t|w": 3 * n, **{f"t|new{k}": n for k in range(3)}}


def test_a_server_that_lies_is_found_out(make: Make, monkeypatch: Any) -> None:
    """Points that it acknowledged and does not have make the load's outcome unknown."""
    backend = make()
    sink = backend.sink()
    assert isinstance(sink, SiridbSink)
    real = sink._client.insert
    monkeypatch.setattr(
        sink._client, "insert", lambda points, *to: None if "t|v" in points else real(points, *to)
    )
    one = batch([{"v": 1}, {"v": 2}])
    with pytest.raises(SinkUnknown, match="acknowledged 2 points"):
        sink.write([one])
    monkeypatch.undo()
    again(backend, sink, one)
    assert [v for _, v in at(backend, "t|v")] == [1, 2]


def test_wider_numbers_go_beside(make: Make) -> None:
    """A series keeps its type: floats go into another beside a series of integers."""
    backend = make()
    sink = backend.sink()
    for value in (1, 2.5, 3):
        sink.write([batch([{"v": value}])])
    for _ in range(2):
        backend.sink().write([batch([{"v": 4.5}])])
    found = {name: [v for _, v in points] for name, points in backend.series().items()}
    assert found == {"t|v": [1, 3], "t|v|float": [2.5, 4.5, 4.5]}
    with pytest.raises(SinkRejected, match="holds integer, this is str"):
        sink.write([batch([{"v": "x"}])])


def test_a_column_of_one_load_has_one_type(make: Make) -> None:
    """Integers and floats that come together are floats; numbers in a series of texts are texts."""
    backend = make()
    backend.sink().write([batch([{"v": 1, "w": "x"}]), batch([{"v": 2.5, "w": "y"}])])
    backend.sink().write([batch([{"v": 3, "w": 7}])])
    found = {name: [v for _, v in points] for name, points in backend.series().items()}
    assert found == {"t|v": [1.0, 2.5, 3.0], "t|w": ["x", "y", "7"]}


def test_a_text_with_nul_is_refused(make: Make) -> None:
    """The server would cut it there."""
    one = batch([{"v": "a"}, {"v": "a\0b"}])
    with pytest.raises(SinkRejected) as caught:
        make().sink().write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1]


def test_more_points_than_the_server_hands_out(make: Make, monkeypatch: Any) -> None:
    """They are read back in parts."""
    monkeypatch.setattr("api2db.sink.siridbclient.SELECT_POINTS", 10)
    backend = make(time="at")
    sink = backend.sink()
    one = batch([{"at": i, "v": i, "w": i} for i in range(50)])
    sink.write([one])
    again(backend, sink, one)
    assert len(at(backend, "t|v")) == len(at(backend, "t|w")) == 50


def test_a_worn_ledger_is_dropped(make: Make, monkeypatch: Any) -> None:
    """Its series does not grow for ever, while what may come again stays known."""
    monkeypatch.setattr("api2db.sink.siridbledger.WORN", 4)
    backend = make()
    sink = backend.sink()
    done: list[str] = []
    for i in range(9):
        one = batch([{"v": i}])
        sink.write([one], forget=done)
        done = [one.id]
    (ledger,) = backend.series("_api2db_batches").values()
    assert len(ledger) <= 6
    assert sink.landed() == set(done) == set(backend.markers())
    again(backend, sink, one)
    assert [v for _, v in at(backend, "t|v")] == list(range(9))


def test_what_it_cannot_do(make: Make) -> None:
    """Upsert and replace, and a table of our own name, are errors of the configuration."""
    backend = make()
    with pytest.raises(ConfigError, match="upsert"):
        backend.sink(upsert=("id",))
    with pytest.raises(ConfigError, match="replace"):
        backend.sink(replace=True)
    with pytest.raises(ConfigError, match="ours"):
        backend.sink("_api2db_batches")


def sink_of(server: SiriDbServer, **changed: Any) -> SiridbSink:
    """Return a sink, not open."""
    hosts = (("127.0.0.1", server.port),)
    given = {"hosts": hosts, "database": "no", "username": USER, "password": PASSWORD}
    return SiridbSink(Siridb(**(given | changed)), Delivery("0" * 32, "c", "s", "t"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"password": "s3cret"}, "Invalid credentials"),
        ({"username": "nobody"}, "Invalid credentials"),
        ({"database": "none"}, "Unknown database"),
    ],
)
def test_who_may_not_log_in_is_told(
    make: Make, siridb: SiriDbServer, changed: dict[str, Any], said: str
) -> None:
    """It pauses the stream, with what to look at, and without the password."""
    backend = make()
    sink = sink_of(siridb, **({"database": backend.database} | changed))
    with closing(sink), pytest.raises(SinkMisconfigured, match=said) as caught:
        sink.open()
    assert "AUTH" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_the_first_server_that_answers(make: Make, siridb: SiriDbServer) -> None:
    """One that is away is passed over; if all are, that is no fault of the configuration."""
    backend = make()
    away = ("127.0.0.1", 1)
    sink = sink_of(siridb, database=backend.database, hosts=(away, ("127.0.0.1", siridb.port)))
    with closing(sink):
        sink.open()
    sink = sink_of(siridb, hosts=(away,))
    with closing(sink), pytest.raises(SinkUnavailable, match="127.0.0.1:1"):
        sink.open()


@pytest.mark.parametrize(
    ("granted", "said"),
    [
        ("read", 'may not insert and drop; grant insert, drop to user "'),
        ("write", 'may not drop; grant drop to user "'),
        ("insert, drop", "no 'show' privileges.; grant the user"),
        ("read, insert, drop", ""),
        ("modify", ""),
    ],
)
def test_a_right_that_is_missing(make: Make, siridb: SiriDbServer, granted: str, said: str) -> None:
    """It pauses the stream before it has rows, and says what to grant."""
    backend = make()
    user = f"u{backend.database}"
    backend.query(f"create user '{user}' set password 'pass'")
    backend.query(f"grant {granted} to user '{user}'")
    with closing(
        sink_of(siridb, database=backend.database, username=user, password="pass")
    ) as sink:
        if said:
            with pytest.raises(SinkMisconfigured) as caught:
                sink.open()
            assert said in str(caught.value)
        else:
            sink.open()
            one = batch([{"v": 1}])
            sink.write([one])
            sink.forget([one.id])


def test_a_hung_server_is_left(make: Make, server: SiriDbServer) -> None:
    """`interrupt`, from another thread, ends a call that would never return."""
    backend = make(server)
    sink = backend.sink()
    sink.write([batch([{"v": 1}])])
    os.kill(server.pid, signal.SIGSTOP)
    try:
        timer = threading.Timer(0.2, sink.interrupt)
        timer.start()
        with pytest.raises(SinkUnavailable, match="did not answer in time"):
            sink.write([batch([{"v": 2}])])
        timer.join()
        sink.close()
    finally:
        os.kill(server.pid, signal.SIGCONT)
    sink.open()
    sink.write([batch([{"v": 3}])])
    assert [v for _, v in at(backend, "t|v")][-1] == 3


def test_a_server_that_restarts(make: Make, server: SiriDbServer) -> None:
    """A lost connection is no fault of the rows."""
    backend = make(server)
    sink = backend.sink()
    sink.write([batch([{"v": 1}])])
    server.stop()
    with pytest.raises(SinkUnavailable):
        sink.write([batch([{"v": 2}])])
    sink.close()
    server.start()
    sink.open()
    sink.write([batch([{"v": 2}])])
    assert [v for _, v in at(backend, "t|v")] == [1, 2]


def test_a_server_that_ends_between_two_requests(make: Make, server: SiriDbServer) -> None:
    """It is noticed at once, not when an answer that cannot come is overdue."""
    backend = make(server)
    sink = backend.sink()
    assert isinstance(sink, SiridbSink)
    server.stop()
    loop = sink._client._loop
    assert loop is not None
    loop.run_until_complete(asyncio.sleep(0.1))  # the client hears of it
    with pytest.raises(SinkUnavailable, match="lost"):
        sink.write([batch([{"v": 1}])])
    server.start()


def test_an_insert_that_still_goes_on(make: Make, siridb: SiriDbServer) -> None:
    """The server may work on what a killed life has sent: nothing is read back until it is done."""
    backend = make()
    sink = backend.sink()
    one = batch([{"v": 1}])
    sink.write([one])
    many = {f"n{i}": [(k, k) for k in range(300)] for i in range(1500)}
    going_on = threading.Thread(target=siridb.insert, args=(backend.database, many))
    going_on.start()
    while not backend.query("count series /^n.*/")["series"]:
        pass
    with pytest.raises(SinkUnavailable, match="broken off"):
        sink.write([one])
    going_on.join()
    again(backend, sink, one)
    assert [v for _, v in at(backend, "t|v")] == [1]


def test_integers_keep_all_bits(make: Make) -> None:
    """Both ends of int64; what Arrow holds beyond them has no place."""
    backend = make()
    backend.sink().write([batch([{"v": 2**63 - 1}, {"v": -(2**63)}])])
    assert [v for _, v in at(backend, "t|v")] == [2**63 - 1, -(2**63)]
    with pytest.raises(SinkMisconfigured):
        backend.sink().write([batch([{"v": 2**63}], v=pa.uint64())])


def rows_at(ticks: Any) -> list[dict[str, Any]]:
    """Return a row for each of *ticks*: a number in two columns, and a text."""
    return [{"at": tick, "v": tick, "w": tick, "x": f"{tick}"} for tick in ticks]


def test_a_killed_server_does_not_double_what_it_had_buffered(
    make: Make, server: SiriDbServer, monkeypatch: Any
) -> None:
    """A load makes the buffers overflow; the server is killed before anything else comes."""
    backend = make(server, time="at")
    sink = backend.sink()
    assert isinstance(sink, SiridbSink)
    first, second = batch(rows_at(range(40))), batch(rows_at(range(40, 80)))
    sink.write([first])
    real = sink._client.insert

    def killed(points: Any, *args: Any) -> None:
        real(points, *args)
        if "t|v" in points:
            server.stop("immediate")
            raise SinkUnknown("killed")

    monkeypatch.setattr(sink._client, "insert", killed)
    with pytest.raises(SinkUnknown):
        sink.write([second])
    monkeypatch.undo()
    sink.close()
    server.start()
    sink.open()
    sink.write([second])
    found = [[tick for tick, _ in points] for points in backend.series().values()]
    assert found == [list(range(80))] * 3


def test_a_server_that_starts_does_not_know_its_last_point(
    make: Make, server: SiriDbServer
) -> None:
    """It overlooks a chunk that begins before others, and ends behind them: ours, sent again."""
    backend = make(server, time="at")
    sink = backend.sink()
    end = 0
    for n in (10, 100, 10, 100, 50):  # the buffer takes the small ones, and overflows at last
        last = batch(rows_at(range(end, end + n)))
        sink.write([last])
        end += n
    server.stop()
    server.start()
    (told,) = backend.query('list series end "t|v"')["series"]
    assert told[0] < end - 1  # the fault itself; a server without it needs no such test
    again(backend, sink, last)
    assert {len(points) for points in backend.series().values()} == {end}


@pytest.mark.parametrize("several", [True, False])
def test_texts_between_others(make: Make, monkeypatch: Any, several: bool) -> None:
    """A range between two texts of one chunk, which would kill the server, is not asked for."""
    monkeypatch.setattr("api2db.sink.siridbclient.SELECT_TEXTS", 5)
    backend = make(time="at")
    sink = backend.sink()
    ends = [*range(20), *range(1000, 1020)]
    sink.write([batch(rows_at(ends))])
    loads = [batch(rows_at(ticks)) for ticks in (range(500, 510), range(30, 35), range(990, 995))]
    for load in [loads] if several else [[load] for load in loads]:
        sink.write(load)
    again(backend, sink, *loads)
    found = [[tick for tick, _ in points] for points in backend.series().values()]
    assert found == [sorted([*ends, *range(500, 510), *range(30, 35), *range(990, 995)])] * 3
