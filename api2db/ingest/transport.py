"""The HTTP transport: one deadline for a whole exchange, and large reads."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from api2db.core.errors import SourceUnavailable
from api2db.ingest.connect import Deadline, connect
from api2db.ingest.direct import Direct
from api2db.ingest.proxy import Proxies, Proxy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

    from api2db.ingest.direct import Exchange, Origin

#: h11 asks for 64 KiB at a time; four times that is cheapest for pages of a megabyte.
READ_BYTES = 1 << 18


class _Stream(httpcore2.NetworkStream):
    """A socket whose every operation ends at the deadline."""

    def __init__(self, inner: httpcore2.NetworkStream, backend: _Backend) -> None:
        self._inner = inner
        self._backend = backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max(max_bytes, READ_BYTES), self._backend.deadline.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._backend.deadline.left())

    def close(self) -> None:
        self._backend.streams.discard(self)
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._backend.deadline.left()
        return self._backend.track(self._inner.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    def abort(self) -> None:
        """Make a read in another thread end at once."""
        with suppress(OSError, AttributeError):
            self._inner.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _Backend(httpcore2.NetworkBackend):
    """Opens sockets that obey the deadline, and can be aborted."""

    def __init__(self) -> None:
        self.deadline = Deadline()
        self.streams: set[_Stream] = set()
        self._inner = httpcore2.SyncBackend()

    def track(self, inner: httpcore2.NetworkStream) -> _Stream:
        stream = _Stream(inner, self)
        self.streams.add(stream)
        return stream

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        return self.track(connect(self._inner, host, port, self.deadline))


class _Body(httpx2.SyncByteStream):
    """Hands through the pieces of a body; keeps nothing."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


class Transport:
    """
    HTTP/1.1 with kept-alive connections, TLS verified against the system's certificates.

    Each host is asked through the proxy that the environment names for it (`Proxies`), or
    directly. One thread at a time sends; `abort` is for any thread. Raises `httperrors.FOREIGN`.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._backend = _Backend()
        self.deadline = self._backend.deadline
        self._ssl_context = ssl_context
        self._proxies = Proxies()
        self._pools: dict[Proxy, httpcore2.ConnectionPool] = {}
        self._direct = Direct(self._connect, self.deadline)

    def begin(self, request: httpx2.Request) -> Exchange | None:
        """Write *request* if that needs no waiting, to read its answer later; else None."""
        return None if self.proxy(request.url) is not None else self._direct.begin(request)

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """Send *request*, return the head of the response; the body is read later."""
        proxy = self.proxy(request.url)
        if proxy is None:
            return self._direct.send(request)
        response = self._pool(proxy).handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
            )
        )
        return httpx2.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    def proxy(self, url: httpx2.URL) -> Proxy | None:
        """Return the proxy through which *url* is asked; see `Proxies.find`."""
        return self._proxies.find(url)

    def _connect(self, origin: Origin) -> httpcore2.NetworkStream:
        scheme, host, port = origin
        stream = self._backend.connect_tcp(host, port)
        if scheme == "http":
            return stream
        try:
            return stream.start_tls(self._context(), host)
        except BaseException:
            stream.close()
            raise

    def _context(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = _default_context()
        return self._ssl_context

    def _pool(self, proxy: Proxy) -> httpcore2.ConnectionPool:
        if proxy not in self._pools:
            self._pools[proxy] = httpcore2.ConnectionPool(
                ssl_context=self._context(),
                proxy=proxy.to_core(),
                max_connections=4,
                keepalive_expiry=60.0,
                network_backend=self._backend,
            )
        return self._pools[proxy]

    def abort(self) -> None:
        """Break off every exchange under way, and begin no other."""
        self._direct.end()
        for stream in list(self._backend.streams):
            stream.abort()

    def close(self) -> None:
        """Close the connections."""
        self._direct.close()
        for pool in list(self._pools.values()):
            pool.close()


@cache
def _default_context() -> ssl.SSLContext:
    """
    Return the context of every source: loading the certificates takes 40 ms.

    Raises:
        SourceUnavailable: What ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names are none.
    """
    try:
        return httpcore2.default_ssl_context()
    except OSError as exc:
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSL_CERT_DIR"
        why = exc.strerror if exc.errno == errno.ENOENT else "it holds no certificates"
        raise SourceUnavailable(
            f"{name}={os.environ.get(name, '')}: {why or exc}",
            hint="name a file of certificates in PEM, or unset it",
        ) from exc
