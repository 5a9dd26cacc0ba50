"""Requests that are written early: over real sockets, to a server that does as it is told."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from api2db.core.clock import SystemClock
from api2db.core.errors import RequestRefused, SourceUnavailable
from api2db.ingest.http import HttpSource
from api2db.ingest.source import Request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: "


class Server:
    """A listener whose connections the test handles itself."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.create_server((host, 0), family=family)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"
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


def told(source: HttpSource, server: Server, sent: bytes) -> bytes:
    """Return the body that comes when a new connection is answered with *sent*, and closed."""

    def serve() -> None:
        with server.accept() as connection:
            heard(connection)
            connection.sendall(sent)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return bytes(source.send(Request(server.url)).read())
    finally:
        thread.join(10)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
CHUNKS = b"3\r\n[2]\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b'\r\n03 ;a=1;b="x;y"\r\n[2]\r\n000;last\r\nX-Sum: 1\r\nLink: <x>\r\n\r\n',
        CHUNKED + b"Content-Length: 1\r\n\r\n" + CHUNKS,
        CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 200\r\nTransfer-Encoding: \tChunked \t\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 200\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\n[2]",
        b"HTTP/1.0 200 OK\r\n\r\n[2]",
        b"HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\nContent-Length: 3 \r\n\r\n[2]",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 90 + b"Content-Length: 3\r\n\r\n[2]",
    ],
)
def test_every_way_to_say_where_a_body_ends_is_known(
    server: Server, source: HttpSource, sent: bytes
) -> None:
    """Chunks before a length, their extensions and trailers passed over; the end of HTTP/1.0."""
    assert told(source, server, sent) == b"[2]"


@pytest.mark.parametrize("framing", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n"])
def test_no_content_has_no_body_whatever_its_head_says(
    server: Server, source: HttpSource, framing: bytes
) -> None:
    """Nothing is waited for, and the connection is asked again."""
    with first(server, source) as connection:
        waiting = source.send(Request(server.url))
        heard(connection)
        connection.sendall(framing.replace(b"200 OK", b"204 No Content") + b"\r\n")
        assert waiting.read() == b""
        waiting = source.send(Request(server.url + "two"))
        assert heard(connection).startswith(b"GET /two HTTP/1.1\r\n")
        waiting.close()


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"\r\n3\r\n[2]\r\n",
        CHUNKED + b"\r\n3\r\n[2]\r\n0",
        CHUNKED + b"\r\n0x3\r\n[2]\r\n0\r\n\r\n",
        CHUNKED + b"\r\n+3\r\n[2]\r\n0\r\n\r\n",
        CHUNKED + b"\r\n-3\r\n[2]\r\n0\r\n\r\n",
        CHUNKED + b"\r\n0_3\r\n[2]\r\n0\r\n\r\n",
        CHUNKED + b"\r\n" + b"f" * 40 + b"\r\n[2]",
        CHUNKED + b"\r\n3\r\n[2],4\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n[2]",
        HEAD + b"9" * 5000 + b"\r\n\r\n[2]",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"Content-Length: 3\r\n\r\n[2]",
        b"HTTP/3.0 200 OK\r\nContent-Length: 3\r\n\r\n[2]",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x1b]0;title\x07\x1b[2J\x00\r\n",
        b"[2]",
    ],
)
def test_what_does_not_say_where_a_body_ends_is_no_answer(
    server: Server, source: HttpSource, sent: bytes
) -> None:
    """It fails the try, in words of one line without what a terminal would obey."""
    with pytest.raises(SourceUnavailable, match="not HTTP, or is cut off") as caught:
        told(source, server, sent)
    assert str(caught.value).isprintable()


def test_what_a_server_says_cannot_write_to_a_terminal(server: Server, source: HttpSource) -> None:
    """The words of its status are shown, in one line, without escapes."""
    with pytest.raises(RequestRefused) as caught:
        told(source, server, b"HTTP/1.1 404 \x1b[2J\x0bgone\r\nContent-Length: 0\r\n\r\n")
    assert str(caught.value).isprintable()
    assert "404 ?[2J?gone;" in str(caught.value)


def test_an_ipv6_address_is_asked_by_it() -> None:
    """As it is in the URL: in the request, on the wire and in errors."""
    listening = Server("::1")
    source = HttpSource(
        listening.url, clock=SystemClock(), stop=threading.Event(), retries=0, timeout=5
    )
    with listening.socket:
        assert told(source, listening, HEAD + b"3\r\n\r\n[2]") == b"[2]"
        with pytest.raises(RequestRefused, match=rf"http://\[::1\]:{listening.port}/: 404"):
            told(source, listening, b"HTTP/1.1 404 no\r\nContent-Length: 0\r\n\r\n")
    source.close()
