"""
PostgreSQL is away for thousands of polls: memory stays flat, and all lands in order, once.

``python -m tests.fault.outage --polls 10000`` starts an API and a PostgreSQL in this process,
and the daemon in a child whose clock it moves by hand: each poll is 30 s after the last. The
child reports the peak of its memory (VmHWM, reset for each quarter of the polls); then
PostgreSQL is started, and the rows are read back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg

from tests.fixtures.postgres import Postgres

ROWS_PER_POLL = 20

CONFIG = """\
streams: { pg: { url: "%(dsn)s" } }
collectors:
  ticks: { every: 30s, get: "%(api)s", columns: { n: int, text: str }, to: { pg: {} } }
"""


class StepClock:
    """A clock whose hands move only when `advance` is called; waits wait for that."""

    def __init__(self) -> None:
        self._now = 1_000_000_000.0
        self._moved = threading.Condition()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        with self._moved:
            self._now += seconds
            self._moved.notify_all()

    def wait(self, event: threading.Event, timeout: float) -> bool:
        deadline = self._now + timeout
        with self._moved:
            while self._now < deadline and not event.is_set():
                self._moved.wait(0.05)
        return event.is_set()


class Ticks(BaseHTTPRequestHandler):
    """Serves rows that were never served before."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment
    served = 0

    def do_GET(self) -> None:
        first = Ticks.served
        Ticks.served += ROWS_PER_POLL
        rows = [{"n": n, "text": f"row {n}"} for n in range(first, Ticks.served)]
        body = json.dumps(rows).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def child(config: Path, polls: int) -> None:
    """Poll while the target is away; print a peak per quarter; drain when told to."""
    from api2db.app.config import load
    from api2db.app.daemon import Daemon

    clock = StepClock()
    daemon = Daemon(load(config, {}), clock=clock)
    daemon.start(poll=False)
    poller = daemon.lines["ticks"].poller
    for quarter in range(4):
        Path("/proc/self/clear_refs").write_text("5")
        for _ in range(polls // 4):
            poller.poll()
            assert not poller.counts.error, poller.counts.error
            clock.advance(30)
        peak = next(
            int(line.split()[1])
            for line in Path("/proc/self/status").read_text().splitlines()
            if line.startswith("VmHWM")
        )
        print(json.dumps({"quarter": quarter + 1, "peak_kb": peak}), flush=True)
    waiting = daemon.waiting()
    print(json.dumps({"waiting": waiting}), flush=True)
    sys.stdin.readline()
    while daemon.waiting():
        clock.advance(60)
        threading.Event().wait(0.02)
    daemon.stop(10)
    daemon.close()
    print(json.dumps({"waiting": 0}), flush=True)


def main() -> int:
    """Run the experiment; print the figures; return 0 if all hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--polls", type=int, default=10_000)
    parser.add_argument("--child", type=Path)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.polls)
        return 0
    api = ThreadingHTTPServer(("127.0.0.1", 0), Ticks)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    server = Postgres()
    server.start()
    server.stop("fast")
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        url = f"http://127.0.0.1:{api.server_address[1]}/"
        config.write_text(CONFIG % {"dsn": server.dsn, "api": url})
        command = [sys.executable, "-m", "tests.fault.outage", "--child", str(config)]
        with subprocess.Popen(
            [*command, "--polls", str(args.polls)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout and process.stdin
            lines = [json.loads(process.stdout.readline()) for _ in range(5)]
            server.start()
            process.stdin.write("go\n")
            process.stdin.flush()
            end = json.loads(process.stdout.readline())
    with psycopg.connect(server.dsn) as connection:
        landed = [row[0] for row in connection.execute("select n from ticks order by ctid")]
    server.destroy()
    peaks = [line["peak_kb"] for line in lines[:4]]
    expected = list(range(Ticks.served))
    ratio = peaks[3] / peaks[1]
    print(
        f"polls={args.polls} queued={lines[4]['waiting']} peak_mb={[p // 1024 for p in peaks]}"
        f" ratio={ratio:.3f} rows={len(landed)} lost={len(set(expected) - set(landed))}"
        f" doubled={len(landed) - len(set(landed))} in_order={landed == expected}"
    )
    return 0 if ratio <= 1.1 and landed == expected and end["waiting"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
