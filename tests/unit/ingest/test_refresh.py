"""Refresh tokens that a server replaces, across restarts and between processes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from api2db.core.errors import RequestRefused, SourceUnavailable
from api2db.ingest.auth import OAuth2
from api2db.ingest.http import HttpSource
from api2db.ingest.source import Request
from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.fake_clock import FakeClock


class Server:
    """
    Takes the newest refresh token alone; a token that was used before ends all of them.

    Attributes:
        used: Every refresh token that was sent.
        given: The token that it gives next; None for another one each time.
    """

    def __init__(self, api: ApiServer) -> None:
        self.used: list[str] = []
        self.given: object = None
        self.newest = "r0"
        self.token_url = api.on("/token", self.give)
        self.url = api.on("/rows", Reply([1]))

    def give(self, seen: Seen) -> Reply:
        """Answer a request for a token."""
        self.used.append(seen.form["refresh_token"])
        if self.used[-1] != self.newest:
            self.newest = ""
            return Reply({"error": "invalid_grant"}, 400)
        given = self.given or f"r{len(self.used)}"
        self.newest = given if isinstance(given, str) and given != "\ud800" else self.newest
        return Reply({"access_token": "t", "refresh_token": given})


@pytest.fixture
def server() -> Iterator[Server]:
    """Run the server."""
    with ApiServer() as api:
        yield Server(api)


def fetch(server: Server, folder: Path, configured: str = "r0", **settings: Any) -> bytes:
    """Fetch a page as a process does that has just begun."""
    auth = OAuth2(server.token_url, "me", refresh_token=configured)
    source = HttpSource(
        server.url, clock=FakeClock(), stop=threading.Event(), auth=auth, tokens=folder, **settings
    )
    with closing(source):
        return bytes(source.send(Request(server.url)).read())


def test_a_restart_sends_the_newest_token(server: Server, tmp_path: Path) -> None:
    """It is on disk, for its owner alone, before the access token that came with it is used."""
    for _ in range(3):
        assert fetch(server, tmp_path / "STORE" / "tokens") == b"[1]"
    assert server.used == ["r0", "r1", "r2"]
    (file,) = tmp_path.rglob("refresh_token")
    assert file.read_text() == "r3"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert all(token not in str(file) for token in ("r0", "r1", "r2", "r3/"))


def test_another_token_in_the_configuration_begins_anew(server: Server, tmp_path: Path) -> None:
    """Who logs in again writes the new token there: what is on disk came from the old one."""
    fetch(server, tmp_path)
    server.newest = "fresh"
    with pytest.raises(RequestRefused, match=r"invalid_grant.*refresh_token"):
        fetch(server, tmp_path)
    server.newest = "fresh"
    assert fetch(server, tmp_path, "fresh") == b"[1]"
    assert fetch(server, tmp_path, "fresh") == b"[1]"


def test_collectors_with_one_credential_take_turns(server: Server, tmp_path: Path) -> None:
    """A token that is used twice would end the credential: none is sent before it is replaced."""
    threads = [threading.Thread(target=fetch, args=(server, tmp_path)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert server.used == ["r0", "r1", "r2", "r3", "r4", "r5"]


def test_another_process_is_waited_for(server: Server, tmp_path: Path) -> None:
    """`check --connect` beside a daemon: it is asked again, as after any failure."""
    fetch(server, tmp_path)
    (file,) = tmp_path.rglob("refresh_token")
    code = (
        "import sys, pathlib; from api2db.files.lock import folder_lock\n"
        "with folder_lock(pathlib.Path(sys.argv[1])): print(); sys.stdout.flush(); input()"
    )
    command = [sys.executable, "-c", code, str(file.parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"\n"
        with pytest.raises(SourceUnavailable, match="another process renews the refresh token"):
            fetch(server, tmp_path, retries=1)
        other.communicate(b"\n", timeout=10)
    assert fetch(server, tmp_path) == b"[1]"
    assert server.used == ["r0", "r1"]


def test_without_a_place_for_the_new_token_none_is_asked_for(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is there would be used up, and what came for it lost."""
    fetch(server, tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceUnavailable, match=r"cannot be kept in .*: Permission denied"):
        fetch(server, tmp_path, retries=0)
    monkeypatch.undo()
    assert fetch(server, tmp_path) == b"[1]"
    assert server.used == ["r0", "r1"]


@pytest.mark.parametrize("given", [7, ["r9"], "\ud800"])
def test_what_is_no_token_replaces_none(server: Server, tmp_path: Path, given: object) -> None:
    """What cannot be sent, or is no text."""
    server.given = given
    assert [fetch(server, tmp_path) for _ in range(2)] == [b"[1]"] * 2
    assert server.used == ["r0", "r0"]


def test_a_full_disk_does_not_stop_the_poll(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """The token works as long as the process lives, and someone is told."""
    clock = FakeClock()
    auth = OAuth2(server.token_url, "me", refresh_token="r0")
    source = HttpSource(server.url, clock=clock, stop=threading.Event(), auth=auth, tokens=tmp_path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with closing(source):
        fetch_ = source.send(Request(server.url))
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            source._client._tokens._refresh._path.parent.mkdir(parents=True)  # type: ignore[union-attr]
            assert fetch_.read() == b"[1]"
        assert "refresh_token_not_kept" in caplog.text
        assert not list(tmp_path.rglob("refresh_token"))
        source._client._tokens.forget()  # type: ignore[union-attr]
        assert source.send(Request(server.url)).read() == b"[1]"
    assert server.used == ["r0", "r1"]
    assert fetch(server, tmp_path) == b"[1]"
    assert server.used == ["r0", "r1", "r2"]
