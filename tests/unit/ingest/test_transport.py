"""Bodies that are cut, slow, coded or too large, and connections that hang."""

from __future__ import annotations

import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from api2db.core.backoff import Backoff
from api2db.core.clock import SystemClock
from api2db.core.errors import FormError, RequestRefused, SourceError, SourceUnavailable
from api2db.ingest.http import HttpSource
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.fake_clock import FakeClock

ROWS = b"[" + b",".join(b'{"id":%d}' % i for i in range(20_000)) + b"]"
GZIP = {"Content-Encoding": "gzip"}
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Run a scripted server."""
    with ApiServer() as server:
        yield server


OPENED: list[HttpSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the sources that a test made."""
    yield
    while OPENED:
        OPENED.pop().close()


def source(url: str, **options: Any) -> HttpSource:
    """Return a source of *url* that tries once, unless told otherwise."""
    options = {"timeout": 10.0, "retries": 0, "clock": FakeClock(), **options}
    options = {"stop": threading.Event(), "backoff": Backoff(), **options}
    OPENED.append(HttpSource(url, **{"ssl_context": NO_TLS, **options}))
    return OPENED[-1]


def fetch(http: HttpSource) -> bytes:
    """Fetch one page."""
    return http.send(http.first(None)).read()


# -- bodies that come as they should ---------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(ROWS),
        Reply(ROWS, chunked=1000),
        Reply(ROWS, length=-1),
        Reply(gzip.compress(ROWS), headers=GZIP),
        Reply(gzip.compress(ROWS), headers={"Content-Encoding": "x-gzip"}),
        Reply(gzip.compress(ROWS), headers={"Content-Encoding": " GZip "}),
        Reply(gzip.compress(ROWS), headers=GZIP, chunked=7),
        Reply(gzip.compress(ROWS[:9]) + gzip.compress(ROWS[9:]), headers=GZIP),
        Reply(gzip.compress(ROWS) + b"\0" * 16, headers=GZIP),
        Reply(zlib.compress(ROWS), headers={"Content-Encoding": "deflate"}),
        Reply(zlib.compress(ROWS, wbits=-15), headers={"Content-Encoding": "deflate"}),
        Reply(ROWS, headers={"Content-Encoding": "identity"}),
    ],
    ids=[
        *("length", "chunked", "close", "gzip", "x-gzip", "case", "gzip-chunked", "members"),
        *("padding", "zlib", "raw-deflate", "identity"),
    ],
)
def test_a_body_arrives_whole(api: ApiServer, reply: Reply) -> None:
    """Every way in which HTTP/1.1 frames and codes a body gives the same bytes."""
    assert fetch(source(api.on("/rows", reply))) == ROWS


def test_no_bytes_are_a_page_for_204_only(api: ApiServer) -> None:
    """Elsewhere an empty body may be a cut one: an error, never a poll without rows."""
    assert fetch(source(api.on("/rows", Reply(status=204, headers=GZIP)))) == b""
    for reply in (
        Reply(b""),
        Reply(b"", headers=GZIP),
        Reply(b"", length=-1),
        Reply(gzip.compress(b""), headers=GZIP),
    ):
        with pytest.raises(FormError, match="the body is empty"):
            fetch(source(api.on("/rows", reply)))


def test_connections_are_kept(api: ApiServer) -> None:
    """Ten pages, read or given back unread, cost one connection as long as all are read."""
    http = source(api.on("/rows", Reply(ROWS)))
    for _ in range(10):
        fetch(http)
    assert len({seen.peer for seen in api.seen}) == 1


def test_a_connection_that_was_closed_meanwhile_is_replaced(api: ApiServer) -> None:
    """A server that says keep-alive and closes costs no failure."""
    http = source(api.on("/rows", Reply(b"[]", length=-1)))
    assert [fetch(http) for _ in range(3)] == [b"[]"] * 3
    assert len({seen.peer for seen in api.seen}) == 3


# -- bodies that are cut ---------------------------------------------------------------------

