"""The HTTP source against a real server: requests, credentials, redirects, retries."""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest

from api2db.core.backoff import Backoff
from api2db.core.errors import RequestRefused, SourceError, SourceUnavailable
from api2db.ingest.auth import Auth
from api2db.ingest.http import HttpSource
from api2db.ingest.pages import Pages
from api2db.ingest.source import Request
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.fake_clock import FakeClock

SECRET = "s3cret-value"
AUTHS = [
    Auth("bearer", SECRET),
    Auth("basic", SECRET, "jo"),
    Auth("header", SECRET, "X-Key"),
    Auth("query", SECRET, "key"),
]

#: The system's certificates take longer to load than a test lasts.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Steady(Backoff):
    """Backoff without chance."""

    def delay(self, attempt: int) -> float:
        return float(attempt)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Run a scripted server."""
    with ApiServer() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    """A clock on which retries cost no time."""
    return FakeClock()


OPENED: list[HttpSource] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close the sources that a test made."""
    yield
    while OPENED:
        OPENED.pop().close()


def source(url: str, clock: FakeClock, **options: Any) -> HttpSource:
    """Return a source of *url* whose backoff is 1, 2, 3 … seconds."""
    options = {"timeout": 5.0, "stop": threading.Event(), "backoff": Steady(), **options}
    OPENED.append(HttpSource(url, clock=clock, ssl_context=NO_TLS, **options))
    return OPENED[-1]


def fetch(source: HttpSource, request: Request | None = None) -> bytes:
    """Fetch one page."""
    response = source.send(request or source.first(None))
    try:
        return response.read()
    finally:
        response.close()


# -- what is sent --------------------------------------------------------------------------


def test_params_headers_and_since_are_sent(api: ApiServer, clock: FakeClock) -> None:
    """Lists repeat their parameter; a query that the URL has already stays as it is."""
    url = api.on("/rows", Reply([]))
    http = source(
        f"{url}?v=a%20b",
        clock,
        params={"tag": ["x", "y&z"], "n": 1},
        headers={"X-Team": "t", "User-Agent": "mine"},
        since_param="since",
    )
    assert fetch(http, http.first("2026-01-01T00:00:00+01:00")) == b"[]"
    seen = api.seen[0]
    assert seen.params == (
        ("v", "a b"),
        ("tag", "x"),
        ("tag", "y&z"),
        ("n", "1"),
        ("since", "2026-01-01T00:00:00+01:00"),
    )
    assert seen.headers["x-team"] == "t"
    assert seen.headers["user-agent"] == "mine"
    assert seen.headers["accept"] == "application/json"


def test_a_filter_around_the_watermark(api: ApiServer, clock: FakeClock) -> None:
    """An API with a query language gets the value in its place, and nothing in the first poll."""
    http = source(
        api.on("/rows", Reply([])),
        clock,
        params={"q": "x = 1"},
        since_param="q",
        since_format='updated_on >= "{}"',
    )
    assert fetch(http, http.first(None)) == fetch(http, http.first("2026-01-01T00:00:00+00:00"))
    assert [seen.params for seen in api.seen] == [
        (("q", "x = 1"),),
        (("q", 'updated_on >= "2026-01-01T00:00:00+00:00"'),),
    ]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: auth.kind)
def test_credentials_are_sent_with_every_page(api: ApiServer, clock: FakeClock, auth: Auth) -> None:
    """A followed link has them too, once; the stored request does not."""
    url = api.on("/rows", Reply({"next": f"?p=2&key={SECRET}"}), Reply([]))
    http = source(url, clock, auth=auth, pages=Pages("next", "next"))
    request = http.first(None)
    fetch(http, request)
    after = http.follow(request, f"?p=2&key={SECRET}" if auth.params else "?p=2", since=None)
    assert after is not None
    fetch(http, after)
    for seen in api.seen:
        for name, value in auth.headers.items():
            assert seen.headers[name.lower()] == value
        assert [pair for pair in seen.params if pair[0] == "key"] == list(auth.params)
    assert api.seen[1].params[0] == ("p", "2")
    for stored in (request, after):
        assert SECRET not in json.dumps(stored.to_json())


def test_userinfo_becomes_basic_auth(api: ApiServer, clock: FakeClock) -> None:
    """User and password in the URL are sent as a header, and are not in the request."""
    url = api.on("/rows", Reply([])).replace("http://", f"http://jo%40x:{SECRET}%2F@")
    http = source(url, clock)
    fetch(http)
    kind, _, coded = api.seen[0].headers["authorization"].partition(" ")
    assert (kind, base64.b64decode(coded).decode()) == ("Basic", f"jo@x:{SECRET}/")
    assert SECRET not in json.dumps(http.first(None).to_json())


