"""Facts about OmniSci that no other target has; against the stand-in."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from heavydb.thrift.ttypes import TDBException

from api2db.core.errors import (
    ConfigError,
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink import omnisci as sink_module
from api2db.sink.base import Delivery
from api2db.sink.omnisciclient import Session
from api2db.sink.registry import make_sink
from api2db.sink.target import Omnisci
from tests.contract.backends import OmnisciBackend
from tests.contract.test_sink import STAMP, batch, ids
from tests.fixtures.heavydb import HeavydbServer
from tests.fixtures.suspend import resume, suspend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api2db.core.batch import Batch
    from api2db.sink.base import Sink

pytestmark = pytest.mark.backend("omnisci")


@pytest.fixture
def backend(omnisci: HeavydbServer) -> Iterator[OmnisciBackend]:
    """An empty database."""
    backend = OmnisciBackend(omnisci)
    yield backend
    backend.close()


def refused(backend: OmnisciBackend, rows: list[dict[str, Any]], **types: Any) -> dict[int, str]:
    """Return the rows of one batch that are dead letters, with their reasons."""
    one = batch(rows, **types)
    with pytest.raises(SinkRejected) as caught:
        backend.sink().write([one])
    return {row.row: row.reason for row in caught.value.rows[one.id]}


# -- once --------------------------------------------------------------------------------------


def test_each_row_says_which_batch_it_is_of(backend: OmnisciBackend) -> None:
    """The marker is a column, part of the load: no other table is made."""
    one, two = batch([{"id": 1}]), batch([{"id": 2}, {"id": 3}])
    backend.sink().write([one, two])
    found = [row["_api2db_batch"] for row in backend.fetch("select * from t")]
    assert found == [f"{one.id}/s", f"{two.id}/s", f"{two.id}/s"]
    assert backend.tables() == ["t"]


def test_an_answer_that_was_lost(backend: OmnisciBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load took effect, the connection broke: what is sent again is left out."""
    sink, one, load = backend.sink(), batch([{"id": 1}, {"id": 2}]), Session.load

    def loses(self: Session, table: str, stream: bytes) -> None:
        load(self, table, stream)
        self.interrupt()
        self.columns(table)  # any call

    monkeypatch.setattr(Session, "load", loses)
    with pytest.raises(SinkUnknown):
        sink.write([one])
    monkeypatch.undo()
    again = backend.sink()
    assert again.write([one, batch([{"id": 3}])]).repeated == {one.id}
    assert ids(backend) == [1, 2, 3]


def held(backend: OmnisciBackend, sink: Sink, one: Batch, where: str) -> None:
    """Let *sink* send a load that the server keeps, and its connection break."""
    backend.execute(f"hold {where}")

    def breaks(self: Any, table: str, stream: memoryview) -> None:
        self._client.send_load_table_binary_arrow(self.id, table, stream, True)
        backend.execute("await")
        self.interrupt()
        self._client.recv_load_table_binary_arrow()

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SinkUnknown):
        patch.setattr(Session, "load", breaks)
        sink.write([one])
    sink.close()


@pytest.mark.parametrize("life", ["the same", "a new one"])
def test_a_load_that_the_server_still_works_on(backend: OmnisciBackend, life: str) -> None:
    """It is waited for before its rows are counted, though a query would not see them yet."""
    sink, one = backend.sink(), batch([{"id": 1}])
    sink.write([batch([{"id": 0}])])
    held(backend, sink, one, "begun")
    if life == "a new one":
        sink = backend.sink()
    else:
        sink.open()
    free = threading.Timer(0.3, backend.execute, ["release"])
    free.start()
    assert sink.write([one]).repeated == {one.id}
    free.join()
    assert ids(backend) == [0, 1]


def test_a_load_that_the_server_has_not_begun(backend: OmnisciBackend) -> None:
    """The session that sent it is over: it is refused, and what was sent again is there once."""
    sink, one = backend.sink(), batch([{"id": 1}])
    sink.write([batch([{"id": 0}])])
    held(backend, sink, one, "received")
    sink.open()
    assert sink.write([one]).repeated == set()
    backend.execute("release")
    session = Session(backend.target)
    session.open()
    session.settle("t")
    session.close()
    assert ids(backend) == [0, 1]


