"""What is read of a dead letter when its rows are sent again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from api2db.app.retry import retry_stream
from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps
from api2db.files.shard import Origin
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