def test_links_are_sent_byte_for_byte(api: ApiServer, clock: FakeClock) -> None:
    """A link may be signed: its query is not decoded and coded anew."""
    api.on("/rows", Reply([]))
    signed = "/rows?sig=a%2Fb+c%20d&flag&x=%7e"
    for auth in (None, Auth("query", "k", "key")):
        http = source(f"{api.url}/rows", clock, pages=Pages("next", "next"), auth=auth)
        fetch(http, http.follow(http.first(None), signed, since=None))
    assert [seen.target for seen in api.seen] == [signed, f"{signed}&key=k"]


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: auth.kind)
@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401),
        Reply(status=500),
        Reply(reset=True),
        Reply([1], length=99, cut=2),
        Reply([1, 2, 3] * 100),
        Reply([1], headers={"Content-Encoding": "zz"}),
        Reply(status=302, headers={"Location": "file:///etc/passwd"}),
        Reply(status=302, headers={"Location": "/rows"}),
    ],
    ids=["401", "500", "reset", "cut", "large", "coding", "scheme", "loop"],
)
def test_no_error_and_no_log_line_shows_a_secret(
    api: ApiServer,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
    auth: Auth,
    reply: Reply,
) -> None:
    """Whatever goes wrong: no credential, no query, no userinfo; the path is named."""
    caplog.set_level(logging.DEBUG)
    url = api.on("/rows", reply).replace("http://", f"http://jo:{SECRET}@")
    http = source(f"{url}?sig={SECRET}", clock, auth=auth, retries=1, max_bytes=100)
    with pytest.raises(SourceError) as caught:
        fetch(http)
    assert "/rows" in str(caught.value)
    lines = [str(vars(r)) for r in caplog.records if r.name.startswith("api2db")]
    for text in (str(caught.value), repr(caught.value), *lines):
        assert SECRET not in text
        assert base64.b64encode(f"jo:{SECRET}".encode()).decode() not in text


# -- redirects -----------------------------------------------------------------------------


@pytest.mark.parametrize("auth", AUTHS, ids=lambda auth: auth.kind)
def test_redirects_keep_credentials_on_the_same_host_only(
    api: ApiServer, clock: FakeClock, auth: Auth
) -> None:
    """Another port is another place: no Authorization, no key in header or query."""
    with ApiServer() as other:
        elsewhere = other.on("/there", Reply(["there"]))
        api.on("/moved", Reply(status=308, headers={"Location": "/rows?a=1"}))
        away = f"{elsewhere}?key={SECRET}&a=1"
        api.on("/rows", Reply(status=302, headers={"Location": away}))
        http = source(f"{api.url}/moved", clock, auth=auth)
        assert json.loads(fetch(http)) == ["there"]
        first, second = api.seen
        for name, value in auth.headers.items():
            assert first.headers[name.lower()] == second.headers[name.lower()] == value
        assert first.params == auth.params
        gone = other.seen[0]
        assert gone.params == (("a", "1"),) or not auth.params
        for name in ("authorization", "x-key"):
            assert name not in gone.headers


@pytest.mark.parametrize(
    "to",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "javascript:alert(1)",
        "http://[::1",
        "https://",
        "http://127.0.0.1:99999/",
    ],
)
def test_redirects_to_no_web_address_are_refused(api: ApiServer, clock: FakeClock, to: str) -> None:
    """Nothing but http and https is followed; the hint names the option."""
    url = api.on("/rows", Reply(status=301, headers={"Location": to}))
    with pytest.raises(RequestRefused, match="'get'"):
        fetch(source(url, clock))
    assert clock.waits == []


def test_a_circle_of_redirects_ends(api: ApiServer, clock: FakeClock) -> None:
    """Six answers, then an error that is not tried again."""
    api.on("/a", Reply(status=302, headers={"Location": "/b"}))
    api.on("/b", Reply(status=302, headers={"Location": "/a"}))
    with pytest.raises(RequestRefused, match="more than 5 redirects"):
        fetch(source(f"{api.url}/a", clock))
    assert len(api.seen) == 6


# -- answers that are no page --------------------------------------------------------------


def test_no_content_is_an_empty_body(api: ApiServer, clock: FakeClock) -> None:
    """204 gives no bytes, and the connection is used on."""
    url = api.on("/rows", Reply(status=204), Reply([1]))
    http = source(url, clock)
    assert fetch(http) == b""
    assert fetch(http) == b"[1]"
    assert len({seen.peer for seen in api.seen}) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 304])