def test_a_load_that_was_cut_between_two_calls(
    backend: OmnisciBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A load of more bytes than a call takes goes on behind the rows that are there."""
    monkeypatch.setattr(sink_module, "REQUEST", 200)
    batches = [batch([{"id": i} for i in range(n, n + 7)]) for n in (0, 7, 14)]
    calls, load = 0, Session.load

    def breaks(self: Session, table: str, stream: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            self.interrupt()
        load(self, table, stream)

    monkeypatch.setattr(Session, "load", breaks)
    with pytest.raises(SinkUnknown):
        backend.sink().write(batches)
    there = len(ids(backend))
    assert 7 < there < 21
    landed = backend.sink().write(batches)
    assert landed.rows == 21 - there
    assert batches[0].id in landed.repeated
    assert ids(backend) == list(range(21))


def test_chunks(backend: OmnisciBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """`chunk_size` is the most rows of a call."""
    sizes, load = [], Session.load

    def notes(self: Session, table: str, stream: bytes) -> None:
        sizes.append(pa.ipc.open_stream(stream).read_all().num_rows)
        load(self, table, stream)

    monkeypatch.setattr(Session, "load", notes)
    sink = backend.closed_sink(Delivery("0" * 32, "c", "s", "t", chunk=4))
    sink.open()
    sink.write([batch([{"id": i} for i in range(10)])])
    assert sizes == [4, 4, 2]
    assert ids(backend) == list(range(10))


def test_two_streams_write_one_table(backend: OmnisciBackend) -> None:
    """Each has its own marker of one batch; and a table that a user made gets the column."""
    backend.execute("create table t (id bigint)")
    one = batch([{"id": 1}])
    for stream in ("a", "b", "a", "b"):
        backend.sink(stream=stream).write([one])
    assert ids(backend) == [1, 1]


def test_a_frozen_table_gets_the_marker_alone(backend: OmnisciBackend) -> None:
    """Without it nothing could land once; the columns of the rows are refused as ever."""
    backend.execute("create table t (id bigint)")
    sink = backend.sink(schema="freeze")
    sink.write([batch([{"id": 1}])])
    with pytest.raises(SinkRejected):
        sink.write([batch([{"id": 2, "v": 1}])])
    assert backend.rows() == [{"id": 1}]


# -- values ------------------------------------------------------------------------------------


def test_values_that_stand_for_null(backend: OmnisciBackend) -> None:
    """The number that OmniSci keeps for NULL is a dead letter; an empty text becomes NULL."""
    rows = [{"i": -(2**63), "f": 0.5, "s": ""}, {"i": 1, "f": 2.0**-1022, "s": "x"}]
    rows.append({"i": -(2**63) + 1, "f": float("nan"), "s": ""})
    assert set(refused(backend, rows)) == {0, 1}
    backend.sink().write([batch(rows[2:])])
    (row,) = backend.rows()
    assert (row["i"], row["s"]) == (-(2**63) + 1, None)


def test_a_text_that_is_too_long(backend: OmnisciBackend) -> None:
    """It is measured in bytes: OmniSci would refuse the whole load."""
    found = refused(backend, [{"s": "x" * 32_767}, {"s": "é" * 16_384}, {"s": None}])
    assert found == {1: "s: a text has at most 32767 bytes"}


@pytest.mark.parametrize(
    ("sql", "fits", "wrong"),
    [
        ("TINYINT", [127, -127, None], [128, -128]),
        ("SMALLINT", [32_767, -32_767], [32_768, -32_768]),
        ("INTEGER", [2**31 - 1, None], [2**31, -(2**31)]),
        ("BIGINT ENCODING FIXED(16)", [32_767], [40_000, -32_768]),
        ("FLOAT", [0.5, None], [0.1, 2.0**-126]),
        ("DECIMAL(6,2)", [Decimal("1234.56"), None], [Decimal("1.234"), Decimal(12345)]),
        ("TEXT ENCODING NONE", ["x", None], ["x" * 40_000]),
        ("BIGINT NOT NULL", [1], [None]),
        ("TIME", [None], ["12:00:00"]),
        ("BIGINT[]", [None], [1]),
        ("TIMESTAMP(0)", [datetime(2024, 2, 29, 1, 2, 3, tzinfo=UTC)], [
            datetime(2024, 2, 29, 1, 2, 3, 500_000, UTC)]),
        ("TIMESTAMP(3)", [datetime(1969, 1, 1, 0, 0, 0, 123_000, UTC)], [
            datetime(1969, 1, 1, 0, 0, 0, 123_456, UTC)]),
        ("TIMESTAMP(6)", [datetime(1, 1, 1, 0, 0, 0, 123_456, UTC)], []),
        ("TIMESTAMP(9)", [datetime(2024, 1, 1, 0, 0, 0, 123_456, UTC)], [
            datetime(2300, 1, 1, tzinfo=UTC)]),
        ("DATE", [date(1, 1, 1), date(9999, 12, 31)], []),
        ("BOOLEAN", [True, False, None], []),
    ],
)  # fmt: skip
def test_columns_that_a_user_made(
    sql: str, fits: list[Any], wrong: list[Any], backend: OmnisciBackend
) -> None:
    """What one holds comes back as it was; what it would alter, or refuse, is named by row."""
    backend.execute(f"create table t (id bigint, v {sql})")
    type_ = STAMP if sql.startswith("TIMESTAMP") else None
    rows = [{"id": i, "v": value} for i, value in enumerate([*fits, *wrong])]
    if wrong:
        found = refused(backend, rows, v=type_)
        assert set(found) == set(range(len(fits), len(rows)))
        assert all(reason.startswith("v: ") for reason in found.values())
    backend.sink().write([batch(rows[: len(fits)], v=type_)])
    stored = [row["v"] for row in backend.rows()]
    assert [float(v) if isinstance(v, Decimal) else v for v in fits] == stored


def test_a_unit_that_is_not_the_columns(backend: OmnisciBackend) -> None:
    """Why the sink sends the column's: the server would make another instant."""
    backend.execute("create table t (v TIMESTAMP(3))")
    seconds = pa.record_batch({"v_t": pa.array([1], pa.timestamp("s"))})
    with pa.BufferOutputStream() as out:
        with pa.ipc.new_stream(out, seconds.schema) as writer:
            writer.write_batch(seconds)
        session = Session(backend.target)
        session.open()
        session.load("t", out.getvalue().to_pybytes())
        session.close()
    assert backend.rows() != [{"v": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}]


# -- what it refuses -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"upsert": ("id",)}, "OmniSci takes no upsert: it has no transactions; use append"),
        ({"replace": True}, "OmniSci takes no replace: it has no transactions; use append"),
        ({"table": "a-b"}, "'a-b' cannot be the name of a table; write 'table' with small letters"),
        ({"table": "geo.t"}, "'geo.t' cannot be the name of a table"),
    ],
)
def test_what_cannot_be_asked_of_it(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    """It is said before anything is connected."""
    delivery = Delivery(
        **{"spool": "0" * 32, "collector": "c", "stream": "s", "table": "t"} | change
    )
    with pytest.raises(ConfigError) as caught:
        make_sink(Omnisci("d", "h", "u", "p"), delivery, base=tmp_path)
    assert f"streams.s: {said}" in str(caught.value)


def test_a_table_of_a_reserved_name(backend: OmnisciBackend) -> None:
    """The server knows its words: the stream pauses with what it says."""
    with pytest.raises(SinkMisconfigured, match="reserved keyword"):
        backend.sink("position").write([batch([{"id": 1}])])


def test_a_load_that_the_server_refuses(
    backend: OmnisciBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is there, and no row is blamed: the stream pauses, and goes on by itself."""
    sink, one = backend.sink(), batch([{"id": 1}])

    def refuses(self: Session, table: str, stream: bytes) -> None:
        raise TDBException("Exception: Dictionary capacity exceeded")

    monkeypatch.setattr(Session, "load", refuses)
    with pytest.raises(SinkMisconfigured, match="Exception: Dictionary capacity"):
        sink.write([one])
    monkeypatch.undo()
    assert sink.write([one]).rows == 1
    assert ids(backend) == [1]


# -- the whole program ---------------------------------------------------------------------------


def project(backend: OmnisciBackend, folder: Path, **auth: Any) -> Path:
    """Write a project with one collector into OmniSci."""
    here = backend.target
    login = {"username": here.username, "password": here.password, "host": here.host}
    (folder / "AUTH").mkdir()
    file = folder / "AUTH" / "om.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({**login, "port": here.port, **auth}))
    (folder / "config.yaml").write_text(
        f"streams: {{ om: {{ omnisci: {{ db: {here.db}, auth: AUTH/om.json }} }} }}\n"
        "collectors: { c: { every: 1h, python: 'm:f', to: { om: {} } } }\n"
    )
    (folder / "collectors").mkdir()
    (folder / "collectors" / "m.py").write_text("def f():\n    return [{'id': 1, 'Value': 'x'}]\n")
    return folder


def command(folder: Path, *args: str, crash: str = "") -> tuple[int, str]:
    """Run the program; it kills itself where it first passes *crash*."""
    run = subprocess.run(
        [str(Path(sys.executable).with_name("api2db")), *args],
        cwd=folder,
        env={**os.environ, "API2DB_CRASH": crash},
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + run.stderr


def test_a_collector_fills_its_table(backend: OmnisciBackend, tmp_path: Path) -> None:
    """`check --connect` logs in, `preview` shows the DDL, `run` lands the rows."""
    folder = project(backend, tmp_path)
    code, said = command(folder, "check", "--connect")
    assert (code, "stream om for c: ok" in said) == (0, True), said
    code, said = command(folder, "preview", "c")
    assert "value_t TEXT ENCODING DICT(32)" in said, said
    code, said = command(folder, "run", "--once")
    assert code == 0, said
    assert backend.rows("c_stream") == [{"id": 1, "value": "x"}]


@pytest.mark.parametrize("point", ["sink.before_commit", "sink.after_commit", "worker.before_ack"])
def test_a_daemon_that_is_killed(backend: OmnisciBackend, tmp_path: Path, point: str) -> None:
    """Before the load, after it, before its acknowledgement: the next life lands the rows once."""
    folder = project(backend, tmp_path)
    code, said = command(folder, "run", "--once", crash=point)
    assert code < 0, said
    code, said = command(folder, "run", "--once")
    assert code == 0, said
    # The second life has polled again, in which nothing is old: the API has no `since`.
    batches = backend.fetch("select _api2db_batch, count(*) n from c_stream group by 1")
    assert [row["n"] for row in batches] == [1, 1]


def test_a_wrong_password_of_a_project(backend: OmnisciBackend, tmp_path: Path) -> None:
    """`check --connect` says what to look at; the password is not shown."""
    code, said = command(project(backend, tmp_path, password="wr0ng"), "check", "--connect")
    assert code == 1
    assert "Authentication failure; check 'username' and 'password' in AUTH" in said
    assert "wr0ng" not in said


# -- the connection ------------------------------------------------------------------------------


def test_rows_go_over_http(omnisci: HeavydbServer) -> None:
    """The other protocol that the vendor's client speaks."""
    backend = OmnisciBackend(omnisci, "http")
    one = batch([{"id": 1, "s": "ü😀"}])
    for _ in range(2):
        backend.sink().write([one])
    assert backend.rows() == [{"id": 1, "s": "ü😀"}]
    backend.close()


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"password": "wr0ng"}, SinkMisconfigured, "check 'username' and 'password' in AUTH"),
        ({"db": "nowhere"}, SinkMisconfigured, "check 'db'; api2db makes no database"),
        ({"port": 1}, SinkUnavailable, "OmniSci 127.0.0.1:1: ConnectionRefusedError"),
        (
            {"host": "nowhere.invalid"},
            SinkUnavailable,
            "are 'host' and 'port' in AUTH and 'protocol' right?",
        ),
    ],
)
def test_who_cannot_log_in(
    change: dict[str, Any], kind: type[SinkError], said: str, backend: OmnisciBackend
) -> None:
    """The error says what to look at, and shows no password."""
    here = backend.target
    given = {"db": here.db, "host": here.host, "username": here.username}
    given |= {"password": here.password, "port": here.port} | change
    sink = make_sink(
        Omnisci(**given), Delivery("0" * 32, "c", "s", "t"), base=backend.server.folder
    )
    with pytest.raises(kind) as caught:
        sink.open()
    assert said in str(caught.value)
    assert "wr0ng" not in str(caught.value)


