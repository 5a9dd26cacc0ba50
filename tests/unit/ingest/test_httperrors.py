"""Every error that leaves the source is one of ours, says what to do, and shows no secret."""

from __future__ import annotations

import base64
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import h11
import httpcore2
import httpx2
import pytest

from api2db.core.errors import Api2dbError, ConfigError, SourceError
from api2db.ingest.auth import Auth, OAuth2
from api2db.ingest.http import HttpSource
from api2db.ingest.httperrors import FOREIGN, translate
from api2db.ingest.pages import Pages
from api2db.ingest.source import Request
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.fake_clock import FakeClock

CANARY = "c4nary"
#: Forms in which the canary may appear.
TRACES = (CANARY, base64.b64encode(f"jo:{CANARY}".encode()).decode().rstrip("="), "c4n")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ODD = ["\n", "\r\nX-Injected: 1", "é", "\x00", "\x7f", " ", "\t", "\ud800", "日"]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without the variables of this machine."""
    for kind in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{kind}_proxy", raising=False)
        monkeypatch.delenv(f"{kind.upper()}_PROXY", raising=False)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Run a scripted server."""
    with ApiServer() as server:
        yield server


def failure(
    caplog: pytest.LogCaptureFixture, act: Callable[[], object], kind: type[Exception]
) -> str:
    """Return what error and log say about *act*; the test fails if a secret is in it."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(kind) as caught:
        act()
    error = caught.value
    assert isinstance(error, Api2dbError)
    said = [str(error), repr(error), *(str(vars(line)) for line in caplog.records)]
    chain: BaseException | None = error
    while chain is not None:  # a traceback prints what is not suppressed
        said.append(repr(chain))
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    for text in said:
        for trace in TRACES:
            assert trace not in text
    return str(error)


def fetch(url: str, request: Request | None = None, **options: Any) -> bytes:
    """Fetch one page, with one more try."""
    options = {"ssl_context": NO_TLS, "timeout": 0.3, "retries": 1, **options}
    source = HttpSource(url, clock=FakeClock(), stop=threading.Event(), **options)
    try:
        return bytes(source.send(request or source.first(None)).read())
    finally:
        source.close()


# -- what cannot be sent -------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", ["bearer", "header", "headers"])
def test_a_header_that_cannot_be_sent_is_named_without_its_value(
    api: ApiServer, caplog: pytest.LogCaptureFixture, kind: str, odd: str
) -> None:
    """Before anything is sent, whatever is wrong with it: the key, never the value."""
    value = CANARY + odd
    options: dict[str, Any] = {
        "bearer": {"auth": Auth("bearer", value)},
        "header": {"auth": Auth("header", value, "X-Key")},
        "headers": {"headers": {"X-Key": value}},
    }[kind]
    text = failure(caplog, lambda: fetch(api.on("/rows", Reply([1])), **options), ConfigError)
    assert ("headers.X-Key" if kind == "headers" else "auth") in text
    assert api.seen == []


@pytest.mark.parametrize(
    "options",
    [
        {"auth": Auth("basic", CANARY, f"{CANARY}:x")},
        {"auth": Auth("basic", CANARY + "\udcff", "jo")},
        {"auth": Auth("query", CANARY + "\udcff", "key")},
        {"auth": Auth("bearer", "")},
        {"params": {"key": CANARY + "\udcff"}},
        {"headers": {"X-Bad\n": CANARY}},
        {"headers": {"": CANARY}},
        {"headers": {"Content-Length": "5"}},
        {"headers": {"transfer-encoding": "chunked"}},
    ],
)
def test_what_no_request_can_carry_is_refused_at_once(
    api: ApiServer, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    """Bytes that are no text, names that are none, headers that would break the framing."""
    failure(caplog, lambda: fetch(api.on("/rows", Reply([1])), **options), ConfigError)
    assert api.seen == []


@pytest.mark.parametrize(
    "url",
    [
        f"http://jo:{CANARY}@[::1/x",
        f"http://jo:{CANARY}@host:port/x",
        f"http://jo:{CANARY}@host:99999/x",
        f"http://jo:{CANARY}@/x",
        f"file:///{CANARY}",
        f"http://h\n/{CANARY}",
        f"http://xn--a-ecp.ru/{CANARY}\x00",
        f"{CANARY}",
    ],
)
def test_what_is_no_url_is_refused_at_once(caplog: pytest.LogCaptureFixture, url: str) -> None:
    """Bad ports, brackets, names, schemes: a ConfigError about 'get', without its text."""
    assert "'get'" in failure(caplog, lambda: fetch(url), ConfigError)


@pytest.mark.parametrize("value", ["\ud800", CANARY + "\udcff"])
def test_a_checkpoint_that_is_no_request_is_an_error(
    api: ApiServer, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """A cursor or watermark that no URL can hold fails the poll, and is not shown."""
    url = api.on("/rows", Reply([1]))
    for request in (Request(url, (("since", value),)), Request(f"http://h:x/{CANARY}")):
        failure(caplog, lambda r=request: fetch(url, r), SourceError)  # type: ignore[misc]


# -- what goes wrong on the way ------------------------------------------------------------------

REPLIES = {
    "400": Reply(status=400),
    "401": Reply(status=401),
    "404": Reply(status=404),
    "429": Reply(status=429, headers={"Retry-After": "1"}),
    "500": Reply(status=500),
    "101": Reply(status=101),
    "reset": Reply(reset=True),
    "hang": Reply(hang=True),
    "hang-body": Reply([1], hang="body"),
    "cut": Reply([1], length=99, cut=2),
    "chunk-cut": Reply([1] * 99, chunked=5, cut=20),
    "empty": Reply(b""),
    "large": Reply([1, 2, 3] * 100),
    "coding": Reply([1], headers={"Content-Encoding": "zz"}),
    "gzip": Reply([1], headers={"Content-Encoding": "gzip"}),
    "deflate": Reply([1], headers={"Content-Encoding": "deflate"}),
    "length": Reply([1], headers={"Content-Length": "x"}),
    "huge-head": Reply([1], headers={"X-Huge": "x" * 200_000}),
    "scheme": Reply(status=302, headers={"Location": "file:///etc/passwd"}),
    "no-url": Reply(status=302, headers={"Location": "http://[::1"}),
    "bad-port": Reply(status=302, headers={"Location": "http://h:99999/"}),
    "bad-idna": Reply(status=302, headers={"Location": "http://xn--a-ecp.ru/"}),
    "bad-label": Reply(status=302, headers={"Location": f"http://{'a' * 70}.test/"}),
    "nobody": Reply(status=302, headers={"Location": "http://127.0.0.1:1/"}),
    "circle": Reply(status=302, headers={"Location": "/rows"}),
}
AUTHS = [
    Auth("bearer", CANARY),
    Auth("basic", CANARY, "jo"),
    Auth("header", CANARY, "X-Key"),
    Auth("query", CANARY, "key"),
]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: auth.kind)
@pytest.mark.parametrize("name", REPLIES)
def test_no_answer_makes_the_source_show_a_secret(
    api: ApiServer, caplog: pytest.LogCaptureFixture, name: str, auth: Auth
) -> None:
    """Credentials, headers, parameters, query: none is in error or log; the path and a hint are."""
    url = api.on("/rows", REPLIES[name]).replace("//", f"//jo:{CANARY}@")
    options = {
        "auth": auth,
        "headers": {"Cookie": CANARY, "X-Own": CANARY},
        "params": {"sig": CANARY, "q": CANARY},
        "max_bytes": 100,
    }
    text = failure(caplog, lambda: fetch(f"{url}?token={CANARY}", **options), SourceError)
    assert "/rows" in text
    assert "; " in text, "a hint"


def test_an_unknown_peer_is_explained(caplog: pytest.LogCaptureFixture) -> None:
    """TLS where there is none, HTTP where there is none: what to do is said."""
    for scheme, said in (("https", "does the API speak https"), ("http", "the answer is not HTTP")):
        with socket.create_server(("127.0.0.1", 0)) as server:

            def speak(server: socket.socket = server) -> None:
                while True:
                    with suppress(OSError):
                        peer, _ = server.accept()
                        with peer:
                            peer.sendall(b"220 mail.example ESMTP\r\n")
                            peer.recv(4096)
                        continue
                    return

            threading.Thread(target=speak, daemon=True).start()
            url = f"{scheme}://jo:{CANARY}@127.0.0.1:{server.getsockname()[1]}/rows"
            assert said in failure(caplog, lambda u=url: fetch(u, timeout=5.0), SourceError)  # type: ignore[misc]


# -- OAuth 2 ---------------------------------------------------------------------------------------

TOKENS = {
    **{n: r for n, r in REPLIES.items() if n not in ("large", "coding", "gzip", "deflate")},
    "coding": Reply([1], headers={"Content-Encoding": "zz"}),
    "html": Reply(f"<p>{CANARY}</p>".encode()),
    "echo": Reply({"error": f"bad_{CANARY}", "error_description": CANARY}, 400),
    "odd-token": Reply({"access_token": f"{CANARY}\n"}),
    "mac": Reply({"access_token": CANARY, "token_type": "mac"}),
}


@pytest.mark.parametrize("name", TOKENS)
def test_no_answer_of_a_token_server_makes_the_source_show_a_secret(
    api: ApiServer, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Client secret, refresh token, access token: whatever the server says to them."""
    api.on("/rows", Reply([1]))
    server = api.on("/token", TOKENS[name])
    secret = f"{CANARY}%"
    oauth = OAuth2(f"{server}?key={CANARY}", "jo", secret, "a b", refresh_token=secret)
    text = failure(caplog, lambda: fetch(f"{api.url}/rows", auth=oauth), SourceError)
    assert "/token" in text
    assert "; " in text
    assert quote(secret) not in text
    assert not [seen for seen in api.seen if seen.path == "/rows"]


