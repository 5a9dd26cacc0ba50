"""The judge and the saboteurs of the kill loop can be trusted themselves."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import socket
import struct
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.fault.oracle import (
    EVENT_COLUMNS,
    STATE_COLUMNS,
    disorder,
    gone_back,
    judge,
    not_one_edition,
)
from tests.fault.outages import Holder
from tests.fault.paged_api import TOKEN, Board, Events, Server, States, serve
from tests.fault.points import Points
from tests.fault.proxy import Frontend, MysqlFrontend, Proxy
from tests.fault.world import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENT = {
    "id": 1,
    "updated_at": "2026-01-01T00:00:00.000Z",
    "kind": "plain",
    "amount": 1,
    "quantity": 2**53 + 1,
    "paid": True,
    "details": {"b": 1, "a": [2]},
}


def test_equal_rows_in_the_form_of_any_target_are_clean() -> None:
    """Text times, JSON text, 0/1 and floats are the API's values in other clothes."""
    stored = {
        **EVENT,
        "updated_at": "2026-01-01 00:00:00.000000+00:00",
        "amount": 1.0,
        "paid": 1,
        "details": '{"a":[2],"b":1}',
    }
    assert judge("t", [EVENT], [stored], EVENT_COLUMNS).clean


@pytest.mark.parametrize(
    ("found", "lost", "doubled", "wrong", "alien"),
    [
        ([], 1, 0, 0, 0),
        ([EVENT, EVENT], 0, 1, 0, 0),
        ([{**EVENT, "amount": 2}], 0, 0, 1, 0),
        ([{**EVENT, "quantity": float(2**53 + 1)}], 0, 0, 1, 0),
        ([EVENT, {**EVENT, "id": 2}], 0, 0, 0, 1),
    ],
)
def test_each_fault_is_counted_as_what_it_is(
    found: list[dict[str, Any]], lost: int, doubled: int, wrong: int, alien: int
) -> None:
    """Lost, doubled, wrong (a rounded integer too) and alien rows are told apart."""
    verdict = judge("t", [EVENT], found, EVENT_COLUMNS)
    assert (verdict.lost, verdict.doubled, verdict.wrong, verdict.alien) == (
        lost,
        doubled,
        wrong,
        alien,
    )
    assert not verdict.clean


def test_a_twin_of_the_api_is_expected_twice() -> None:
    """Two equal rows of the API are two rows in the target, not one."""
    assert judge("t", [EVENT, EVENT], [EVENT, EVENT], EVENT_COLUMNS).clean
    assert judge("t", [EVENT, EVENT], [EVENT], EVENT_COLUMNS).lost == 1


def test_an_old_version_is_wrong() -> None:
    """An upserted row that is not the newest version is wrong."""
    new = {"id": 1, "version": 2, "updated": 5, "label": "x", "score": 0.5, "open": True}
    assert judge("t", [new], [{**new, "version": 1}], STATE_COLUMNS).wrong == 1


def test_what_is_older_than_before_is_seen() -> None:
    """A key with an older version, or none, has gone back; a new key has not."""
    assert not gone_back({1: 2}, {1: 2, 2: 1})
    assert not gone_back({1: 2}, {1: 3})
    assert len(gone_back({1: 2, 2: 2, 3: 2}, {1: 1, 3: 2})) == 2


def test_a_file_of_two_editions_is_seen() -> None:
    """One whole edition, as new as the last: a mix, a part and an older one are faults."""
    whole, mixed = Board.rows(8), [*Board.rows(8)[:-1], Board.rows(9)[0]]
    assert not not_one_edition(7, whole, len(whole))
    assert not_one_edition(7, mixed, len(whole))
    assert not_one_edition(7, whole[1:], len(whole))
    assert not_one_edition(9, whole, len(whole))


def test_a_batch_that_overtook_another_is_seen() -> None:
    """Ids that do not grow along a file; a twin of the API is in order."""
    assert not disorder([1, 2, 2, 3])
    assert len(disorder([1, 3, 2, 4])) == 1


def test_a_torn_tail_comes_before_its_cut() -> None:
    """A point that needs a crash of another kind follows one, at once, or is not armed."""
    points = Points(["recover.before_cut"], random.Random(1), 12, 3)
    assert points.next() == "spool.mid_append:1"
    assert points.next() == "recover.before_cut:1"
    assert points.next() == "spool.mid_append:1"
    points.miss("spool.mid_append:1")
    assert points.next() == "spool.mid_append:1"


def test_another_process_holds_a_folder(tmp_path: Path) -> None:
    """An outage of a file: its folder's lock is taken, and given back at the end."""
    holder = Holder("flock", tmp_path)
    with _folder(tmp_path) as fd:
        holder.begin()
        assert wait_until(lambda: not _free(fd), 30)
        holder.end()
        assert wait_until(lambda: _free(fd), 30)


