"""The status server, asked over HTTP."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from api2db.app.server import StatusServer
from tests.fixtures.picture import collector, picture, stream, troubled

TOKEN = "a-long-token"
PATHS = ["/", "/metrics", "/readyz", "/api/status"]


class Page:
    """A status server and what it shows; `get` asks it."""

    def __init__(self, token: str | None) -> None:
        self.shown = picture({"orders": collector({"pg": stream()})})
        self.server = StatusServer("127.0.0.1", 0, token=token, picture=lambda: self.shown)
        self.port = int(self.server.url.rpartition(":")[2])
        self.server.start()

    def get(self, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        """Return the answer; its body is in `body`, which http.client does not have."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        answer.body = answer.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return answer


@pytest.fixture
def open_page() -> Iterator[Page]:
    """Run a server on loopback, without a token."""
    page = Page(None)
    yield page
    page.server.stop()


@pytest.fixture
def closed_page() -> Iterator[Page]:
    """Run a server that asks for a token."""
    page = Page(TOKEN)
    yield page
    page.server.stop()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "[::1]:{port}"])
def test_names_of_this_machine(open_page: Page, name: str) -> None:
    """Without a token every path answers to the names of this machine, with or without a port."""
    for path in PATHS:
        assert open_page.get(path, Host=name.format(port=open_page.port)).status == 200


@pytest.mark.parametrize("name", ["evil.example", "localhost.evil.example:80", "", "[::1", "a b"])
def test_rebinding(open_page: Page, name: str) -> None:
    """Any other name is refused: a page elsewhere may have made it lead here."""
    for path in PATHS:
        assert open_page.get(path, Host=name).status in (400, 421)


def basic(password: str) -> str:
    """Return what a browser sends for *password*."""
    return "Basic " + base64.b64encode(f"me:{password}".encode()).decode()


def test_the_right_token(closed_page: Page) -> None:
    """The token opens every path, from a program and from a browser, by any name of the host."""
    for path in PATHS:
        for sent in (f"Bearer {TOKEN}", f"bearer {TOKEN}", basic(TOKEN)):
            assert closed_page.get(path, Authorization=sent, Host="api2db.acme").status == 200


@pytest.mark.parametrize(
    "sent",
    [
        "",
        f"Bearer {TOKEN}x",
        "Bearer ",
        TOKEN,
        f"Digest {TOKEN}",
        basic(""),
        "Basic ???",
        "Bearer é",
    ],
)
def test_a_wrong_token(closed_page: Page, sent: str) -> None:
    """Anything else is refused, and a browser is asked for the token; health needs none."""
    for path in PATHS:
        answer = closed_page.get(path, **({"Authorization": sent} if sent else {}))
        assert answer.status == 401
        assert "orders" not in answer.body  # type: ignore[attr-defined]
        assert (answer.getheader("WWW-Authenticate") or "").startswith("Basic ")
    assert closed_page.get("/healthz").status == 200


def test_headers(open_page: Page) -> None:
    """Every answer, errors too, keeps a browser from storing, sniffing, framing or running it."""
    for path in (*PATHS, "/healthz", "/nowhere"):
        answer = open_page.get(path)
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert answer.getheader("Server") is None
        policy = answer.getheader("Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_the_nonce(open_page: Page) -> None:
    """The page's policy names the nonce of its style and script, another one each time."""
    nonces = set()
    for _ in range(3):
        answer = open_page.get("/")
        policy = answer.getheader("Content-Security-Policy") or ""
        nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
        assert answer.body.count(f'nonce="{nonce}"') == 2  # type: ignore[attr-defined]
        nonces.add(nonce)
    assert len(nonces) == 3


def test_read_only(open_page: Page) -> None:
    """Nothing can be sent to it."""
    for path in (*PATHS, "/healthz"):
        assert open_page.get(path, method="POST").status == 405


def test_readiness(open_page: Page) -> None:
    """503 with each reason, as JSON; 200 when there is none."""
    answer = open_page.get("/readyz")
    assert (answer.status, json.loads(answer.body)) == (  # type: ignore[attr-defined]
        200,
        {"ready": True, "reasons": []},
    )
    open_page.shown = troubled()
    answer = open_page.get("/readyz")
    said: dict[str, Any] = json.loads(answer.body)  # type: ignore[attr-defined]
    assert (answer.status, said["ready"]) == (503, False)
    refused = "PostgreSQL: connection refused"
    assert said["reasons"] == [
        {"collector": None, "stream": None, "reason": "poller scores hangs"},
        {
            "collector": "orders",
            "stream": None,
            "reason": "https://api.acme.com/v1/orders: HTTP 503",
        },
        {
            "collector": "orders",
            "stream": "pg",
            "reason": f"the oldest unsent batch is 5025 s old: {refused}",
        },
    ]
    assert open_page.get("/healthz").status == 200


def test_contents(open_page: Page) -> None:
    """Each path has its kind of content; the status is the snapshot."""
    kinds = {
        "/": "text/html; charset=utf-8",
        "/metrics": "text/plain; version=0.0.4; charset=utf-8",
        "/readyz": "application/json",
        "/api/status": "application/json",
        "/healthz": "text/plain; charset=utf-8",
    }
    for path, kind in kinds.items():
        assert open_page.get(path).getheader("Content-Type") == kind
    said = json.loads(open_page.get("/api/status").body)  # type: ignore[attr-defined]
    assert said == open_page.shown
