"""
From a paginated API into PostgreSQL: ``api2db run --once`` against other people's loops.

Whole process against whole process, from start to exit, on one private PostgreSQL (stock
settings, fsync on). Each round runs every subject once, every other round in the opposite
order; a ratio is the median of the yardstick's times over the median of the subject's.
After every run the rows in the table are counted. The yardsticks are in `benchmarks/yardsticks`;
what they import lives in an environment of their own (``.cache``). Exits with 1 when a goal is
missed of what was measured.

``python -m benchmarks.end_to_end [--pages 300] [--rounds 5] [--dlt] [--memory] [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.postgres import Postgres

ROOT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("api2db")
ENVIRONMENT = ROOT / ".cache" / "bench-venv"
YARDSTICKS = ROOT / "benchmarks" / "yardsticks"
ROWS_PER_PAGE = 1707
#: How many times as fast as the hand-written loop each subject is at least.
GOALS = {"columns": 1.4, "inferred": 0.8, "upsert": 0.7}
#: The same beside dlt, for `columns`.
DLT_GOAL = 12.0
#: Most megabytes of resident memory over 1,000 pages.
MEMORY_GOAL = 400

COLUMNS = """\
    columns:
      id: str
      mag: { path: properties.mag, type: float }
      place: { path: properties.place, type: str }
      time: { path: properties.time, type: int }
      updated: { path: properties.updated, type: int }
      url: { path: properties.url, type: str }
      status: { path: properties.status, type: str }
      tsunami: { path: properties.tsunami, type: int }
      sig: { path: properties.sig, type: int }
      net: { path: properties.net, type: str }
      type: { path: properties.type, type: str }
      title: { path: properties.title, type: str }
      lon: { path: "geometry.coordinates[0]", type: float }
      lat: { path: "geometry.coordinates[1]", type: float }
      depth: { path: "geometry.coordinates[2]", type: float }
"""

CONFIG = """\
streams:
  pg: {{ url: "{dsn}" }}
collectors:
  eq:
    every: 1h
    get: {api}
    pages: {{ next: next }}
    rows: features
    to: {{ pg: {destination} }}
{columns}"""

#: Subject -> (the destination in config.yaml, its columns).
OURS = {
    "columns": ("{ append: true }", COLUMNS),
    "inferred": ("{ append: true }", ""),
    "upsert": ("{ upsert: id }", COLUMNS),
}


@dataclass
class Subject:
    """One program that is timed: its seconds per run, wall and CPU, and its peak memory."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    peak_mb: float = 0.0

    @property
    def median(self) -> float:
        """Return the median of the runs, in seconds."""
        return statistics.median(self.seconds)


class PagesServer:
    """The yardsticks' API, in a process of its own; returns when it is ready."""

    def __init__(self, yardsticks: Path, pages: int) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self._process = subprocess.Popen(
            [sys.executable, "pages_server.py", str(self.port), str(pages)],
            cwd=yardsticks,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit("pages_server.py did not start")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


class Bench:
    """One PostgreSQL, one API, and the runs against them."""

    def __init__(self, yardsticks: Path, pages: int, work: Path) -> None:
        self.pages = pages
        self._yardsticks = yardsticks
        self._work = work
        self._postgres = Postgres(settings={"shared_buffers": "128MB", "autovacuum": "on"})
        self._postgres.start()
        self._server = PagesServer(yardsticks, pages)
        self._api = f"http://127.0.0.1:{self._server.port}/"
        self._dlt_runs = 0

    def close(self) -> None:
        """End both servers."""
        self._server.close()
        self._postgres.destroy()

    def run(self, subject: Subject) -> None:
        """Run *subject* once, check its rows, note its time and its peak memory."""
        command, env, cwd, table = self._prepare(subject.name)
        begun = time.perf_counter()
        with (self._work / f"{subject.name}.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=log)
            peak, cpu = _watch(process)
        elapsed = time.perf_counter() - begun
        if process.returncode:
            tail = (self._work / f"{subject.name}.log").read_text()[-2000:]
            raise SystemExit(f"{subject.name} exited with {process.returncode}:\n{tail}")
        self._check_rows(table, subject.name)
        subject.seconds.append(elapsed)
        subject.cpu.append(cpu)
        subject.peak_mb = max(subject.peak_mb, peak)

    def _prepare(self, name: str) -> tuple[list[str], dict[str, str], Path, str]:
        with self._postgres.connect() as connection:
            connection.execute("drop table if exists eq, lim, _api2db_batches")
            connection.execute("checkpoint")
        env = {**os.environ, "PG_DSN": self._postgres.dsn, "API": f"{self._api}eq"}
        python = str(ENVIRONMENT / "bin" / "python")
        if name == "hand_loop":
            return [python, str(self._yardsticks / "hand_loop.py")], env, self._work, "lim"
        if name == "dlt_loop":
            env["API_BASE"] = self._api
            env["PG_DSN"] = self._postgres.dsn.replace("postgres@", "postgres:any@")
            script = str(self._yardsticks / "dlt_loop.py")
            return [python, script], env, self._work, ""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._work))
        destination, columns = OURS[name]
        (folder / "config.yaml").write_text(
            CONFIG.format(
                dsn=self._postgres.dsn,
                api=f"{self._api}eq",
                destination=destination,
                columns=columns,
            )
        )
        command = [str(COMMAND), "run", "--once", "--timeout", "10m", "-c", "config.yaml"]
        return command, env, folder, "eq"

    def _check_rows(self, table: str, name: str) -> None:
        with self._postgres.connect() as connection:
            if not table:  # dlt makes a schema per process
                found = connection.execute(
                    "select schemaname from pg_tables where tablename = 'eq'"
                    " and schemaname like 'dlt%'"
                ).fetchone()
                assert found is not None
                table = f'"{found[0]}".eq'
            counted = connection.execute(f"select count(*) from {table}".encode()).fetchone()
            if name == "dlt_loop":
                connection.execute(f"drop schema {table.split('.')[0]} cascade".encode())
        if counted != (self.pages * ROWS_PER_PAGE,):
            raise SystemExit(f"{name}: {counted} rows instead of {self.pages * ROWS_PER_PAGE}")


