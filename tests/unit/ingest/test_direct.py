"""Requests that are written early: over real sockets, to a server that does as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from api2db.core.clock import SystemClock
from api2db.core.errors import SourceUnavailable
from api2db.ingest.http import HttpSource
from api2db.ingest.source import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "


class Server:
    """A listener whose connections the test handles itself."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self.socket.settimeout(10)

    def accept(self) -> socket.socket:
        """Return the next connection."""
        connection = self.socket.accept()[0]
        connection.settimeout(10)
        return connection


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on a free port."""
    made = Server()
    yield made
    made.socket.close()


@pytest.fixture
def source(server: Server) -> Iterator[HttpSource]:
    """A source that does not try again."""
    made = HttpSource(server.url, clock=SystemClock(), stop=threading.Event(), retries=0, timeout=5)
    yield made
    made.close()


def heard(connection: socket.socket) -> bytes:
    """Return one request, as the server gets it."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        data += connection.recv(65536)
    return data


def answer(connection: socket.socket, body: bytes) -> None:
    """Answer one request."""
    heard(connection)
    connection.sendall(HEAD + b"%d\r\n\r\n" % len(body) + body)


def first(server: Server, source: HttpSource) -> socket.socket:
    """Let one request be answered; return the connection, which is idle then."""
    found: list[socket.socket] = []

    def serve() -> None:
        found.append(server.accept())
        answer(found[0], b"[1]")

    thread = threading.Thread(target=serve)
    thread.start()
    assert source.send(Request(server.url)).read() == b"[1]"
    thread.join(10)
    return found[0]


def test_a_request_is_there_before_its_answer_is_wanted(server: Server, source: HttpSource) -> None:
    """`send` writes to an idle connection and returns; `read` finds the answer waiting."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url + "two"))
        assert heard(connection).startswith(b"GET /two HTTP/1.1\r\n")
        connection.sendall(HEAD + b"3\r\n\r\n[2]")
        assert waiting.read() == b"[2]"


def test_send_waits_for_nothing(server: Server, source: HttpSource) -> None:
    """Where there is no idle connection, even connecting is left to `read`."""
    waiting = source.send(Request(server.url))
    server.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        server.accept()
    waiting.close()


@pytest.mark.parametrize("late", [False, True])
def test_a_connection_that_the_api_closes_costs_no_try(
    server: Server, source: HttpSource, late: bool
) -> None:
    """Closed while idle, or as the request arrives: a new connection is asked at once."""
    connection = first(server, source)
    if not late:
        connection.close()
    waiting = source.send(Request(server.url))
    if late:
        heard(connection)
        connection.close()

    def serve() -> None:
        with server.accept() as fresh:
            answer(fresh, b"[2]")

    thread = threading.Thread(target=serve)
    thread.start()
    assert waiting.read() == b"[2]"
    thread.join(10)


def test_an_answer_that_nobody_wants_is_never_taken_for_another(
    server: Server, source: HttpSource
) -> None:
    """Closing an unread answer closes its connection."""
    with first(server, source) as connection:
        source.send(Request(server.url)).close()
        heard(connection)
        assert connection.recv(10) == b""


@pytest.mark.parametrize("tail", [b"5\r\n\r\n[2]", b"x\r\n\r\n[2]"])
def test_a_body_is_never_taken_for_whole_when_it_is_not(
    server: Server, source: HttpSource, tail: bytes
) -> None:
    """Fewer bytes than announced, or an announcement that is no number, fail the try."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        connection.sendall(HEAD + tail)
        connection.close()
        with pytest.raises(SourceUnavailable, match="not HTTP, or is cut off"):
            waiting.read()


def test_a_closed_source_asks_no_more(server: Server, source: HttpSource) -> None:
    """`close`, from another thread, ends a read that waits; no new connection is made for it."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        closing = threading.Timer(0.05, source.close)
        closing.start()
        with pytest.raises(SourceUnavailable):
            waiting.read()
        closing.join()
        server.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_head_may_hold_any_text(server: Server, source: HttpSource) -> None:
    """Bytes beyond ASCII in a header or in the reason harm nothing."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        head = b"HTTP/1.1 200 \xc3\xa4\r\nX-User: Jos\xc3\xa9 \xff\r\nContent-Length: 3\r\n\r\n"
        connection.sendall(head + b"[2]")
        assert waiting.read() == b"[2]"


def test_interim_answers_are_no_answer(server: Server, source: HttpSource) -> None:
    """100, 102 and 103 come before the answer, and are passed over."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=next\r\n\r\n"
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + HEAD + b"3\r\n\r\n[2]")
        assert waiting.read() == b"[2]"


def test_a_head_that_cannot_be_read_whole_is_refused(server: Server, source: HttpSource) -> None:
    """After a line that is no header others would be lost, such as the link to the next page."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        connection.sendall(HEAD + b"3\r\nno header\r\nLink: </2>; rel=next\r\n\r\n[2]")
        with pytest.raises(SourceUnavailable, match="not HTTP, or is cut off"):
            waiting.read()


def test_an_api_that_was_idle_too_long_costs_no_try(server: Server, source: HttpSource) -> None:
    """A 408 on a connection that was kept is about its idle time, not about the request."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        connection.sendall(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with server.accept() as fresh:
            answer(fresh, b"[2]")

    thread = threading.Thread(target=serve)
    thread.start()
    assert waiting.read() == b"[2]"
    thread.join(10)
