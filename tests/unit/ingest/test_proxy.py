"""Proxies that the environment names: who gets which credential."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from api2db.core.errors import RequestRefused, SourceError, SourceUnavailable
from api2db.ingest.auth import Auth
from api2db.ingest.http import HttpSource
from api2db.ingest.proxy import Proxies
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.fake_clock import FakeClock
from tests.fixtures.proxy_server import ProxyServer

PASSWORD = "p@ss:wörd/1"
QUOTED = "p%40ss%3Aw%C3%B6rd%2F1"
BASIC = "Basic " + base64.b64encode(f"jo:{PASSWORD}".encode()).decode()
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


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


def fetch(url: str, **options: Any) -> bytes:
    """Fetch the first page of *url*, in one try."""
    options = {"ssl_context": NO_TLS, **options}
    source = HttpSource(
        url, clock=FakeClock(), stop=threading.Event(), retries=0, timeout=5.0, **options
    )
    try:
        return bytes(source.send(source.first(None)).read())
    finally:
        source.close()


def test_user_and_password_go_to_the_proxy_alone(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Percent-decoded, as Proxy-Authorization; the API sees nothing of it."""
    url = api.on("/rows", Reply([1]))
    with ProxyServer(BASIC) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://jo:{QUOTED}@127.0.0.1:{proxy.port}")
        assert fetch(url, auth=Auth("bearer", "t")) == b"[1]"
        assert proxy.heads[0].startswith(f"GET {url} HTTP/1.1")
    assert api.seen[0].headers["authorization"] == "Bearer t"


def test_a_tunnel_is_asked_for_with_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https: CONNECT carries the proxy's credentials, and nothing for the API."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(tmp_path / "cert.pem")
    with ApiServer(server) as api, ProxyServer(BASIC) as proxy:
        url = api.on("/rows", Reply([1]))
        monkeypatch.setenv("HTTPS_PROXY", f"jo:{QUOTED}@127.0.0.1:{proxy.port}")
        assert fetch(url, auth=Auth("bearer", "t0k3n"), ssl_context=client) == b"[1]"
        assert proxy.heads[0].startswith(f"CONNECT 127.0.0.1:{api.port} ")
        assert "t0k3n" not in proxy.heads[0]
        assert "proxy-authorization" not in api.seen[0].headers
        monkeypatch.setenv("HTTPS_PROXY", f"jo:{QUOTED}x@127.0.0.1:{proxy.port}")
        with pytest.raises(SourceUnavailable, match=r"refuses: 407.*user and password right"):
            fetch(url, ssl_context=client)


def test_a_proxy_that_wants_a_password_says_so(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """407 without TLS is an answer like any other; the hint shows how to write the variable."""
    with ProxyServer(BASIC) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        with pytest.raises(RequestRefused, match="407.*HTTP_PROXY=http://user:password@"):
            fetch(api.on("/rows", Reply([1])))
    assert api.seen == []


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("127.0.0.1", True),
        ("localhost,127.0.0.1:{port}", True),
        ("*", True),
        ("127.0.0.1:1", False),
        ("example.com", False),
    ],
)
def test_no_proxy_is_obeyed(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, no_proxy: str, direct: bool
) -> None:
    """By host, host and port, suffix or star."""
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy.format(port=api.port))
        fetch(api.on("/rows", Reply([1])))
        assert len(proxy.heads) == (0 if direct else 1)


def test_each_host_has_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A redirect, or a token server, may lie inside or outside of what the proxy is for."""
    monkeypatch.setenv("HTTPS_PROXY", "http://jo:pw@proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", ".inside.test,::1")
    find = Proxies().find
    found = find(httpx2.URL("https://api.test/x"))
    assert found is not None
    assert (found.url, found.user, found.password) == ("http://proxy.test:3128", b"jo", b"pw")
    assert "pw" not in repr(found)
    assert find(httpx2.URL("http://api.test/x")) is None
    assert find(httpx2.URL("https://a.inside.test/x")) is None
    assert find(httpx2.URL("https://[::1]/x")) is None


@pytest.mark.parametrize(
    "proxy",
    [
        "socks5://jo:s3cret@127.0.0.1:1080",
        "http://jo:s3cret@[::1",
        "http://jo:s3cret@host:port",
        "http://jo:s3cret@",
        "http://jo:s3cret@127.0.0.1:1",
        "http://jo:s3cret@nowhere.invalid:1",
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(
    api: ApiServer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """No request goes around it; the error says that it is about the proxy."""
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(SourceError, match="proxy") as caught:
        fetch(api.on("/rows", Reply([1])))
    assert "s3cret" not in str(caught.value)
    assert caught.value.hint
    assert api.seen == []
