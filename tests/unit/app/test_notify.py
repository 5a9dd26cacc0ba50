"""What a service manager hears; it is played by a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from api2db.app import notify, poller
from api2db.app.config import load
from api2db.app.daemon import Daemon
from api2db.app.schedule import Interval
from api2db.core import pulse
from api2db.stream import worker

CONFIG = """\
streams:
  lite: { url: "sqlite:///x.db" }
collectors:
  orders: { every: 30s, get: "http://127.0.0.1:1/orders", retries: 0, to: { lite: {} } }
status: { bind: "127.0.0.1:0" }
"""


class Manager:
    """
    A service manager's end of NOTIFY_SOCKET.

    Attributes:
        env: What the manager puts into the environment.
    """

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1))
        self.env = {"NOTIFY_SOCKET": address}

    def hear(self, timeout: float = 20.0) -> str:
        """Return the next message, "" if none comes."""
        self._socket.settimeout(timeout)
        with suppress(TimeoutError):
            return self._socket.recv(4096).decode()
        return ""

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Manager]:
    """Listen at a path or at a name in the abstract namespace."""
    name = f"@api2db-test-{os.getpid()}-{tmp_path.name}"
    found = Manager(name if request.param == "abstract" else str(tmp_path / "notify"))
    yield found
    found.close()


def test_a_message(manager: Manager) -> None:
    """A message arrives as it is; without a manager, or with a deaf one, nothing happens."""
    notify.notify("READY=1", manager.env)
    assert manager.hear() == "READY=1"
    notify.notify("READY=1", {})
    notify.notify("READY=1", {"NOTIFY_SOCKET": "/nowhere/at/all"})
    assert manager.hear(0.01) == ""


@pytest.mark.parametrize(
    ("env", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "4000000"}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
    ],
)
def test_interval(env: dict[str, str], interval: float | None) -> None:
    """The watchdog is fed twice in its time, if it is meant for this process."""
    assert notify.watchdog_interval(env) == interval


def run(folder: Path, manager: Manager, config: str = CONFIG) -> subprocess.Popen[bytes]:
    """Start the daemon under *manager*."""
    (folder / "config.yaml").write_text(config)
    command = [sys.executable, "-m", "api2db", "run"]
    with (folder / "log").open("wb") as log:
        env = {**os.environ, **manager.env, "WATCHDOG_USEC": "200000"}
        return subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)


def alive(folder: Path) -> int:
    """Return what ``status --alive`` says, as a container's health check asks it."""
    command = [sys.executable, "-m", "api2db", "status", "--alive"]
    return subprocess.run(command, cwd=folder, timeout=30, check=False).returncode


def test_a_life(tmp_path: Path, manager: Manager) -> None:
    """READY comes first, then signs of life; STOPPING, with time to drain, at SIGTERM."""
    daemon = run(tmp_path, manager)
    try:
        assert manager.hear() == "READY=1"
        assert [manager.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
        assert alive(tmp_path) == 0
        daemon.send_signal(signal.SIGTERM)
        said = ""
        while (said := manager.hear()) == "WATCHDOG=1":
            pass
        assert said.split("\n") == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=35000000"]
        assert daemon.wait(20) == 0
        assert manager.hear(0.01) == ""
        assert alive(tmp_path) == 1
    finally:
        daemon.kill()
        daemon.wait()


def test_no_start(tmp_path: Path, manager: Manager) -> None:
    """A daemon of which one line cannot start is never ready."""
    broken = tmp_path / "STORE" / "spool"
    broken.parent.mkdir()
    broken.write_text("a file where the folder of the logs should be")
    daemon = run(tmp_path, manager)
    assert daemon.wait(20) != 0
    assert manager.hear(0.01) == ""


def test_a_hung_scheduler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When one poller hangs the watchdog is fed no more; when it goes on, it is again."""
    for module, name in ((pulse, "SLACK"), (poller, "LOOK"), (worker, "IDLE_WAIT")):
        monkeypatch.setattr(module, name, 0.3)
    hang, release = threading.Event(), threading.Event()
    real = Interval.after

    def after(self: Interval, due: float) -> float:
        if hang.is_set():
            release.wait(20)
        return real(self, due)

    monkeypatch.setattr(Interval, "after", after)
    (tmp_path / "config.yaml").write_text(CONFIG.replace("30s,", "50ms, timeout: 200ms,"))
    manager = Manager(str(tmp_path / "notify"))
    env = {**manager.env, "WATCHDOG_USEC": "100000"}
    daemon, stop = Daemon(load(tmp_path / "config.yaml", {})), threading.Event()
    watching = threading.Thread(target=notify.watch, args=(daemon.hung, stop, env))
    try:
        daemon.start()
        watching.start()
        assert manager.hear() == "WATCHDOG=1"
        hang.set()
        while manager.hear(0.5):
            pass
        assert daemon.hung() == ["poller orders"]
        (told,) = (record for record in caplog.records if record.message == "threads_hang")
        assert told.__dict__["threads"] == ["poller orders"]
        hang.clear()
        release.set()
        assert manager.hear() == "WATCHDOG=1"
    finally:
        release.set()
        stop.set()
        watching.join()
        daemon.stop(5.0)
        daemon.close()
        manager.close()
