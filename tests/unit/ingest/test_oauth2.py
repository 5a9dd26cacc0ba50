"""OAuth 2 against a real token server."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api2db.core.errors import RequestRefused, SourceUnavailable
from api2db.ingest.auth import OAuth2
from api2db.ingest.http import HttpSource
from api2db.ingest.source import Request
from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.fake_clock import FakeClock

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Server:
    """
    A token server that numbers its tokens, and an API that takes the newest one alone.

    Attributes:
        asked: Every request for a token.
        lasts: ``expires_in``; None leaves it out.
        in_body: Read the client's secret in the form only.
        rotates: Give a new refresh token each time, and take the newest one alone.
    """

    def __init__(self, tokens: ApiServer, api: ApiServer) -> None:
        self.asked: list[Seen] = []
        self.lasts: object = 3600
        self.in_body = False
        self.rotates = False
        self.refresh = "r0"
        self.valid = ""
        self.token_url = tokens.on("/token", self.give)
        self.url = api.on("/rows", self.rows)
        self.api = api

    def give(self, seen: Seen) -> Reply:
        """Answer a request for a token."""
        self.asked.append(seen)
        basic = "Basic " + base64.b64encode(b"me%2F1:s%3Acret").decode()
        known = seen.headers.get("authorization") == basic
        if self.in_body:
            known = (seen.form.get("client_id"), seen.form.get("client_secret")) == (
                "me/1",
                "s:cret",
            )
        if not known:
            return Reply({"error": "invalid_client"}, 401)
        if (
            seen.form["grant_type"] == "refresh_token"
            and seen.form["refresh_token"] != self.refresh
        ):
            return Reply({"error": "invalid_grant"}, 400)
        self.valid = f"t{len(self.asked)}"
        answer = {"access_token": self.valid, "token_type": "bearer"}
        if self.lasts is not None:
            answer["expires_in"] = self.lasts  # type: ignore[assignment]
        if self.rotates:
            self.refresh = answer["refresh_token"] = f"r{len(self.asked)}"
        return Reply(answer)

    def rows(self, seen: Seen) -> Reply:
        """Answer a request for rows."""
        fits = seen.headers.get("authorization") == f"Bearer {self.valid}"
        return Reply([1]) if fits else Reply(status=401)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run both servers."""
    with ApiServer() as tokens, ApiServer() as api:
        yield Server(tokens, api)


class Fetch:
    """Fetches pages with one source."""

    def __init__(self, server: Server, timeout: float = 5.0, **settings: Any) -> None:
        settings = {"client_id": "me/1", "client_secret": "s:cret", **settings}
        self.clock = FakeClock()
        self.source = HttpSource(
            server.url,
            clock=self.clock,
            stop=threading.Event(),
            auth=OAuth2(server.token_url, **settings),
            headers={"X-Key": "for-the-api"},
            retries=1,
            timeout=timeout,
            ssl_context=NO_TLS,
        )

    def __call__(self) -> bytes:
        return bytes(self.source.send(Request(str(self.source.first(None).url))).read())


@pytest.fixture
def fetch(server: Server) -> Iterator[Fetch]:
    """Fetch with client credentials."""
    fetch = Fetch(server, scope="read all")
    yield fetch
    fetch.source.close()


def test_a_token_is_fetched_once_and_kept(server: Server, fetch: Fetch) -> None:
    """Client credentials by HTTP Basic, form-encoded first; no header of the API goes along."""
    assert [fetch() for _ in range(3)] == [b"[1]"] * 3
    (asked,) = server.asked
    assert asked.form == {"grant_type": "client_credentials", "scope": "read all"}
    assert "x-key" not in asked.headers
    assert {seen.headers["x-key"] for seen in server.api.seen} == {"for-the-api"}


@pytest.mark.parametrize(
    ("lasts", "kept", "renewed"), [(3600, 3539, 3541), (100, 89, 91), ("600", 539, 541)]
)
def test_a_token_is_renewed_before_it_expires(
    server: Server, fetch: Fetch, lasts: object, kept: float, renewed: float
) -> None:
    """A minute before, or a tenth of its life if that is less."""
    server.lasts = lasts
    fetch()
    fetch.clock.advance(kept)
    fetch()
    assert len(server.asked) == 1
    fetch.clock.advance(renewed - kept)
    fetch()
    assert len(server.asked) == 2
    assert [seen.headers["authorization"] for seen in server.api.seen] == [
        "Bearer t1",
        "Bearer t1",
        "Bearer t2",
    ]


