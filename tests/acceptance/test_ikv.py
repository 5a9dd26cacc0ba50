"""A store of IKV, behind the vendor's own service class, through the installed command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_spill import api, api2db
from tests.fixtures.ikv import ACCOUNT, PASSKEY, IkvServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["api"]  # the fixture

pytestmark = pytest.mark.backend("ikv")
CONFIG = """\
streams:
  kv:
    ikv: {{ auth: AUTH/ikv.json, primary_key: id, endpoint: "127.0.0.1:{port}" }}
    attempts: 2
collectors:
  c: {{ every: 1h, get: "{api}", to: {{ kv: {{ upsert: id }} }} }}
"""


@pytest.fixture
def server() -> Iterator[IkvServer]:
    with IkvServer() as server:
        yield server


@pytest.fixture
def project(server: IkvServer, tmp_path: Path, api: str) -> Path:
    login(tmp_path, PASSKEY)
    (tmp_path / "config.yaml").write_text(CONFIG.format(port=server.port, api=api))
    return tmp_path


def login(folder: Path, passkey: str) -> None:
    (folder / "AUTH").mkdir(exist_ok=True)
    file = folder / "AUTH" / "ikv.json"
    file.touch(mode=0o600)
    keys = {"account_id": ACCOUNT, "account_passkey": passkey, "store_name": "shop"}
    file.write_text(json.dumps(keys))


def versions(server: IkvServer) -> list[int]:
    """Return every version of the document 1 that was ever written, in order."""
    return [int(v or 0) for _, key, f, v in server.history if key == b"1" and f == "version"]


def newest(server: IkvServer) -> dict[bytes, bytes]:
    return {key: fields["version"] for key, fields in server.stores["shop"].items()}


def test_what_was_spilled_lands_before_what_is_new(project: Path, server: IkvServer) -> None:
    """While the gateway is away polls spill; once it is back no document gets older."""
    assert api2db(project, "run", "--once").returncode == 0
    server.stop()
    for poll in (1, 2):
        done = api2db(project, "run", "--once")
        assert f"c/kv: {poll} batches are spilled: " in done.stderr
    assert len(list((project / "STORE/upload_failed/c/ikv").glob("*.parquet"))) == 2
    server.start()
    done = api2db(project, "run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert newest(server) == {b"1": b"4", b"2": b"4"}
    assert versions(server) == sorted(versions(server))
    assert not list((project / "STORE/upload_failed").rglob("*.parquet"))


@pytest.mark.parametrize("place", ["sink.mid_load", "worker.before_ack"])
def test_a_kill_between_the_load_and_its_acknowledgement(
    project: Path, server: IkvServer, place: str
) -> None:
    """The batch comes again, before the next one: nothing is lost, and the newest version wins."""
    assert api2db(project, "run", "--once", crash=place).returncode == -9
    assert newest(server) == {b"1": b"1", b"2": b"1"}
    done = api2db(project, "run", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert newest(server) == {b"1": b"2", b"2": b"2"}
    assert versions(server) == sorted(versions(server))


def test_check_says_what_to_do(project: Path, server: IkvServer) -> None:
    """A wrong passkey, another key, and a gateway that is away: each with the next step."""
    assert api2db(project, "check", "--connect").returncode == 0
    login(project, "wr0ng-p4ss")
    done = api2db(project, "check", "--connect")
    assert done.returncode == 1
    assert "check account_id, account_passkey and store_name in the file of 'auth'" in done.stderr
    assert "wr0ng-p4ss" not in done.stderr
    login(project, PASSKEY)
    server.keys["shop"] = ("sku", "sku")
    done = api2db(project, "check", "--connect")
    assert "write primary_key: sku, and upsert: sku" in done.stderr
    server.stop()
    done = api2db(project, "check", "--connect")
    assert done.returncode == 1
    assert f"stream kv for c: IKV 127.0.0.1:{server.port}: UNAVAILABLE" in done.stderr
    assert "is 'endpoint' right?" in done.stderr


def test_preview_says_where_rows_go(project: Path, server: IkvServer) -> None:
    """A store has no tables."""
    done = api2db(project, "preview", "c", "--json")
    assert json.loads(done.stdout)["ddl"] == {
        "kv": f"-- rows go to 127.0.0.1:{server.port}, store shop"
    }
