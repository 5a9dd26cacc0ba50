"""
The demo: the whole daemon against a replayed API, and an honest account at the end.

Every number of the last line is counted by reading the targets back:

``collected``   distinct versions (id, updated) that the API handed out whole
``sqlite``      rows in the table ``quakes`` (one per event: upsert)
``parquet``     rows in all shards (one per version: append)
``duplicates``  shard rows beyond one per version, and table rows beyond one per event
``lost``        versions that are in no shard, and events whose newest version that was
                handed out is not in the table
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from replay_server import Replay, serve

HERE = Path(__file__).resolve().parent
COMMAND = Path(sys.executable).with_name("api2db")
DRAIN = 30.0  # seconds that the queue gets to empty itself after the API stopped


@dataclass(frozen=True)
class Account:
    """What came out, counted from the targets."""

    collected: int
    sqlite: int
    parquet: int
    duplicates: int
    lost: int

    @property
    def kept(self) -> bool:
        """Whether every version landed once."""
        return self.duplicates == 0 and self.lost == 0

    def line(self, project: Path) -> str:
        """Return the last line of the demo."""
        return (
            f"collected={self.collected} sqlite={self.sqlite} parquet={self.parquet} "
            f"duplicates={self.duplicates} lost={self.lost} project={project}"
        )


class Targets:
    """The table and the shards, read as anybody would read them."""

    def __init__(self, project: Path) -> None:
        self._db = project / "quakes.db"
        self._shards = project / "shards" / "quakes"
        self._counted: dict[Path, int] = {}

    def table(self) -> list[tuple[str, int]]:
        """Return (id, updated) of every row of the table; none while there is no table."""
        if not self._db.exists():
            return []
        with closing(sqlite3.connect(f"file:{self._db}?mode=ro", uri=True, timeout=10)) as db:
            try:
                return db.execute("select id, updated from quakes").fetchall()
            except sqlite3.OperationalError:
                return []

    def versions(self) -> Counter[tuple[str, int]]:
        """Return how often each (id, updated) is in the shards."""
        found: Counter[tuple[str, int]] = Counter()
        for shard in self._shards.glob("*.parquet"):
            rows = pq.read_table(shard, columns=["id", "updated"], partitioning=None)
            found.update((row["id"], row["updated"]) for row in rows.to_pylist())
        return found

    def shard_rows(self) -> int:
        """Count the rows of all shards from their footers."""
        for shard in self._shards.glob("*.parquet"):
            if shard not in self._counted:
                self._counted[shard] = pq.read_metadata(shard).num_rows
        return sum(self._counted.values())

    def account(self, handed_out: set[tuple[str, int]]) -> Account:
        """Compare both targets with what the API handed out."""
        newest: dict[str, int] = {}
        for name, updated in handed_out:
            newest[name] = max(updated, newest.get(name, 0))
        table, versions = self.table(), self.versions()
        rows = Counter(name for name, _ in table)
        surplus = sum(versions.values()) - len(versions) + sum(rows.values()) - len(rows)
        missing = sum(1 for version in handed_out if version not in versions)
        stale = len(set(newest.items()) - set(table))
        return Account(
            len(handed_out), len(table), sum(versions.values()), surplus, missing + stale
        )


class Session:
    """One demo, from an empty project folder to the account."""

    def __init__(self, project: Path, week_seconds: float) -> None:
        self.project = project
        self.replay = Replay(week_seconds)
        self.targets = Targets(project)
        self._token = secrets.token_urlsafe(12)
        self._server = serve(self.replay, self._token)
        self._port = _port()
        self._log = (project / "daemon.log").open("ab")
        shutil.copy(HERE / "config.yaml", project / "config.yaml")
        self._daemon = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        env = {
            **os.environ,
            "DEMO_API": f"http://127.0.0.1:{self._server.server_address[1]}",
            "DEMO_TOKEN": self._token,
            "DEMO_STATUS_PORT": str(self._port),
        }
        return subprocess.Popen(
            [COMMAND, "run", "-c", "config.yaml"],
            cwd=self.project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is for the demo, which then ends the daemon in order
        )

    def announce(self) -> None:
        """Say what runs, and where to look."""
        print("api2db demo: a recorded week of earthquakes (USGS), replayed over HTTP")
        print(f"  project      {self.project}")
        print(f"  status page  http://127.0.0.1:{self._port}/")
        print(f"  log          {self.project / 'daemon.log'}", flush=True)

    def watch(self, over: threading.Event, seconds: float | None) -> bool:
        """Print progress each second until *over* or time is up; False if the daemon ended."""
        start = time.monotonic()
        while seconds is None or time.monotonic() - start < seconds:
            left = 1.0 if seconds is None else min(1.0, seconds - (time.monotonic() - start))
            if over.wait(max(0.0, left)):
                break
            self._progress(time.monotonic() - start)
            if self._daemon.poll() is not None:
                return False
        return True

    def _progress(self, elapsed: float) -> None:
        faults = ", ".join(f"{name} x{n}" for name, n in self.replay.faults.items())
        print(
            f"{elapsed:5.0f} s  collected {self.replay.collected():6}"
            f"  sqlite {len(self.targets.table()):6}  parquet {self.targets.shard_rows():6}"
            f"  API faults: {faults}",
            flush=True,
        )

    def drain(self) -> None:
        """Stop the API from producing; wait until polls bring nothing and all has landed."""
        self.replay.freeze()
        print("the API stands still; draining the queue", flush=True)
        deadline, pause = time.monotonic() + DRAIN, threading.Event()
        while time.monotonic() < deadline and self._daemon.poll() is None:
            landed = self.targets.shard_rows() >= self.replay.collected()
            if self.replay.polls_since_freeze >= 2 and landed:
                return
            pause.wait(0.1)

    def stop(self) -> int | None:
        """End the daemon with SIGTERM; return its exit code, None if it had to be killed."""
        if self._daemon.poll() is None:
            self._daemon.send_signal(signal.SIGTERM)
        try:
            return self._daemon.wait(40)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.close()

    def close(self) -> None:
        """Leave nothing running."""
        if self._daemon.poll() is None:
            self._daemon.kill()
            self._daemon.wait()
        self._server.shutdown()
        self._server.server_close()
        self._log.close()


def _port() -> int:
    """Return 8282 if it is free, else any free port."""
    for port in (8282, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as listener:
                return int(listener.getsockname()[1])
        except OSError:
            continue
    raise SystemExit("there is no free port on 127.0.0.1")


def _seconds(text: str) -> float | None:
    """Read ``20s``, ``2m``, ``1h`` or ``20``; an empty text means until Ctrl-C."""
    if not text:
        return None
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1])
    return float(text[:-1]) * unit if unit else float(text)


def _project() -> Path:
    """Make a new folder in ``.cache`` of the repository, or in the temporary folder."""
    cache = HERE.parent / ".cache"
    name = time.strftime("demo-%Y%m%d-%H%M%S-")
    try:
        cache.mkdir(exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=name, dir=cache))
    except OSError:
        return Path(tempfile.mkdtemp(prefix=name))


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 when nothing was lost or doubled and the daemon ended in order."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument(
        "--for", dest="span", default=os.environ.get("FOR", ""), help="20s, 2m; else until Ctrl-C"
    )
    parser.add_argument("--week", type=float, default=60.0, help="seconds that a week takes")
    args = parser.parse_args(argv)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    session = Session(_project(), args.week)
    try:
        session.announce()
        alive = session.watch(over, _seconds(args.span))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        if alive:
            session.drain()
        code = session.stop()
    except BaseException:
        session.close()
        raise
    account = session.targets.account(session.replay.handed_out)
    if code != 0:
        tail = (session.project / "daemon.log").read_text(errors="replace").splitlines()[-15:]
        print("\n".join(["the daemon did not end in order; the end of its log:", *tail]))
    print(account.line(session.project), flush=True)
    return 0 if account.kept and code == 0 and account.collected else 1
