"""
How long the command takes to answer: ``python -m benchmarks.startup``.

Medians of 10 whole processes, each beside a bare interpreter, in seconds; exits with 1 when a
goal is missed.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: Arguments -> seconds within which they are answered; None: only told.
GOALS = {("--help",): 0.3, ("run", "--help"): 0.3, ("check",): 1.0, ("schema",): None}
COMMAND = str(Path(sys.executable).with_name("api2db"))
CONFIG = """\
streams:
  pg: { url: "${PG_DSN}" }
collectors:
  orders:
    every: 30s
    get: https://api.acme.com/v1/orders
    auth: { bearer: "${ACME_TOKEN}" }
    pages: { cursor: meta.next, param: cursor }
    rows: data
    since: { field: updated_at, param: since }
    to: { pg: { table: orders, upsert: id } }
"""


def median(command: list[str], folder: str, runs: int = 10) -> float:
    """Return the median time of *command*, in seconds; it must exit with 0."""
    env = {**os.environ, "PG_DSN": "postgresql://127.0.0.1/x", "ACME_TOKEN": "token"}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> int:
    """Print one line per command; 1 if one is too slow."""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(CONFIG)
        bare = median([sys.executable, "-c", "pass"], folder)
        print(f"{'python -c pass':18} {bare:.3f} s")
        for arguments, goal in GOALS.items():
            took = median([COMMAND, *arguments], folder)
            line = f"api2db {' '.join(arguments):11} {took:.3f} s ({took / bare:.1f} x bare)"
            if goal is not None:
                line += f", goal {goal:g} s"
                if took >= goal:
                    line, missed = f"{line}  MISSED", 1
            print(line, flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
