"""A file that grows, and holds equal rows once: `Stream2Local(mode="update")`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.distinct import Keys
from api2db.files import codec
from api2db.sink.base import Delivery
from api2db.sink.local import local_sink


@pytest.mark.parametrize("fmt", codec.FORMATS)
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (False, [(1, "a"), (2, "a"), (2, "a"), (3, "a"), (1, "b")]),
        (True, [(1, "a"), (2, "a"), (3, "a"), (1, "b")]),
        (("n",), [(1, "a"), (2, "a"), (3, "a")]),
    ],
)
def test_the_row_that_was_there_first_stays(
    tmp_path: Path, fmt: str, keys: Keys, expected: list[object]
) -> None:
    """Also across batches, and whatever the format made of a column's type."""
    delivery = Delivery("s" * 32, "c", "x", "t", distinct=keys)
    sink = local_sink(tmp_path, delivery, fmt, "update")
    sink.open()
    columns = ({"n": [1, 2], "k": ["a", "a"]}, {"n": [2, 3, 1], "k": ["a", "a", "b"]})
    batches = [
        Batch(f"{i:032x}", i, i, pa.RecordBatch.from_pydict(found))
        for i, found in enumerate(columns)
    ]
    for _ in range(2):  # sent again it adds nothing
        for batch in batches:
            sink.write([batch])
    table = codec.read(tmp_path / f"t.{fmt}", fmt)
    assert [(int(row["n"]), row["k"]) for row in table.to_pylist()] == expected
