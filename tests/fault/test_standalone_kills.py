"""A stream that runs without a collector, killed and restarted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import api2db
from tests.fixtures.postgres import Postgres

PROGRAM = """\
import sys
import pandas as pd
from api2db.stream import Stream2Sql

s = Stream2Sql(name="ticks", db_name="postgres", dialect="postgresql",
               username="postgres", password="none", host="127.0.0.1", port=sys.argv[1])
s.start()
first, last = int(sys.argv[2]), int(sys.argv[3])
for n in range(first, last):
    s.q.put(pd.DataFrame({"n": [n, n], "k": [0, 1]}))
    print(n, flush=True)
while not s.q.empty():
    s.lock.acquire(timeout=0.1)
s.lock.release()
"""
#: Attempts of a life whose last `put` may or may not have been accepted, apart from the others.
LIFE = 100_000


def _killed(folder: Path, port: int, life: int, seed: random.Random) -> list[int]:
    """Run until kill -9; return the numbers whose `put` had returned."""
    first = life * LIFE
    process = _start(folder, port, first, first + LIFE)
    assert process.stdout is not None
    accepted = [int(process.stdout.readline()) for _ in range(seed.randrange(5, 40))]
    threading.Event().wait(seed.random() / 4)
    process.kill()
    accepted += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.wait()
    process.stdout.close()
    return accepted


def _start(folder: Path, port: int, first: int, last: int) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(Path(api2db.__file__).parents[1])}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(first), str(last)],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


@pytest.mark.slow
@pytest.mark.backend("postgresql")
def test_what_was_put_lands_once(tmp_path: Path) -> None:
    """Five kills: all that `q.put` had returned for is there, and nothing twice or in part."""
    seed = random.Random(number := random.SystemRandom().randrange(2**31))
    with Postgres() as server:
        accepted = set()
        for life in range(5):
            accepted |= set(_killed(tmp_path, server.port, life, seed))
        last = _start(tmp_path, server.port, 5 * LIFE, 5 * LIFE + 3)
        out, _ = last.communicate(timeout=60)
        assert last.returncode == 0, (tmp_path / "log").read_text()[-3000:]
        accepted |= set(map(int, out.split()))
        with server.connect() as connection:
            rows = Counter(connection.execute("select n, k from ticks").fetchall())
        assert (tmp_path / "STORE/spool").is_dir()
    numbers = Counter(n for n, _ in rows)
    assert not accepted - numbers.keys(), f"lost, seed={number}"
    assert not [row for row, times in rows.items() if times > 1], f"doubled, seed={number}"
    assert set(numbers.values()) == {2}, f"in part, seed={number}"
    beyond = numbers.keys() - accepted  # put, and killed before it could say so
    assert len({n // LIFE for n in beyond}) == len(beyond), f"seed={number}"
