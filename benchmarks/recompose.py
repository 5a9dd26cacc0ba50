"""
How fast are spilled shards recomposed into PostgreSQL?

``python -m benchmarks.recompose [--shards 10000] [--rows 100] [--repeat 3]`` writes shards into
a folder, lets a worker deliver them, counts the rows in the target, and prints rows/s: from the
start of the worker until no shard is left. Exits with 1 if the median is below the goal.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pyarrow as pa

from api2db.core.batch import Batch
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps, new_id
from api2db.files.dead_letter import DeadLetters
from api2db.files.shard import Origin
from api2db.sink.base import Delivery
from api2db.sink.postgresql import PostgresSink
from api2db.spool.spool import Spool
from api2db.stream.backlog import Backlog
from api2db.stream.spill import Spill
from api2db.stream.watchdog import Watchdog
from api2db.stream.worker import Worker
from tests.fixtures.postgres import Postgres

#: Rows per second.
GOAL = 500_000
EPOCH = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def page(first: int, rows: int) -> pa.RecordBatch:
    """Return *rows* rows x 8 columns, such as an API of orders sends."""
    ids = range(first, first + rows)
    return pa.record_batch(
        {
            "id": pa.array(ids, pa.int64()),
            "updated_at": pa.array(
                [EPOCH + dt.timedelta(seconds=i) for i in ids], pa.timestamp("us", "UTC")
            ),
            "kind": pa.array([("open", "paid", "sent")[i % 3] for i in ids]),
            "amount": pa.array([i * 0.25 for i in ids]),
            "quantity": pa.array([i % 97 for i in ids], pa.int64()),
            "paid": pa.array([i % 2 == 0 for i in ids]),
            "label": pa.array([f"order number {i}" for i in ids]),
            "score": pa.array([None if i % 7 == 0 else i / 3 for i in ids], pa.float64()),
        }
    )


def fill(spill: Spill, shards: int, rows: int) -> None:
    """Spill *shards* batches; each is synced, as the daemon does it."""
    for n in range(shards):
        spill.put(Batch(new_id(), n + 1, n + 1, page(n * rows, rows), "poll"))


def drain(folder: Path, spool: Spool, spill: Spill, dsn: str, table: str) -> tuple[float, float]:
    """Let a worker deliver the shards; return the seconds, and those of our processor time."""
    watchdog = Watchdog()
    delivery = Delivery(spool.id, "bench", "pg", table)
    worker = Worker(
        "bench/pg",
        backlog=Backlog(spool, "pg", spill),
        sink=PostgresSink(dsn, delivery),
        dead_letters=DeadLetters(folder / "dead"),
        watchdog=watchdog,
    )
    pause = threading.Event()
    began, used = time.perf_counter(), time.process_time()
    worker.start()
    while spill.batches:
        pause.wait(0.002)
    seconds, used = time.perf_counter() - began, time.process_time() - used
    worker.stop()
    worker.join(10)
    watchdog.close()
    return seconds, used


def main(argv: list[str] | None = None) -> int:
    """Measure, and print; 1 if the goal is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args(argv)
    server, clock = Postgres(), SystemClock()
    server.start()
    rates = []
    try:
        for run in range(args.repeat):
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                spool = Spool.open(
                    folder / "spool", streams=["pg"], timestamps=Timestamps(clock), clock=clock
                )
                origin = Origin(spool.id, "bench", "pg")
                fill(Spill(folder / "shards", origin), args.shards, args.rows)
                spill = Spill(folder / "shards", origin)
                size, table = spill.bytes, f"rows{run}"
                seconds, used = drain(folder, spool, spill, server.dsn, table)
                spool.close()
            with psycopg.connect(server.dsn) as connection:
                count = f"select count(*), count(distinct id) from {table}"
                landed = connection.execute(count).fetchone()
            expected = args.shards * args.rows
            assert landed == (expected, expected), landed
            rates.append(expected / seconds)
            print(
                f"{args.shards} shards x {args.rows} rows x 8 columns ({size / 1e6:.0f} MB):"
                f" {seconds:.2f} s (our processor time: {used:.2f} s), {rates[-1]:,.0f} rows/s",
                flush=True,
            )
    finally:
        server.destroy()
    median = statistics.median(rates)
    missed = median < GOAL
    print(f"median {median:,.0f} rows/s, goal {GOAL:,}{': MISSED' if missed else ''}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