def _watch(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait for the end of *process*; return its greatest VmHWM seen, in MB, and CPU seconds."""
    status, peak, pause = Path(f"/proc/{process.pid}/status"), 0.0, threading.Event()
    while True:
        pid, code, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(code)
            return peak, usage.ru_utime + usage.ru_stime
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) / 1024)
        pause.wait(0.01)


def prepare_environment(*, dlt: bool) -> None:
    """Make the yardsticks' environment, once."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    wanted = ["adbc-driver-postgresql", "httpx", "msgspec", "pyarrow"]
    modules = "import adbc_driver_postgresql, httpx, msgspec, pyarrow"
    if dlt:
        wanted.append("dlt[postgres]")
        modules += ", dlt, psycopg2"
    if subprocess.run([python, "-c", modules], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", *wanted], check=True)


def measure(args: argparse.Namespace, work: Path) -> list[Subject]:
    """Run all rounds; return the subjects, the hand-written loop first."""
    names = ["hand_loop", *(args.only or OURS), *(["dlt_loop"] if args.dlt else [])]
    subjects = [Subject(name) for name in names]
    bench = Bench(args.yardsticks, args.pages, work)
    try:
        for number in range(args.rounds):
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                bench.run(subject)
                seconds = subject.seconds[-1]
                print(f"round {number + 1} {subject.name:10} {seconds:7.2f} s", file=sys.stderr)
    finally:
        bench.close()
    return subjects


def measure_memory(args: argparse.Namespace, work: Path) -> Subject:
    """Run 1,000 pages once, for the peak of resident memory."""
    subject = Subject("columns")
    bench = Bench(args.yardsticks, 1000, work)
    try:
        bench.run(subject)
    finally:
        bench.close()
    return subject


def results(subjects: list[Subject], pages: int) -> list[dict[str, Any]]:
    """Return one row per subject: median, rate, ratio to each yardstick, peak memory."""
    rows = pages * ROWS_PER_PAGE
    yard = {s.name: s.median for s in subjects if s.name in ("hand_loop", "dlt_loop")}
    return [
        {
            "subject": subject.name,
            "seconds": round(subject.median, 2),
            "all_seconds": [round(second, 2) for second in subject.seconds],
            "rows_per_second": round(rows / subject.median),
            **{f"x_{name}": round(second / subject.median, 2) for name, second in yard.items()},
            "cpu_seconds": round(statistics.median(subject.cpu), 2),
            "peak_mb": round(subject.peak_mb),
        }
        for subject in subjects
    ]


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(OURS))
    parser.add_argument("--dlt", action="store_true", help="also dlt_loop.py (minutes)")
    parser.add_argument("--memory", action="store_true", help="also VmHWM over 1,000 pages")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--yardsticks", type=Path, default=YARDSTICKS)
    args = parser.parse_args(argv)
    args.yardsticks = args.yardsticks.resolve()
    prepare_environment(dlt=args.dlt)
    work = Path(tempfile.mkdtemp(prefix="api2db-bench-"))
    try:
        table = results(measure(args, work), args.pages)
        memory = measure_memory(args, work) if args.memory else None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    tell(table, memory, args)
    misses = missed(table, memory)
    for miss in misses:
        print(f"MISSED: {miss}", file=sys.stderr)
    return int(bool(misses))


def tell(table: list[dict[str, Any]], memory: Subject | None, args: argparse.Namespace) -> None:
    """Print what was measured."""
    if args.json:
        peak = round(memory.peak_mb) if memory else None
        print(json.dumps({"pages": args.pages, "subjects": table, "peak_mb_1000_pages": peak}))
        return
    for row in table:
        ratios = "  ".join(f"{key}={row[key]}" for key in row if key.startswith("x_"))
        print(
            f"{row['subject']:10} {row['seconds']:>7} s  {row['rows_per_second']:>8} rows/s  "
            f"{ratios}  cpu {row['cpu_seconds']} s  peak {row['peak_mb']} MB  {row['all_seconds']}"
        )
    if memory:
        seconds = memory.seconds[0]
        print(f"1,000 pages: {seconds:.1f} s, VmHWM {memory.peak_mb:.0f} MB")


def missed(table: list[dict[str, Any]], memory: Subject | None) -> list[str]:
    """Return a line for each goal that what was measured does not reach."""
    found = []
    for row in table:
        goals = {"x_hand_loop": GOALS.get(row["subject"])}
        if row["subject"] == "columns":
            goals["x_dlt_loop"] = DLT_GOAL
        for key, goal in goals.items():
            if goal is not None and key in row and row[key] < goal:
                found.append(f"{row['subject']} {key}={row[key]}, goal {goal:g}")
    if memory and memory.peak_mb > MEMORY_GOAL:
        found.append(f"VmHWM {memory.peak_mb:.0f} MB, goal {MEMORY_GOAL} MB")
    return found


if __name__ == "__main__":
    sys.exit(main())