# -- the classes -------------------------------------------------------------------------------


def _name(kind: type[Exception]) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _classes() -> list[type[Exception]]:
    found = [
        value
        for module in (httpcore2, httpx2, h11)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    return sorted({*found, *_below(OSError), *_below(UnicodeError)}, key=lambda c: c.__qualname__)


def _below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ in ("builtins", "socket", "ssl"):
            yield from _below(below)


def _one(kind: type[Exception]) -> Exception:
    """Return an error of *kind* that says a secret."""
    if issubclass(kind, UnicodeEncodeError):
        return kind("idna", CANARY, 0, 1, "odd")
    if issubclass(kind, UnicodeDecodeError):
        return kind("idna", CANARY.encode(), 0, 1, "odd")
    if issubclass(kind, UnicodeTranslateError):
        return kind(CANARY, 0, 1, "odd")
    error = kind.__new__(kind)
    error.args = (f"Illegal header value b'{CANARY}'",)
    return error


@pytest.mark.parametrize("kind", sorted(_classes(), key=_name), ids=_name)
def test_every_foreign_class_is_translated(kind: type[Exception]) -> None:
    """Each exception of the client, its layers, sockets and TLS: one of ours with a hint."""
    assert issubclass(kind, FOREIGN)
    error = translate(_one(kind), "http://a.test/rows", 1.0, None)
    assert error.hint
    assert str(error).startswith("http://a.test/rows: ")
    if issubclass(kind, (h11.LocalProtocolError, httpcore2.LocalProtocolError, UnicodeError)):
        assert CANARY not in str(error)


def test_links_that_cannot_be_read_fail_the_poll(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A damaged Link header may hide the next page: it is no last page."""
    head = {"Link": f"<?p=2&key={CANARY}; rel=next"}
    source = HttpSource(
        api.on("/rows", Reply([1], headers=head)),
        clock=FakeClock(),
        stop=threading.Event(),
        pages=Pages("link"),
        ssl_context=NO_TLS,
    )
    source.send(source.first(None)).read()
    request = source.first(None)
    assert "'pages'" in failure(
        caplog, lambda: source.follow(request, None, since=None), SourceError
    )
    source.close()
