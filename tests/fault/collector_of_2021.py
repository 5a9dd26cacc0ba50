"""
A collector file in the manner of the quickstart of 2021, run as it stands, killed and restarted.

Its API hands out each row once, in answers that are numbered. An answer that was followed by
another request of the same process had been accepted: all of its rows must be in every target,
once. Of the one that was under way when the process was killed, either all rows or none.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from tests.fixtures.api_server import ApiServer, Reply, Seen

if TYPE_CHECKING:
    from tests.fixtures.mysqlserver import MysqlServer

COMMAND = Path(sys.executable).with_name("api2db")
#: Rows of an answer, and of all answers before: serial // ROWS is the answer's number.
ROWS = 7
#: What no URL may break on.
PASSWORD = "p@ss:w/rd%20#?"

COLLECTOR = """\
from api2db.ingest import *
from api2db.stream import *
from api2db.store import *
from helpers import *
import urllib.request
import json


def quakes_import():
    response = urllib.request.urlopen(FEED)
    return [json.loads(response.read())]


def quakes_form():
    pre_process = [
        GlobalExtract(key="generated", lam=lambda x: x["metadata"]["generated"], dtype=int),
        ListExtract(lam=lambda x: x["features"])
    ]

    data_features = [
        Feature(key="uuid", lam=lambda x: x["id"], dtype=str),
        Feature(key="serial", lam=lambda x: x["properties"]["serial"], dtype=int),
        Feature(key="magnitude", lam=lambda x: x["properties"]["mag"], dtype=float),
        Feature(key="place", lam=lambda x: x["properties"]["place"], dtype=str),
        Feature(key="updated", lam=lambda x: x["properties"]["updated"], dtype=str),
    ]

    post_process = [
        DateCast(key="updated", fmt="%Y-%m-%dT%H:%M:%SZ"),
        ColumnApply(key="place", lam=lambda x: x.upper(), dtype=str),
    ]

    return ApiForm(name="quakes", pre_process=pre_process, data_features=data_features,
                   post_process=post_process)


def quakes_streams():
    streams = [
        Stream2Local(name="quakes", path="STORE/quakes/parquet/"),
        Stream2Sql(name="quakes", db_name="test", dialect="mysql",
                   auth_path="AUTH/mysql_auth.json", port=MYSQL_PORT),
    ]
    return streams


def quakes_stores():
    stores = [
        Store2Sql(name="quakes", seconds=STORE_SECONDS, db_name="test", dialect="mariadb",
                  auth_path="AUTH/mariadb_auth.json", port=MARIADB_PORT,
                  path="STORE/quakes/parquet/", fmt="parquet",
                  move_shards_path="STORE/quakes/landed/")
    ]
    return stores


quakes_info = Collector(name="quakes",
                        seconds=SECONDS,                # Import frequency of 0 disables collector
                        import_target=quakes_import,
                        api_form=quakes_form,
                        streams=quakes_streams,
                        stores=quakes_stores,
                        debug=True                      # Set to False for production
                        )
