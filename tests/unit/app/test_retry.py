"""What is read of a dead letter when its rows are sent again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.app.daemon import Daemon
from api2db.app.project import load
from api2db.app.retry import retry_stream
from api2db.core.batch import Batch
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps, new_id
from api2db.files.shard import Origin, encode
from api2db.ingest.checkpoint import Checkpoint
from api2db.spool.spool import Spool
from api2db.stream.spill import Spill

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("type_", ["float", "int", "decimal", "str"])
def test_a_number_beyond_all_floats_stays_dead(tmp_path: Path, type_: str) -> None:
    """Python would read infinity."""
    clock = SystemClock()
    spool = Spool.open(tmp_path / "spool", streams=["t"], timestamps=Timestamps(clock), clock=clock)
    spill = Spill(tmp_path / "shards", Origin(spool.id, "c", "t"))
    memory = Checkpoint(form={"columns": {"x": type_}}).to_bytes()
    line: Any = SimpleNamespace(
        spool=SimpleNamespace(state=memory, depth=spool.depth),
        workers={"t": SimpleNamespace(backlog=SimpleNamespace(spilled=spill))},
        config=SimpleNamespace(columns=None, to={"t": SimpleNamespace(replace=False)}),
    )
    letter = tmp_path / "dead" / "1.jsonl"
    letter.parent.mkdir()
    letter.write_text(json.dumps({"row": 0, "reason": "refused", "content": '{"x": 1e999}'}))
    (done,) = retry_stream(line, "t", letter.parent, Timestamps(clock))
    assert (done.rows, done.left, letter.exists(), spill.folder.exists()) == (0, 1, True, False)
    spool.close()


def test_no_batch_gets_the_name_of_a_shard_that_was_cut_off(tmp_path: Path) -> None:
    """It goes to its place with the next retry, and would take that of the other batch's shard."""
    config = tmp_path / "config.yaml"
    config.write_text(
        "streams: { lite: { url: 'sqlite:///x.db' } }\n"
        "collectors: { c: { every: 1h, get: 'http://127.0.0.1:9/', to: { lite: {} } } }\n"
    )
    ahead = 2**62  # the clock went back meanwhile
    dead = tmp_path / "STORE" / "dead_letter" / "c" / "lite"
    dead.mkdir(parents=True)
    (dead / "1.retried").touch()
    rows = pa.record_batch({"v": [1]})
    shard = encode(Batch(new_id(), 0, ahead, rows), Origin("5" * 32, "c", "lite"))
    (dead / "1.shard").write_bytes(shard)
    daemon = Daemon(load(config, {}))
    try:
        assert daemon.timestamps.next() > ahead
    finally:
        daemon.close()
