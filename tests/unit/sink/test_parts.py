"""`chunk_size`: rows that are sent at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.sink.base import Delivery
from api2db.sink.sqlite import SqliteSink


@pytest.mark.parametrize("upsert", [(), ("n",)])
def test_rows_are_sent_in_parts_of_one_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upsert: tuple[str, ...]
) -> None:
    """No statement gets more than `chunk_size` rows, and all land, in order, or none."""
    sent: list[int] = []
    name = "_upsert" if upsert else "_append"
    send = getattr(SqliteSink, name)

    def counted(sink: SqliteSink, columns: Mapping[str, Any], targets: Sequence[Any]) -> None:
        sent.append(len(next(iter(columns.values()))))
        send(sink, columns, targets)

    monkeypatch.setattr(SqliteSink, name, counted)
    delivery = Delivery("s" * 32, "c", "t", "t", upsert, chunk=4)
    sink = SqliteSink("sqlite:///x.db", delivery, base=tmp_path)
    sink.open()
    rows = pa.RecordBatch.from_pydict({"n": list(range(5))})
    batches = [Batch(f"{i:032x}", i, i, rows.slice(i)) for i in (0, 1)]
    assert sink.write(batches).rows == 9
    sink.close()
    assert sent == ([4, 1] if upsert else [4, 4, 1])
