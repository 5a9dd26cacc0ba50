"""Hosts with several addresses, and names that cannot be resolved."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from api2db.core.errors import SourceUnavailable
from api2db.ingest.http import HttpSource
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.fake_clock import FakeClock

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """
    Return a port that no connection can be made to, on 127.0.0.2 to 127.0.0.9.

    The name ``many.test`` has all these addresses. Their backlogs are full, so that the system
    drops what comes.
    """
    with ExitStack() as stack:
        port = 0
        for i in range(2, 10):
            server = stack.enter_context(socket.create_server((f"127.0.0.{i}", port), backlog=0))
            port = server.getsockname()[1]
            for _ in range(4):
                peer = stack.enter_context(socket.socket())
                peer.setblocking(False)
                with suppress(BlockingIOError):
                    peer.connect((f"127.0.0.{i}", port))
        yield port


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let ``many.test`` have *addresses*."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "many.test":
            return real(host, port, *args, **options)
        return [info for ip in addresses for info in real(ip, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def fetch(url: str, timeout: float) -> bytes:
    """Fetch *url*, in one try."""
    source = HttpSource(
        url,
        clock=FakeClock(),
        stop=threading.Event(),
        retries=0,
        timeout=timeout,
        ssl_context=NO_TLS,
    )
    try:
        return bytes(source.send(source.first(None)).read())
    finally:
        source.close()


def test_all_addresses_share_one_deadline(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight addresses that never answer cost `timeout` seconds, not eight times as many."""
    resolve(monkeypatch, *(f"127.0.0.{i}" for i in range(2, 10)))
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"no connection within 0\.8 s; check host and"):
        fetch(f"http://many.test:{silent}/", 0.8)
    assert 0.7 < time.monotonic() - began < 1.6


def test_an_address_that_never_answers_leaves_time_for_the_next(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of three is up: the page comes within the timeout."""
    with ApiServer(port=silent) as api:
        api.on("/rows", Reply([1]))
        resolve(monkeypatch, "127.0.0.2", "127.0.0.3", "127.0.0.1")
        assert fetch(f"http://many.test:{silent}/rows", 3.0) == b"[1]"


def test_an_address_that_refuses_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IPv6 address where only IPv4 is served, as with localhost."""
    with ApiServer() as api:
        api.on("/rows", Reply([1]))
        resolve(monkeypatch, "::1", "127.0.0.9", "127.0.0.1")
        assert fetch(f"http://many.test:{api.port}/rows", 5.0) == b"[1]"


def test_a_resolver_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-up of a name has no timeout of its own: it, too, ends at the deadline."""
    free = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        free.wait(30.0)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    began = time.monotonic()
    try:
        with pytest.raises(SourceUnavailable, match=r"many\.test/: no connection within 0\.3 s"):
            fetch("http://many.test/", 0.3)
    finally:
        free.set()
    assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".test", "a..test"])
def test_a_name_without_address_is_explained(host: str) -> None:
    """Whether the resolver or its coding of the name refuses: which name, and what to do."""
    with pytest.raises(SourceUnavailable, match="cannot be resolved: .*; check host and port"):
        fetch(f"http://{host}/rows", 5.0)