def test_a_session_that_the_server_has_ended(backend: OmnisciBackend) -> None:
    """As after an hour without a word: another login, and the rows land."""
    sink: Any = backend.sink()
    sink._session._client.disconnect(sink._session.id)
    one = batch([{"id": 1}])
    with pytest.raises(SinkUnavailable, match="Session not valid"):
        sink.write([one])
    sink.close()
    sink.open()
    sink.write([one])
    assert ids(backend) == [1]


def test_a_login_that_hangs(backend: OmnisciBackend) -> None:
    """`interrupt` ends it at once, and the error says which server did not answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        target = replace(backend.target, port=port)
        sink = make_sink(target, Delivery("0" * 32, "c", "s", "t"), base=backend.server.folder)
        timer = threading.Timer(0.2, sink.interrupt)
        timer.start()
        began = time.monotonic()
        with pytest.raises(SinkUnavailable, match=f"127.0.0.1:{port} did not answer in time"):
            sink.open()
        assert time.monotonic() - began < 5
        timer.join()
        sink.close()


def test_a_server_that_hangs() -> None:
    """`interrupt` ends the call at once, and `close` does not wait for the server."""
    with HeavydbServer() as server:
        backend = OmnisciBackend(server)
        sink = backend.sink()
        sink.write([batch([{"id": 1}])])
        suspend(server.pid)
        timer = threading.Timer(0.2, sink.interrupt)
        timer.start()
        try:
            with pytest.raises((SinkUnavailable, SinkUnknown)):
                sink.write([batch([{"id": 2}])])
            sink.close()
        finally:
            timer.join()
            resume(server.pid)
        backend.close()