CUTS = {
    "length": Reply(ROWS, cut=1000),
    "length-short-by-one": Reply(ROWS, length=len(ROWS) + 1, cut=len(ROWS)),
    "chunked": Reply(ROWS, chunked=1000, cut=5500),
    "chunked-before-the-end": Reply(ROWS, chunked=1000, cut=-5),
    "reset-before-the-head": Reply(reset=True),
    "reset-in-the-body": Reply(ROWS, cut=1000, reset=True),
    "gzip": Reply(gzip.compress(ROWS)[:-9], headers=GZIP),
    "gzip-without-length": Reply(gzip.compress(ROWS)[:-9], length=-1, headers=GZIP),
    "gzip-in-the-second-member": Reply(
        gzip.compress(ROWS[:9]) + gzip.compress(ROWS[9:])[:-9], headers=GZIP
    ),
    "gzip-damaged": Reply(gzip.compress(ROWS)[:-8] + b"\0" * 8, headers=GZIP),
    "no-gzip-at-all": Reply(ROWS, headers=GZIP),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_body_that_breaks_is_fetched_again(api: ApiServer, name: str) -> None:
    """Never half a body: a second try gives the whole, and without one it is an error."""
    url = api.on("/rows", CUTS[name], Reply(ROWS))
    assert fetch(source(url, retries=1)) == ROWS
    url = api.on("/rows", CUTS[name])
    with pytest.raises(SourceUnavailable, match="/rows: "):
        fetch(source(url))


def test_what_is_not_http_is_an_error() -> None:
    """A port that speaks something else gives a SourceUnavailable."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"220 mail.example ESMTP\r\n")
                peer.recv(4096)

        thread = threading.Thread(target=speak, daemon=True)
        thread.start()
        with pytest.raises(SourceUnavailable):
            fetch(source(f"http://127.0.0.1:{server.getsockname()[1]}/rows"))


def test_a_port_where_nobody_listens_is_an_error() -> None:
    """Connection refused gives a SourceUnavailable that names host and port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SourceUnavailable, match=f"127.0.0.1:{port}"):
        fetch(source(f"http://127.0.0.1:{port}/rows"))


def test_a_host_without_address_is_an_error() -> None:
    """A name that does not resolve gives a SourceUnavailable that names it."""
    with pytest.raises(SourceUnavailable, match=r"nowhere\.invalid"):
        fetch(source("http://nowhere.invalid/rows"))


# -- TLS -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the sides of a server with a certificate of its own, and of a client who knows it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(folder / "cert.pem")
    return server, client


