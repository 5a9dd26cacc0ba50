"""Whom a source believes: a real authority, made here, and servers that it vouches for, or not."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api2db.core.clock import SystemClock
from api2db.core.errors import SourceUnavailable
from api2db.ingest import transport
from api2db.ingest.http import HttpSource
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.proxy_server import ProxyServer

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")


def openssl(folder: Path, command: str) -> None:
    """Run ``openssl`` in *folder*."""
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an authority and the certificates that it gave."""
    folder = tmp_path_factory.mktemp("authority")
    ca = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=Authority -keyout ca.key -out ca.pem"
    openssl(folder, ca)
    for name, host, days in (("good", "IP:127.0.0.1", 2), ("wrong", "DNS:api.acme.com", 2)):
        _give(folder, name, host, days)
    _give(folder, "expired", "IP:127.0.0.1", -1)
    return folder


def _give(folder: Path, name: str, host: str, days: int) -> None:
    request = f"req -newkey rsa:2048 -nodes -subj /CN=x -keyout {name}.key -out {name}.csr"
    openssl(folder, request)
    (folder / "names").write_text(f"subjectAltName={host}\n")
    sign = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
    openssl(folder, f"{sign} -days {days} -extfile names -out {name}.pem")


@pytest.fixture
def trusted(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trust the authority as a person does: by ``SSL_CERT_FILE``."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    transport._default_context.cache_clear()
    yield
    transport._default_context.cache_clear()


def serve(authority: Path, name: str) -> ApiServer:
    """Return a server that shows the certificate *name*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / f"{name}.pem", authority / f"{name}.key")
    return ApiServer(context)


def fetch(url: str) -> bytes:
    """Fetch one page."""
    clock = SystemClock()
    source = HttpSource(url, clock=clock, stop=threading.Event(), retries=0, timeout=5)
    with closing(source):
        return bytes(source.send(source.first(None)).read())


@pytest.mark.usefixtures("trusted")
def test_an_authority_that_is_named_is_trusted(authority: Path) -> None:
    """In place of those of the system."""
    with serve(authority, "good") as server:
        assert fetch(server.on("/rows", Reply([1]))) == b"[1]"


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("tunnel", [False, True])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", r"IP address mismatch.*write a name in 'get' that the certificate holds"),
        ("expired", r"certificate has expired; the API must renew it; or is the clock"),
    ],
)
def test_a_certificate_that_does_not_fit_says_why(
    authority: Path, name: str, said: str, tunnel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a proxy, too; nothing is sent there."""
    with serve(authority, name) as server, ProxyServer() as proxy:
        if tunnel:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("no_proxy", "")
        with pytest.raises(SourceUnavailable, match=f"certificate is not trusted: {said}"):
            fetch(server.on("/rows", Reply([1])))
        assert server.seen == []
        assert len(proxy.heads) == tunnel


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("file", "said"), [("none.pem", "No such file"), ("empty.pem", "it holds no certificates")]
)
def test_certificates_that_are_none_are_named(
    authority: Path, file: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable and the file: the API has nothing to do with it."""
    (authority / "empty.pem").touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / file))
    message = rf"SSL_CERT_FILE=/.*{file}: {said}.*unset it"
    with serve(authority, "good") as server, pytest.raises(SourceUnavailable, match=message):
        fetch(server.on("/rows", Reply([1])))