@pytest.mark.parametrize("lasts", [None, "soon", -1, 0, float("nan")])
def test_a_token_without_an_end_is_kept_until_a_401(
    server: Server, fetch: Fetch, lasts: object
) -> None:
    """Then a new one is fetched, and the request repeated: the poll does not notice."""
    server.lasts = lasts
    fetch()
    fetch.clock.advance(10**6)
    fetch()
    assert len(server.asked) == 1
    server.valid = "revoked"
    assert fetch() == b"[1]"
    assert len(server.asked) == 2
    assert fetch.clock.waits == []


def test_a_second_401_is_an_error(server: Server, fetch: Fetch) -> None:
    """A token that is refused when it is new: once per request, no circle."""
    server.api.on("/rows", Reply(status=401))
    with pytest.raises(RequestRefused, match="/rows: 401.*'auth'") as caught:
        fetch()
    assert caught.value.status == 401
    assert len(server.asked) == len(server.api.seen) == 2


def test_a_server_that_reads_the_form_gets_the_secret_there(server: Server, fetch: Fetch) -> None:
    """Basic first, as the standard says; what worked is done from then on."""
    server.in_body = True
    server.lasts = 10
    fetch()
    fetch.clock.advance(100)
    fetch()
    ways = ["authorization" in asked.headers for asked in server.asked]
    assert ways == [True, False, False]


def test_a_refresh_token_is_used_and_replaced(server: Server) -> None:
    """A server that gives a new one with each token is asked with the newest."""
    server.rotates = True
    server.lasts = 10
    fetch = Fetch(server, refresh_token="r0")
    for _ in range(3):
        assert fetch() == b"[1]"
        fetch.clock.advance(100)
    assert [asked.form["refresh_token"] for asked in server.asked] == ["r0", "r1", "r2"]
    assert {asked.form["grant_type"] for asked in server.asked} == {"refresh_token"}
    fetch.source.close()


def test_a_public_client_names_itself_in_the_form(server: Server) -> None:
    """Without a secret there is nothing to prove: RFC 6749 section 3.2.1."""
    fetch = Fetch(server, client_secret="", refresh_token="r0")
    with pytest.raises(RequestRefused):
        fetch()
    (asked,) = server.asked
    assert "authorization" not in asked.headers
    assert asked.form["client_id"] == "me/1"
    fetch.source.close()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply({"error": "invalid_scope"}, 400), "refuses: 400 invalid_scope"),
        (Reply(status=302, headers={"Location": "/rows"}), "refuses: 302"),
        (Reply(b"<html>"), "no usable access_token"),
        (Reply([]), "no usable access_token"),
        (Reply({"access_token": ""}), "no usable access_token"),
        (Reply({"access_token": 7}), "no usable access_token"),
        (Reply({"access_token": "a b\n"}), "no usable access_token"),
        (Reply({"access_token": "a", "token_type": "mac"}), "no bearer tokens"),
    ],
)
def test_a_refusal_is_one_of_the_credential(server: Server, reply: Reply, said: str) -> None:
    """As 401, which leaves a poll that is under way where it is; the hint names the keys."""
    with ApiServer() as other:
        server.token_url = other.on("/token", reply)
        fetch = Fetch(server)
        with pytest.raises(RequestRefused, match=f"{said}.*client_secret.*'file'") as caught:
            fetch()
        assert caught.value.status == 401
        fetch.source.close()


def test_a_token_server_that_is_down_is_tried_again(server: Server) -> None:
    """Like the API itself, with the backoff; Retry-After is obeyed."""
    with ApiServer() as other:
        again = Reply(status=503, headers={"Retry-After": "7"})
        server.token_url = other.on("/token", again, Reply({"access_token": "t"}))
        server.valid = "t"
        fetch = Fetch(server)
        assert fetch() == b"[1]"
        assert fetch.clock.waits == [7.0]
        fetch.source.close()


def test_a_token_server_that_nobody_can_reach(server: Server) -> None:
    """It is `token_url` that is to be looked at, not the URL of the API."""
    server.token_url = "http://127.0.0.1:1/token"
    fetch = Fetch(server)
    with pytest.raises(SourceUnavailable, match="check host and port in 'token_url'"):
        fetch()
    fetch.source.close()


def test_a_token_server_that_hangs_ends_at_the_timeout(server: Server) -> None:
    """It has as much time as the request itself; the error names it."""
    with ApiServer() as other:
        server.token_url = other.on("/token", Reply(hang=True))
        fetch = Fetch(server, timeout=0.2)
        with pytest.raises(SourceUnavailable, match=r"/token: no complete answer within 0\.2 s"):
            fetch()
        assert server.api.seen == []
        fetch.source.close()