@contextlib.contextmanager
def _folder(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def _free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


@pytest.fixture
def api() -> Iterator[Server]:
    """Serve the paged API without faults and without production."""
    server = serve(seed=3, rate=0)
    server.RequestHandlerClass.api.control({"faults": False})  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _get(server: Server, path: str) -> Any:
    url = path if path.startswith("http") else f"http://127.0.0.1:{server.server_address[1]}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def test_following_the_pages_gives_every_event_once(api: Server) -> None:
    """Cursor pages cover the list without gaps, and ``since`` includes its own instant."""
    held: Events = api.RequestHandlerClass.api.events  # type: ignore[attr-defined]
    for _ in range(95):
        held.add()
    got: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = _get(api, f"/events?cursor={cursor}" if cursor else "/events")
        got += page["data"]
        cursor = page["meta"]["next"]
    assert got == held.rows
    since = held.times[-1]
    assert _get(api, f"/events?since={since}")["data"] == [
        row for row in held.rows if row["updated_at"] >= since
    ]
    assert held.times == sorted(held.times)
    assert len(set(held.times)) < len(held.times)


def test_a_refused_cursor_is_410(api: Server) -> None:
    """After ``refuse`` no cursor or next-URL that was given out before is good."""
    held: States = api.RequestHandlerClass.api.states  # type: ignore[attr-defined]
    for _ in range(200):
        held.revise()
    first = _get(api, "/state")
    _get(api, first["next"])
    api.RequestHandlerClass.api.control({"refuse": True})  # type: ignore[attr-defined]
    with pytest.raises(urllib.error.HTTPError) as refused:
        _get(api, first["next"])
    refused.value.close()
    assert refused.value.code == 410


def test_a_row_revised_while_pages_are_read_is_seen_in_its_newest_version(api: Server) -> None:
    """The last sight of each key is its newest version, whatever happens between pages."""
    held: States = api.RequestHandlerClass.api.states  # type: ignore[attr-defined]
    for _ in range(300):
        held.revise()
    seen: dict[int, dict[str, Any]] = {}
    url: str | None = "/state"
    left = 100
    while url is not None:
        page = _get(api, url)
        seen.update({row["id"]: row for row in page["items"]})
        url = page["next"]
        if left and url is not None:
            left -= 10
            for _ in range(10):
                held.revise()
    assert seen == held.rows


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


START = struct.pack("!II", 8, 80877103) + struct.pack("!II", 12, 196608) + b"a\x00b\x00"


@pytest.mark.parametrize("size", [1, 3, 7, 4096])
def test_a_commit_is_found_however_the_bytes_are_cut(size: int) -> None:
    """Query and Parse COMMITs are seen; a COPY row that says COMMIT is not one."""
    stream = (
        START
        + _message(b"Q", b"BEGIN\x00")
        + _message(b"d", b"COMMIT\x00" * 50)
        + _message(b"Q", b"COMMIT\x00")
        + _message(b"P", b"\x00commit\x00\x00\x00")
        + _message(b"S", b"")
    )
    frontend = Frontend()
    pieces = [
        piece
        for start in range(0, len(stream), size)
        for piece in frontend.feed(stream[start : start + size])
    ]
    assert b"".join(part for part, _ in pieces) == stream
    assert sum(commit for _, commit in pieces) == 2


def _packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


@pytest.mark.parametrize("size", [1, 3, 7, 4096])
def test_a_commit_to_mysql_is_found_however_the_bytes_are_cut(size: int) -> None:
    """Queries that are COMMIT are seen; a row of a file that says so is not one."""
    stream = (
        _packet(1, b"user" * 20)
        + _packet(0, b"\x03begin")
        + _packet(0, b"\x03load data local infile 'rows' into table `t`")
        + _packet(2, b"\x03commit")
        + _packet(3, _packet(0, b"\x03commit") * 50)
        + _packet(4, b"")
        + _packet(0, b"\x03commit")
        + _packet(0, b"\x03COMMIT")
        + _packet(0, b"\x03insert into t values ('commit')")
    )
    frontend = MysqlFrontend()
    pieces = [
        piece
        for start in range(0, len(stream), size)
        for piece in frontend.feed(stream[start : start + size])
    ]
    assert b"".join(part for part, _ in pieces) == stream
    assert sum(commit for _, commit in pieces) == 2


def test_the_proxy_throws_the_answer_away_and_cuts() -> None:
    """At a cut after the answer, the server has committed and the client sees a reset."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1], seed=1)
        proxy._until_cut = 1
        proxy._rng.choices = lambda *_: ["answered"]  # type: ignore[method-assign]
        client = socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
        client.sendall(START + _message(b"Q", b"COMMIT\x00"))
        server, _ = listener.accept()
        server.settimeout(5)
        received = b""
        while not received.endswith(b"COMMIT\x00"):
            received += server.recv(4096)
        server.sendall(_message(b"C", b"COMMIT\x00"))
        with pytest.raises(ConnectionResetError):
            client.recv(10)
        assert proxy.cuts["answered"] == 1
        proxy.close()
        server.close()
        client.close()
