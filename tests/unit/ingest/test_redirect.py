"""What goes along when an API sends its client elsewhere: real servers, two of them."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from api2db.core.errors import RequestRefused, SourceError
from api2db.ingest.auth import Auth
from api2db.ingest.http import HttpSource
from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.fake_clock import FakeClock

SECRET = "s3cret-value"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
HEADERS = {
    "Authorization": f"Token {SECRET}",
    "Cookie": f"session={SECRET}",
    "X-Api-Key": SECRET,
    "X-Custom": SECRET,
    "Host": f"{SECRET}.example",
    "Referer": f"https://a.example/?k={SECRET}",
    "accept-language": "de",
    "User-Agent": "mine/1",
}
PARAMS = {"api_key": SECRET, "ACCESS-TOKEN": SECRET, "sort_key": "price", "page": 2}


@pytest.fixture
def servers() -> Iterator[tuple[ApiServer, ApiServer]]:
    """Run the API and another server, which differ in their ports."""
    with ApiServer() as api, ApiServer() as other:
        yield api, other


def fetch(url: str, **options: Any) -> bytes:
    """Fetch the first page of *url*, in one try."""
    options = {"clock": FakeClock(), "stop": threading.Event(), "retries": 0, **options}
    source = HttpSource(url, timeout=5.0, ssl_context=NO_TLS, **options)
    try:
        return bytes(source.send(source.first(None)).read())
    finally:
        source.close()


def to(url: str) -> Reply:
    """Return a redirect that sets a cookie, too."""
    headers = {"Location": url, "Set-Cookie": f"sticky={SECRET}; Path=/"}
    return Reply(status=307, headers=headers)


def test_another_host_gets_harmless_headers_only(servers: tuple[ApiServer, ApiServer]) -> None:
    """No header of the user's, no cookie of the API's; what to accept, and who asks, may go."""
    api, other = servers
    url = api.on("/rows", to(other.on("/there", Reply([1]))))
    assert fetch(url, headers=HEADERS, auth=Auth("basic", SECRET, "jo")) == b"[1]"
    (seen,) = other.seen
    assert SECRET not in str(seen)
    harmless = {"accept", "accept-encoding", "accept-language", "user-agent"}
    assert set(seen.headers) - {"host", "connection"} == harmless
    assert seen.headers["user-agent"] == "mine/1"
    assert api.seen[0].headers["x-custom"] == SECRET


def test_another_host_gets_no_key_from_the_query(servers: tuple[ApiServer, ApiServer]) -> None:
    """An API that moves repeats its query: what is a secret by name or by `auth` goes."""
    api, other = servers
    there = other.on("/there", Reply([1]))
    theirs = "X-Amz-Signature=theirs&token=theirs"

    def moved(seen: Seen) -> Reply:
        return to(f"{there}?{seen.target.partition('?')[2]}&{theirs}")

    url = api.on("/rows", moved) + f"?secret={SECRET}&v=1"
    fetch(url, params=PARAMS, auth=Auth("query", "k-e-y", "k"))
    assert other.seen[0].params == (
        ("v", "1"),
        ("sort_key", "price"),
        ("page", "2"),
        ("X-Amz-Signature", "theirs"),
        ("token", "theirs"),
    )
    assert dict(api.seen[0].params)["k"] == "k-e-y"


def test_the_way_back_has_the_credentials_again(servers: tuple[ApiServer, ApiServer]) -> None:
    """Home is where `get` points to, whatever lies between."""
    api, other = servers
    home = api.on("/home", Reply([1]))
    url = api.on("/rows", to(other.on("/there", Reply(status=302, headers={"Location": home}))))
    fetch(url, headers={"X-Api-Key": SECRET})
    assert [seen.headers.get("x-api-key") for seen in (*api.seen, *other.seen)] == [
        SECRET,
        SECRET,
        None,
    ]
    assert api.seen[1].headers["cookie"] == f"sticky={SECRET}"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_elsewhere_says_what_to_write(
    servers: tuple[ApiServer, ApiServer], status: int
) -> None:
    """As with http:// in the config of an API that is https:// now: the hint is the new URL."""
    api, other = servers
    url = api.on("/rows", to(other.on("/there", Reply(status=status))))
    with pytest.raises(RequestRefused) as caught:
        fetch(f"{url}?key={SECRET}", auth=Auth("bearer", SECRET))
    text = str(caught.value)
    assert f"/rows: {status}" in text
    assert f"redirects to {other.url}/there, where no credentials are sent" in text
    assert f"write {other.url} in 'get'" in text
    assert SECRET not in text


def test_userinfo_of_a_redirect_is_not_used(servers: tuple[ApiServer, ApiServer]) -> None:
    """An API cannot make the client log in somewhere, itself included."""
    api, other = servers
    for server in servers:
        there = server.on("/there", Reply([1])).replace("//", "//jo:pw@")
        fetch(api.on("/rows", to(there)), auth=Auth("bearer", SECRET))
    assert api.seen[1].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in other.seen[0].headers


def test_headers_are_merged_whatever_their_case(servers: tuple[ApiServer, ApiServer]) -> None:
    """A header is sent once: the user's in place of the default, `auth` in place of the user's."""
    api, _ = servers
    headers = {"user-agent": "mine", "ACCEPT": "text/csv", "authorization": "old"}
    fetch(api.on("/rows", Reply([1])), headers=headers, auth=Auth("bearer", "new"))
    sent = [api.seen[0].headers[name] for name in ("user-agent", "accept", "authorization")]
    assert sent == ["mine", "text/csv", "Bearer new"]


def test_a_circle_across_hosts_ends(servers: tuple[ApiServer, ApiServer]) -> None:
    """Two places that point to each other: an error with a hint, after six requests."""
    api, other = servers
    url = api.on("/a", to(f"{other.url}/b"))
    other.on("/b", to(url))
    with pytest.raises(SourceError, match="more than 5 redirects.*'get'"):
        fetch(url)
    assert len(api.seen) + len(other.seen) == 6