"""
HELPERS = """\
FEED = "{feed}"
MYSQL_PORT = {mysql}
MARIADB_PORT = {mariadb}
SECONDS = 0.2
STORE_SECONDS = 1       # ten minutes, but for the patience of a test
"""


class Quickstart:
    """
    A project folder of 2021, its API, its databases, and the process that runs it.

    Args:
        crashes: Points at which lives end by themselves; without one they end at random.
    """

    def __init__(self, folder: Path, mysql: MysqlServer, mariadb: MysqlServer, seed: int) -> None:
        self.folder = folder
        self.servers = {"mysql": mysql, "mariadb": mariadb}
        self.random = random.Random(seed)
        self.api = ApiServer()
        self.life = 0
        self.kills = 0
        self._quiet = False
        self._lock = threading.Lock()
        self._answers: list[int] = []  # by number: the life that asked
        self._process: subprocess.Popen[bytes] | None = None
        self._write(self.api.on("/feed", self._answer))

    def _write(self, feed: str) -> None:
        for name in ("collectors", "AUTH"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "collectors" / "quakes.py").write_text(COLLECTOR)
        ports = {name: server.port for name, server in self.servers.items()}
        (self.folder / "helpers.py").write_text(HELPERS.format(feed=feed, **ports))
        for name, server in self.servers.items():
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("create user 'quakes'@'%%' identified by %s", (PASSWORD,))
                cursor.execute("grant all on test.* to 'quakes'@'%'")
            path = self.folder / "AUTH" / f"{name}_auth.json"
            login = {"username": "quakes", "password": PASSWORD, "host": "127.0.0.1"}
            path.write_text(json.dumps(login))
            path.chmod(0o600)

    def _answer(self, seen: Seen) -> Reply:
        with self._lock:
            number = len(self._answers)
            if self._quiet:
                return Reply({"metadata": {"generated": 0}, "features": []})
            self._answers.append(self.life)
        features = [
            {
                "id": f"us{serial:08d}",
                "properties": {
                    "serial": serial,
                    "mag": None if serial % 5 == 0 else serial / 4,
                    "place": f"{serial} km südlich von 'X'",
                    "updated": f"2021-05-01T{serial // 3600 % 24:02}:00:{serial % 60:02}Z",
                },
            }
            for serial in range(number * ROWS, number * ROWS + ROWS)
        ]
        return Reply({"metadata": {"generated": number}, "features": features})

    # -- lives -------------------------------------------------------------------------

    def start(self, crash: str = "") -> None:
        """Start ``api2db run``; its log goes to ``daemon.log``."""
        with self._lock:
            self.life += 1
        env = {**os.environ, "API2DB_CRASH": crash}
        with (self.folder / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [COMMAND, "run"], cwd=self.folder, env=env, stdout=log, stderr=log
            )

    def live_and_die(self, crash: str = "", patience: float = 60.0) -> None:
        """Run until a crash point, or kill -9 at some instant after three answers."""
        self.start(crash)
        assert self._process is not None
        if not crash:
            self.await_answers(3, patience)
            threading.Event().wait(self.random.random())
            self._process.kill()
        code = self._process.wait(patience)
        assert code == -signal.SIGKILL, f"{crash or 'kill'}: exit {code}\n{self.log()[-3000:]}"
        self.kills += 1

    def await_answers(self, n: int, patience: float = 60.0) -> None:
        """Wait until this life has asked *n* times."""
        self._wait(lambda: self._answers.count(self.life) >= n, f"{n} answers", patience)

    def settle(self, patience: float = 90.0) -> None:
        """Let the API have nothing new, deliver what is left, and end in order."""
        self.start()
        self.await_answers(2, patience)
        with self._lock:
            self._quiet = True
        assert self._process is not None
        self._wait(self._is_even, "all that was accepted is everywhere", patience)
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(patience) == 0, self.log()[-3000:]

    def _is_even(self) -> bool:
        landed = self.landed()
        return not self.verdict(landed) and len(set(map(len, landed.values()))) == 1

    def _wait(self, condition: object, what: str, patience: float) -> None:
        deadline, pause = time.monotonic() + patience, threading.Event()
        assert self._process is not None and callable(condition)
        while not condition():
            ended = self._process.poll()
            assert ended is None, f"it ended by itself: {ended}\n{self.log()[-3000:]}"
            found = self.verdict(self.landed()) if time.monotonic() > deadline else ""
            assert time.monotonic() < deadline, (
                f"not in time: {what}\n{found}\n{self.log()[-3000:]}"
            )
            pause.wait(0.1)

    def close(self) -> None:
        """End the process and the API."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.api.close()

    # -- the oracle --------------------------------------------------------------------

    def landed(self) -> dict[str, Counter[int]]:
        """Return how often each row is in each target, whole rows only."""
        found = {name: self._in(server) for name, server in self.servers.items()}
        shards = (self.folder / "STORE" / "quakes").glob("*/*.parquet")
        local: Counter[int] = Counter()
        for shard in shards:
            try:
                local.update(pq.ParquetFile(shard).read().column("serial").to_pylist())
            except FileNotFoundError:  # it moves on just now
                continue
        return {**found, "local": local}

    @staticmethod
    def _in(server: MysqlServer) -> Counter[int]:
        whole = "select serial from quakes where uuid = concat('us', lpad(serial, 8, '0'))"
        with server.connect("test") as connection, connection.cursor() as cursor:
            cursor.execute("show tables like 'quakes'")
            if not cursor.fetchall():
                return Counter()
            cursor.execute(f"{whole} and `generated` = serial div {ROWS}")
            return Counter(serial for (serial,) in cursor.fetchall())

    def verdict(self, landed: dict[str, Counter[int]]) -> str:
        """Return what is lost, doubled, or there in part; "" if nothing is."""
        with self._lock:
            answers = list(self._answers)
            quiet = self._quiet
        accepted = {
            n
            for n, life in enumerate(answers)
            if life in answers[n + 1 :] or (quiet and life == self.life)
        }
        wrong = []
        for target, rows in landed.items():
            doubled = [serial for serial, times in rows.items() if times > 1]
            there = Counter(serial // ROWS for serial in rows)
            lost = sorted(accepted - there.keys())
            partly = sorted(n for n, count in there.items() if count != ROWS)
            for what, which in (("lost", lost), ("doubled", doubled), ("in part", partly)):
                if which:
                    wrong.append(f"{target}: {what}: {which[:20]}")
            if beyond := there.keys() - range(len(answers)):
                wrong.append(f"{target}: never sent: {sorted(beyond)[:20]}")
        if len({frozenset(rows) for rows in landed.values()}) != 1:
            wrong.append("the targets differ")
        return "; ".join(wrong)

    def log(self) -> str:
        """Return what the daemon has logged."""
        return (self.folder / "daemon.log").read_text(errors="replace")