def test_a_redirect_from_https_to_http_is_refused(
    api: ApiServer, tls: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """Over TLS a body arrives; what would leave TLS is not followed, and says where it led."""
    server, client = tls
    plain = api.on("/rows", Reply(ROWS))
    with ApiServer(server) as secure:
        url = secure.on("/rows", Reply(ROWS), Reply(status=302, headers={"Location": plain}))
        http = source(url, ssl_context=client)
        assert fetch(http) == ROWS
        with pytest.raises(RequestRefused, match="redirects to http://"):
            fetch(http)
    assert api.seen == []


def test_a_certificate_that_nobody_signed_is_refused(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Nothing is sent to a server that cannot say who it is."""
    with ApiServer(tls[0]) as secure:
        with pytest.raises(SourceUnavailable, match=r"(?i)certificate"):
            fetch(source(secure.on("/rows", Reply(ROWS))))
        assert secure.seen == []


@pytest.mark.parametrize(
    "reply", [Reply(ROWS, hang="body"), Reply(ROWS, drip=0.02)], ids=["body", "drip"]
)
def test_the_deadline_holds_over_tls(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], reply: Reply
) -> None:
    """The layer in between has the same deadline."""
    with ApiServer(tls[0]) as secure:
        url = secure.on("/rows", reply)
        with pytest.raises(SourceUnavailable, match=r"within 0\.5 s"):
            fetch(source(url, ssl_context=tls[1], timeout=0.5))


# -- one deadline ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Reply(ROWS, drip=0.02),
        Reply(ROWS, drip=0.02, chunked=1),
        Reply(ROWS, hang=True),
        Reply(ROWS, hang="body"),
    ],
    ids=["drip", "chunked-drip", "no-head", "no-body"],
)
def test_the_deadline_is_for_the_whole_exchange(api: ApiServer, reply: Reply) -> None:
    """A body that comes byte by byte, or never, is cut after `timeout` seconds in all."""
    url = api.on("/rows", reply)
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"no complete answer within 0\.3 s.*'timeout'"):
        fetch(source(url, timeout=0.3))
    assert 0.25 < time.monotonic() - began < 2.0


def test_a_server_that_accepts_and_is_silent_is_cut() -> None:
    """A full backlog, or a peer that never reads, cannot hold the poll either."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        began = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"within 0\.3 s"):
            fetch(source(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout=0.3))
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize(
    "part", [b"X: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["heads", "1xx"]
)
def test_a_head_without_end_is_cut(part: bytes) -> None:
    """Headers, or interim answers, for ever: an error by the deadline at the latest."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def flood() -> None:
            peer, _ = server.accept()
            with peer, suppress(OSError):
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\n" if b": y" in part else b"")
                while True:
                    peer.sendall(part * 100)

        threading.Thread(target=flood, daemon=True).start()
        with pytest.raises(SourceUnavailable):
            fetch(source(f"http://127.0.0.1:{server.getsockname()[1]}/rows", timeout=0.5))


def test_each_try_has_its_own_deadline(api: ApiServer) -> None:
    """A hanging first try does not shorten the second; a dead connection is not used again."""
    url = api.on("/rows", Reply(hang=True), Reply(ROWS, hang="body"), Reply(ROWS))
    assert fetch(source(url, timeout=0.3, retries=2)) == ROWS


# -- caps ------------------------------------------------------------------------------------


def test_a_body_up_to_the_cap_is_taken(api: ApiServer) -> None:
    """`max_bytes` bytes are not too many, decompressed or not; one more is an error."""
    coded = Reply(gzip.compress(ROWS), headers=GZIP)
    for reply in (Reply(ROWS), coded, Reply(ROWS, chunked=4096)):
        url = api.on("/rows", reply)
        assert fetch(source(url, max_bytes=len(ROWS))) == ROWS
        with pytest.raises(FormError, match="'max_bytes'"):
            fetch(source(url, max_bytes=len(ROWS) - 1))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress"])
def test_a_coding_that_was_not_asked_for_is_refused(api: ApiServer, coding: str) -> None:
    """Bytes that cannot be decoded are never taken for a body."""
    with pytest.raises(SourceError, match="Content-Encoding"):
        fetch(source(api.on("/rows", Reply(ROWS, headers={"Content-Encoding": coding}))))


_BOMB = """
import sys, threading
from api2db.core.clock import SystemClock
from api2db.core.errors import FormError
from api2db.ingest.http import HttpSource

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))

source = HttpSource(sys.argv[1], clock=SystemClock(), stop=threading.Event(), max_bytes=16_000_000)
before = peak()
try:
    source.send(source.first(None)).read()
except FormError:
    print((peak() - before) // 1024)
"""


def test_a_bomb_does_not_fill_the_memory(api: ApiServer) -> None:
    """100 MB of zeros behind 100 KB of gzip: refused at 16 MB, below 64 MB of memory."""
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"\0" * 10**6) for _ in range(100)) + packer.flush()
    url = api.on("/rows", Reply(bomb, headers=GZIP))
    done = subprocess.run(
        [sys.executable, "-c", _BOMB, url], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 64


# -- close -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply", [Reply(hang=True), Reply(ROWS, hang="body")], ids=["head", "body"]
)
def test_close_frees_a_read_that_hangs(api: ApiServer, reply: Reply) -> None:
    """From another thread, at once, whatever the timeout; nothing is tried again."""
    here = threading.Event()

    def answer(_: object) -> Reply:
        here.set()
        return reply

    http = source(api.on("/rows", answer), timeout=60.0, retries=5)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            fetch(http)
        except SourceUnavailable as exc:
            failed.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert here.wait(5.0)
    thread.join(0.1)  # let it get into the read
    http.close()
    thread.join(5.0)
    assert not thread.is_alive()
    assert len(failed) == 1
    assert len(api.seen) == 1


def test_a_closed_source_sends_nothing(api: ApiServer) -> None:
    """`close` is final, and may come twice."""
    http = source(api.on("/rows", Reply(ROWS)))
    http.close()
    http.close()
    with pytest.raises(SourceUnavailable, match="closed"):
        fetch(http)
    assert api.seen == []


def test_the_stop_event_ends_a_wait_under_way(api: ApiServer) -> None:
    """A wait for the next try ends at once when the event is set in another thread."""
    stop = threading.Event()
    url = api.on("/rows", Reply(status=429, headers={"Retry-After": "50"}))
    http = source(url, clock=SystemClock(), stop=stop, retries=5)
    began = time.monotonic()
    timer = threading.Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(SourceUnavailable, match="429"):
        fetch(http)
    assert time.monotonic() - began < 5.0
    assert len(api.seen) == 1
