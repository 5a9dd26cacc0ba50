"""A store leaves alone what a stream of ours may write again."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import pytest

from api2db.app.daemon import Daemon
from api2db.app.run import Run
from api2db.app.writers import unsent_into
from api2db.core.batch import GROUP
from api2db.core.clock import SystemClock
from api2db.ingest import ApiForm, Collector, Feature, ListExtract
from api2db.store.folder import Folder
from api2db.stream import Stream2Local


def _collector() -> Collector:
    def form() -> ApiForm:
        pre = [ListExtract(lam=lambda x: x["rows"])]
        return ApiForm("c", pre, [Feature("n", lambda x: x["n"], int)], [])

    def rows() -> list[dict[str, object]]:
        return [{"rows": [{"n": 1}]}]

    def streams() -> list[Stream2Local]:
        return [Stream2Local("c"), Stream2Local("c", path="other/x")]

    return Collector("c", 3600, rows, form, streams, list)


def test_a_shard_is_taken_once_its_batch_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Before, a crash lets the stream write it again, and the store would take it twice.

    Found by kills between the rename of a shard and its acknowledgement.
    """
    monkeypatch.chdir(tmp_path)
    config = Run([_collector()]).config()
    daemon = Daemon(config)
    shards = tmp_path / "STORE/c/parquet"
    folder = Folder(
        shards,
        "parquet",
        SystemClock(),
        lambda: unsent_into(config, daemon.lines.values(), tmp_path / "STORE/./c/parquet"),
    )
    stop = threading.Event()
    try:
        assert daemon.poll_once(stop)  # the workers do not run yet
        batch = next(iter(daemon.workers)).backlog.read(GROUP, bulk=False)[0]
        shards.mkdir(parents=True)
        for name in (batch.timestamp_ns, batch.timestamp_ns + 10**9, 10**18, "anybodys"):
            (shards / f"{name}.parquet").touch()
        assert [shard.name for shard in folder.shards(stop)] == [
            f"{10**18}.parquet",
            "anybodys.parquet",
        ]
        assert unsent_into(config, daemon.lines.values(), tmp_path / "elsewhere") == math.inf
        daemon.start(poll=False)
        assert daemon.drain(30.0, stop)
        assert f"{batch.timestamp_ns}.parquet" in {shard.name for shard in folder.shards(stop)}
    finally:
        daemon.stop(5.0)
        daemon.close()


def test_no_batch_is_older_than_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead rows that were sent again are newer than the log, and the clock may go back since."""
    monkeypatch.chdir(tmp_path)
    config = Run([_collector()]).config()
    daemon = Daemon(config)
    folder = daemon.workers[0].backlog.spilled.folder
    daemon.close()
    folder.mkdir(parents=True)
    (folder / f"{2**62}.parquet").touch()
    daemon = Daemon(config)
    try:
        assert daemon.timestamps.next() > 2**62
    finally:
        daemon.close()
