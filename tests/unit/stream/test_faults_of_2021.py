"""
Faults of the package of 2021 that must not come back, as its user meets them.

docs/moving-from-1.md names for each fault the test that fails on it, here or elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import api2db
from api2db.app.daemon import Daemon
from api2db.app.run import Run
from api2db.core.errors import SpoolFailed
from api2db.ingest import ApiForm, Collector, Feature, ListExtract
from api2db.stream import Stream2Local, direct, ownlog, standalone
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that may pass before a test gives up.
LONG = 30.0


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ownlog, "ATTEMPTS", 1)
    yield tmp_path
    for log in list(standalone._open):
        standalone._open.pop(log).close()


class Target(Stream):
    """A target that may be away, and keeps what it gets."""

    def __init__(self, name: str = "ticks", stream_type: str = "stream") -> None:
        super().__init__(name, stream_type=stream_type)
        self.away = True
        self.got: list[int] = []

    def stream(self, data: pd.DataFrame) -> None:
        if self.away:
            raise ConnectionError("away")
        self.got += data["n"].tolist()


def _fail(stream: Target, *numbers: int) -> list[Path]:
    """Let uploads fail, one for each number; return their shards."""
    for n in numbers:
        stream.q.put(pd.DataFrame({"n": [n]}))
    stream.check_failures()
    standalone.closed(stream)
    return sorted(Path("STORE/upload_failed").rglob("*.parquet"))


def test_c_a_damaged_shard_is_kept_and_the_others_arrive(caplog: pytest.LogCaptureFixture) -> None:
    """C: of five failed uploads one is cut off: four land, it is set aside and named."""
    stream = Target()
    shards = _fail(stream, 1, 2, 3, 4, 5)
    content = shards[2].read_bytes()
    shards[2].write_bytes(content[:-100])
    stream.away = False
    stream.check_failures()
    assert stream.got == [1, 2, 4, 5]
    (damaged,) = Path("STORE/upload_failed").rglob("*.damaged")
    assert damaged.read_bytes() == content[:-100]
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == ["shard_damaged"]


def test_d_failed_uploads_stay_on_disk_until_the_target_has_them() -> None:
    """D: they are read, and the process ends before the target has answered: all are there."""
    stream = Target()
    shards = _fail(stream, 1, 2, 3)
    before: list[list[Path]] = []

    class Dying(Target):
        def stream(self, data: pd.DataFrame) -> None:
            before.append(sorted(Path("STORE/upload_failed").rglob("*.parquet")))
            raise SystemExit  # as far as the process is concerned

    Dying().check_failures()
    assert before[0] == shards == sorted(Path("STORE/upload_failed").rglob("*.parquet"))
    stream.away = False
    stream.check_failures()
    assert stream.got == [1, 2, 3]


def test_e_a_failure_in_check_failures_doubles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """E: an upload lands, then the look at earlier ones fails: the upload is not repeated."""
    stream = Stream2Local("ticks")
    Path("STORE").mkdir()
    Path("STORE/ticks").touch()
    assert not direct.deliver(stream._direct(), pd.DataFrame({"n": [1]}), 0)
    Path("STORE/ticks").unlink()

    def fails(_: Stream) -> None:
        raise SpoolFailed("the disk")

    monkeypatch.setattr(standalone, "check_failures", fails)
    stream.stream(pd.DataFrame({"n": [2]}))
    (landed,) = Path("STORE/ticks").rglob("*.parquet")
    assert pd.read_parquet(landed)["n"].tolist() == [2]
    assert len(list(Path("STORE/upload_failed").glob("*/*/*.parquet"))) == 1


def test_two_streams_of_one_type_do_not_share_their_failed_uploads() -> None:
    """The folder was that of the type: what one target had refused went to the other."""
    one, two = Stream2Local("ticks", path="a/x"), Stream2Local("ticks", path="b/x")
    for n, stream in enumerate((one, two)):
        Path("ab"[n]).touch()  # no folder can be made there
        assert not direct.deliver(stream._direct(), pd.DataFrame({"n": [n]}), 0)
    for n, stream in enumerate((one, two)):
        Path("ab"[n]).unlink()
        stream.check_failures()
        (shard,) = Path("ab"[n]).rglob("*.parquet")
        assert pd.read_parquet(shard)["n"].tolist() == [n]
        shard.rename(f"seen{n}")


def _collector(streams: Any, import_target: Any) -> Collector:
    def form() -> ApiForm:
        pre = [ListExtract(lam=lambda x: x["rows"])]
        features = [
            Feature("n", lambda x: x["n"], int),
            Feature("text", lambda x: x["text"], str),
        ]
        return ApiForm("ticks", pre, features, [])

    return Collector("ticks", 1, import_target, form, streams, list)


def test_a_stream_cannot_change_the_rows_of_another() -> None:
    """All streams got one DataFrame; what OmniSci's filled in, the others wrote."""
    seen: dict[str, Any] = {}

    class Filling(Stream):
        def stream(self, data: pd.DataFrame) -> None:
            data["text"] = data["text"].fillna("")
            data["n"] = 99
            seen["filled"] = True

    class Reading(Stream):
        def stream(self, data: pd.DataFrame) -> None:
            seen["rows"] = data.astype(object).where(data.notna(), None).values.tolist()

    def streams() -> list[Stream]:
        return [Filling("ticks", stream_type="a"), Reading("ticks", stream_type="b")]

    def rows() -> list[dict[str, Any]]:
        return [{"rows": [{"n": 1, "text": None}]}]

    daemon = Daemon(Run([_collector(streams, rows)]).config())
    try:
        daemon.start(poll=False)
        assert daemon.poll_once(threading.Event())
        assert daemon.drain(LONG, threading.Event())
    finally:
        daemon.stop(5.0)
        daemon.close()
    assert seen == {"filled": True, "rows": [[1, None]]}


def test_polls_of_a_collector_never_run_at_the_same_time() -> None:
    """Each poll was a thread of its own; a slow API got more and more of them."""
    running, most, polls = 0, 0, 0
    done = threading.Event()

    def slow() -> list[dict[str, Any]]:
        nonlocal running, most, polls
        running, polls = running + 1, polls + 1
        most = max(most, running)
        done.wait(0.05)
        running -= 1
        if polls == 4:
            done.set()
        return [{"rows": []}]

    collector = _collector(lambda: [Stream2Local("ticks")], slow)
    collector.seconds = 0.01  # type: ignore[assignment]
    daemon = Daemon(Run([collector]).config())
    try:
        daemon.start()
        threads = threading.active_count()
        assert done.wait(LONG)
        assert threading.active_count() <= threads
    finally:
        daemon.stop(5.0)
        daemon.close()
    assert most == 1


def test_declarations_import_no_driver() -> None:
    """`import api2db` loaded every driver: local files needed BigQuery installed."""
    code = (
        "import sys; import api2db.ingest, api2db.stream, api2db.store; from api2db import Run;"
        "from api2db.stream import Stream2Sql, Stream2Bigquery, Stream2Omnisci;"
        "Stream2Sql('x', 'd', 'mysql', username='u', password='p', host='h').declaration();"
        "drivers = {'pymysql', 'psycopg', 'duckdb', 'google.cloud', 'heavydb', 'sqlalchemy'};"
        "sys.exit(', '.join(drivers & sys.modules.keys()) or 0)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(api2db.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
