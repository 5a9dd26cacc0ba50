"""The things that a kill loop drives: an API process, lives of the daemon; see `targets`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fixtures.server import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fault.targets import Target

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).with_name("api2db")

CONFIG = """\
status: {{ bind: "127.0.0.1:{status_port}" }}
streams:
{streams}
defaults: {{ every: 200ms, auth: {{ bearer: "${{API_TOKEN}}" }}, grace: 20s{more} }}
collectors:
"""
EVENTS = """\
  events:
    get: {api}/events
    pages: {{ cursor: meta.next, param: cursor }}
    rows: data
    since: {{ field: updated_at, param: since }}
    to: {{ {to} }}
"""
STATE = """\
  state:
    get: {api}/state
    pages: {{ next: next }}
    rows: items
    since: {{ field: updated, param: since }}
    to: {{ {to} }}
"""
BOARD = """\
  board:
    get: {api}/board
    pages: {{ cursor: meta.next, param: cursor }}
    rows: data
    to: {{ {to} }}
"""


#: Each resource of the API: its collector, and what a target is told about it.
RESOURCES = {"events": (EVENTS, ""), "state": (STATE, " upsert: id "), "board": (BOARD, "")}


def config(targets: Sequence[Target], api: str, more: str = "") -> str:
    """
    Return a config.yaml in which every target gets the resources that it takes.

    Args:
        more: More defaults, such as ``attempts: 2``.
    """
    streams = "\n".join(f"  {target.name}: {target.stream()}" for target in targets)
    text = CONFIG.format(status_port=free_port(), streams=streams, more=more and f", {more}")
    for table, (collector, options) in RESOURCES.items():
        takers = [f"{t.name}: {{{options}}}" for t in targets if table in t.tables]
        if takers:
            text += collector.format(api=api, to=", ".join(takers))
            declared = [t.columns[table] for t in targets if table in t.columns]
            text += f"    columns: {{ {declared[0]} }}\n" if declared else ""
    return text


def crash_points(package: Path = ROOT / "api2db") -> list[str]:
    """Return the names that the code passes to ``crash_point``, sorted."""
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    return sorted(set(re.findall(r"crash_point\(\s*\"([^\"]+)\"", text)))


class Api:
    """The paged API in a process of its own, steered over HTTP."""

    def __init__(self, seed: int, rate: float, pad: int = 0) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fault.paged_api"),
                *(f"--seed={seed}", f"--rate={rate}", f"--pad={pad}"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def control(self, **order: bool) -> None:
        """Switch production or faults, or refuse the cursors given out so far."""
        request = urllib.request.Request(
            f"{self.url}/_control", json.dumps(order).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def stats(self) -> dict[str, Any]:
        """Return the counts of what was served and made."""
        return self._get("/_stats")

    def ledger(self) -> dict[str, Any]:
        """Return all that the API holds."""
        return self._get("/_ledger")

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=60) as response:
            value: dict[str, Any] = json.load(response)
            return value

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


class Daemon:
    """One life after another of ``api2db run`` in one project folder."""

    def __init__(
        self, folder: Path, env: dict[str, str], command: Sequence[str | Path] = (COMMAND,)
    ) -> None:
        self.folder = folder
        self._command = command
        self._env = {**os.environ, **env}
        self._env.pop("API2DB_CRASH", None)
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder / "daemon.log"

    def start(self, label: str, crash: str | None = None) -> None:
        """Begin a life; *crash* is ``point:n`` or None."""
        env = {**self._env, "API2DB_CRASH": crash} if crash else self._env
        with self.log.open("ab") as log:
            log.write(f"\n=== {label}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [*self._command, "run", "-c", "config.yaml"],
                cwd=self.folder,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )

    def once(self, timeout: float) -> int:
        """Run ``api2db run --once`` and return its exit code."""
        with self.log.open("ab") as log:
            log.write(b"\n=== once\n")
            log.flush()
            return subprocess.run(
                [*self._command, "run", "--once", "-c", "config.yaml"],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode

    def ended(self) -> int | None:
        """Return the exit code, None while the daemon lives; -9 after SIGKILL."""
        assert self._process is not None
        return self._process.poll()

    def kill(self) -> int:
        """Kill with SIGKILL and return the exit code."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        return self._process.wait()

    def terminate(self, timeout: float) -> int | None:
        """Send SIGTERM; return the exit code, None (after a kill) if it took too long."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def close(self) -> None:
        """Leave no process behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()


@dataclass(frozen=True)
class Progress:
    """What can be seen from outside of how far things have got."""

    pages: int
    spool: tuple[tuple[str, int, int], ...]
    landed: tuple[dict[str, int], ...]

    def since(self, before: Progress) -> bool:
        """Whether anything at all moved after *before*."""
        return (
            self.pages > before.pages or self.spool != before.spool or self.landed != before.landed
        )


def progress(api: Api, folder: Path, targets: Sequence[Target]) -> Progress:
    """Return how far everything has got."""
    files = []
    for path in sorted((folder / "STORE" / "spool").rglob("*")):
        with suppress(FileNotFoundError):
            stat = path.stat()
            files.append((str(path), stat.st_size, stat.st_mtime_ns))
    landed = tuple(target.landed() for target in targets)
    return Progress(api.stats()["pages"], tuple(files), landed)


def wait_until(condition: Any, timeout: float, step: float = 0.05) -> bool:
    """Poll *condition* of another process; return whether it came true in *timeout* seconds."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while time.monotonic() < deadline:
        if condition():
            return True
        pause.wait(step)
    return bool(condition())
