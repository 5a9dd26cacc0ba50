"""
Requests straight to an API: written at once, read when their answer is wanted.

Between the two nobody waits: the API works, and its answer gathers in the socket's buffer,
while the page before it is built and stored. HTTP/1.1 is that of `http.client`, the one kept
library that sends and reads apart and copies a body once; names, addresses, TLS and the
deadline are those of every other connection.
"""

from __future__ import annotations

import http.client
import io
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from api2db.ingest.head import Head, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import WriteableBuffer

    from api2db.ingest.connect import Deadline

    #: Scheme, host and port.
    Origin = tuple[str, str, int]

#: Seconds for which a connection without a request is kept.
KEEP = 60.0
#: Most bytes of a body in one piece.
PIECE = 4 * 2**20
#: The other side had closed the connection before it saw the request.
_STALE = (http.client.RemoteDisconnected, ConnectionError)


class Direct:
    """
    The connections of one source, at most one idle one per origin; one thread at a time.

    Args:
        connect: Opens a connection, TLS included, to scheme, host and port.
    """

    def __init__(
        self, connect: Callable[[Origin], httpcore2.NetworkStream], deadline: Deadline
    ) -> None:
        self._connect = connect
        self._deadline = deadline
        self._idle: dict[Origin, _Connection] = {}
        self._closed = False

    def begin(self, request: httpx2.Request) -> Exchange | None:
        """Write *request* to an idle connection; None, without a wait, if there is none."""
        origin = _origin(request.url)
        connection = self._idle.pop(origin, None)
        if connection is None or not connection.is_alive():
            return None
        return Exchange(self, origin, connection, request)

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """
        Write *request* and return the head of its answer.

        Raises:
            httpcore2.NetworkError, httpcore2.TimeoutException, http.client.HTTPException,
            OSError: There is none.
        """
        exchange = self.begin(request)
        return self._fresh(request) if exchange is None else exchange.response()

    def _fresh(self, request: httpx2.Request) -> httpx2.Response:
        if self._closed:
            raise httpcore2.ConnectionNotAvailable("the source is closed")
        origin = _origin(request.url)
        connection = _Connection(self._connect(origin), self._deadline)
        return Exchange(self, origin, connection, request).response(again=False)

    def keep(self, origin: Origin, connection: _Connection) -> None:
        """Take back a connection whose answer was read to its end."""
        connection.idle_since = time.monotonic()
        older = self._idle.pop(origin, None)
        self._idle[origin] = connection
        if older is not None:
            older.close()

    def end(self) -> None:
        """Make no more connections; for any thread."""
        self._closed = True

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.popitem()[1].close()


class Exchange:
    """
    A request that was written, and its answer.

    Attributes:
        request: What was written.
    """

    def __init__(
        self, direct: Direct, origin: Origin, connection: _Connection, request: httpx2.Request
    ) -> None:
        self._direct = direct
        self._origin = origin
        self._connection = connection
        self.request = request
        self._failed: Exception | None = None
        try:
            connection.write(request)
        except (OSError, httpcore2.NetworkError, httpcore2.TimeoutException) as exc:
            self._failed = exc  # the answer may be there all the same; if not, `response` says

    def response(self, *, again: bool = True) -> httpx2.Response:
        """
        Read the head.

        Args:
            again: Send the request once more, by a new connection, if the API had closed
                this one before it saw the request.

        Raises:
            As `Direct.send`.
        """
        try:
            if self._failed is not None:
                raise self._failed
            head = self._connection.head()
            if again and head.status == http.client.REQUEST_TIMEOUT:
                raise http.client.RemoteDisconnected("its idle time was over")
        except (*_STALE, httpcore2.WriteError) as exc:
            self._connection.close()
            if not again:
                raise httpcore2.RemoteProtocolError(
                    "the server closed the connection without an answer"
                ) from exc
            return self._direct._fresh(self.request)
        except BaseException:
            self._connection.close()
            raise
        return httpx2.Response(
            head.status,
            headers=[(n.encode("latin-1"), v.encode("latin-1")) for n, v in head.getheaders()],
            stream=_Body(self, head),
            extensions={"reason_phrase": head.reason.encode("latin-1", "replace")},
        )

    def close(self) -> None:
        """Nobody wants the answer."""
        self._connection.close()

    def settle(self, head: http.client.HTTPResponse) -> None:
        """Keep the connection if the answer was read to its end and leaves it open."""
        if head.isclosed() and not head.will_close and not head.length:
            self._direct.keep(self._origin, self._connection)
        else:
            self._connection.close()


class _Body(httpx2.SyncByteStream):
    """The body of an answer, in pieces."""

    def __init__(self, exchange: Exchange, head: http.client.HTTPResponse) -> None:
        self._exchange: Exchange | None = exchange
        self._head = head

    def __iter__(self) -> Iterator[bytes]:
        try:
            while piece := self._head.read(PIECE):
                yield piece
        except http.client.IncompleteRead as exc:
            raise httpcore2.RemoteProtocolError("the body is incomplete") from exc
        if self._head.length:  # http.client says so for chunks only
            missing = f"{self._head.length} bytes are missing"
            raise httpcore2.RemoteProtocolError(f"the body is incomplete: {missing}")

    def close(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.settle(self._head)
            self._head.close()


class _Connection:
    """One connection, as `http.client` wants it."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self.idle_since = 0.0
        self.http = http.client.HTTPConnection("api")  # the name is never looked up
        self.http.auto_open = 0
        self.http.response_class = Head
        self.http.sock = _Wire(stream, deadline)

    def is_alive(self) -> bool:
        """Return whether the other side has neither closed nor spoken; close if it has."""
        late = time.monotonic() - self.idle_since > KEEP
        if late or self._stream.get_extra_info("is_readable"):
            self.close()
            return False
        return True

    def write(self, request: httpx2.Request) -> None:
        """Write head and body."""
        target = request.url.raw_path.decode("ascii")
        self.http.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in request.headers.raw:
            self.http.putheader(name, value)
        self.http.endheaders(request.read() or None)

    def head(self) -> Head:
        """Read the head of the answer."""
        head = self.http.getresponse()
        assert isinstance(head, Head)
        check(head)
        return head

    def close(self) -> None:
        """Close it, whatever it is doing."""
        with suppress(OSError):
            self._stream.close()


class _Wire:
    """What `http.client` takes for a socket; its owner closes the stream."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._stream.write(data, self._deadline.left())

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Raw(self._stream, self._deadline))

    def close(self) -> None:
        pass


class _Raw(io.RawIOBase):
    """Reads of a socket that end at the deadline."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: Deadline) -> None:
        self._socket: Any = stream.get_extra_info("socket")
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self._socket.settimeout(self._deadline.left())
        try:
            return int(self._socket.recv_into(buffer))
        except TimeoutError as exc:
            raise httpcore2.ReadTimeout("the deadline has passed") from exc


def _origin(url: httpx2.URL) -> Origin:
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return url.scheme, url.raw_host.decode("ascii"), port