def test_refusals_are_not_tried_again(api: ApiServer, clock: FakeClock, status: int) -> None:
    """One request; the error holds the status, and a hint where credentials are wrong."""
    url = api.on("/rows", Reply(status=status))
    with pytest.raises(RequestRefused, match=f"/rows: {status}") as caught:
        fetch(source(url, clock))
    assert caught.value.status == status
    assert ("'auth'" in str(caught.value)) == (status in (401, 403))
    assert len(api.seen) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_failures_are_tried_again(api: ApiServer, clock: FakeClock, status: int) -> None:
    """Two failures cost the backoff's first two waits; then the page is here."""
    url = api.on("/rows", Reply(status=status), Reply(status=status), Reply([1]))
    assert fetch(source(url, clock)) == b"[1]"
    assert clock.waits == [1.0, 2.0]


def test_retries_end(api: ApiServer, clock: FakeClock) -> None:
    """`retries` tries after the first, then the last error."""
    url = api.on("/rows", Reply(status=503))
    with pytest.raises(SourceUnavailable, match="503"):
        fetch(source(url, clock, retries=2))
    assert clock.waits == [1.0, 2.0]
    assert len(api.seen) == 3


def test_head_and_body_share_the_tries(api: ApiServer, clock: FakeClock) -> None:
    """A body that breaks each time does not start the count anew."""
    url = api.on("/rows", Reply([1], length=99, cut=2))
    with pytest.raises(SourceUnavailable):
        fetch(source(url, clock, retries=3))
    assert len(api.seen) == 4
    assert clock.waits == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("0", 0.0), ("60", 60.0), (" 2 ", 2.0)])
def test_retry_after_in_seconds_is_obeyed(
    api: ApiServer, clock: FakeClock, header: str, wait: float
) -> None:
    """The API's wait replaces the backoff, to the second."""
    url = api.on("/rows", Reply(status=429, headers={"Retry-After": header}), Reply([1]))
    assert fetch(source(url, clock)) == b"[1]"
    assert clock.waits == [wait]


@pytest.mark.parametrize(("ahead", "wait"), [(30, 30.0), (-30, 0.0)])
def test_retry_after_may_be_a_date(
    api: ApiServer, clock: FakeClock, ahead: int, wait: float
) -> None:
    """A date counts from now; one that has passed means at once."""
    date = format_datetime(datetime.fromtimestamp(clock.now() + ahead, UTC), usegmt=True)
    url = api.on("/rows", Reply(status=503, headers={"Retry-After": date}), Reply([1]))
    assert fetch(source(url, clock)) == b"[1]"
    assert clock.waits == [wait]


@pytest.mark.parametrize(
    "header", ["soon", "", "-5", "nan", "inf", "-inf", "1e400", "9 9", "Mon", "1 Jan 0000"]
)
def test_an_absurd_retry_after_is_ignored(api: ApiServer, clock: FakeClock, header: str) -> None:
    """What is no number of seconds and no date leaves the backoff as it is."""
    url = api.on("/rows", Reply(status=429, headers={"Retry-After": header}), Reply([1]))
    assert fetch(source(url, clock)) == b"[1]"
    assert clock.waits == [1.0]


@pytest.mark.parametrize(
    ("header", "seconds"), [("61", 61.0), ("3600", 3600.0), ("999999999999", 86400.0)]
)
def test_a_long_retry_after_is_for_the_scheduler(
    api: ApiServer, clock: FakeClock, header: str, seconds: float
) -> None:
    """Beyond a minute the poll ends, and the error says for how long: a day at most."""
    url = api.on("/rows", Reply(status=429, headers={"Retry-After": header}))
    with pytest.raises(SourceUnavailable, match=f"wants a wait of {seconds:.0f} s") as caught:
        fetch(source(url, clock))
    assert caught.value.retry_after == seconds
    assert clock.waits == []


def test_the_stop_event_ends_the_tries(api: ApiServer, clock: FakeClock) -> None:
    """Once it is set, a failure is the last."""
    stop = threading.Event()
    stop.set()
    url = api.on("/rows", Reply(status=503))
    with pytest.raises(SourceUnavailable, match="503"):
        fetch(source(url, clock, stop=stop))
    assert len(api.seen) == 1


def test_retries_are_logged(
    api: ApiServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Each wait is one line with its reason."""
    caplog.set_level(logging.INFO, "api2db")
    url = api.on("/rows", Reply(status=503), Reply([1]))
    fetch(source(url, clock))
    (line,) = [record for record in caplog.records if record.message == "request_retried"]
    assert "503" in vars(line)["error"]
    assert vars(line)["delay"] == 1.0
