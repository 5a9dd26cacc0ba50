"""Equal rows, once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from api2db.core.distinct import distinct, unseen
from api2db.core.types import JSON

ROWS = pa.RecordBatch.from_pydict(
    {
        "id": [1, 2, 1, None, None],
        "x": [0.5, float("nan"), 0.5, 1.0, 1.0],
        "doc": pa.array(["{}", "[]", "{}", None, None], pa.string()).cast(JSON),
    }
)


@pytest.mark.parametrize(
    ("keys", "ids"),
    [
        (False, [1, 2, 1, None, None]),
        (True, [1, 2, None]),
        (("x",), [1, 2, None]),
        (("id", "x"), [1, 2, None]),
        (("id", "absent"), [1, 2, None]),
        (("absent",), [1, 2, 1, None, None]),
    ],
)
def test_the_first_row_of_each_key_stays_in_order(keys: object, ids: list[object]) -> None:
    """NULL equals NULL; a key of which no column is there tells nothing, and costs no row."""
    assert distinct(ROWS, keys).column("id").to_pylist() == ids  # type: ignore[arg-type]


def test_rows_are_compared_with_those_before_in_whichever_types() -> None:
    """A file that came back as text or as float holds the same rows."""
    seen: set[bytes] = set()
    unseen(pa.RecordBatch.from_pydict({"id": ["1", "2"]}), True, seen)
    new = unseen(pa.RecordBatch.from_pydict({"id": [2, 3, 3]}), True, seen)
    assert new.column("id").to_pylist() == [3]


def test_a_key_that_no_row_has_costs_none() -> None:
    """Rows of a batch without the key are no duplicates of each other, nor of those before."""
    seen: set[bytes] = set()
    unseen(pa.RecordBatch.from_pydict({"id": [1]}), ("id",), seen)
    for _ in range(2):
        new = unseen(pa.RecordBatch.from_pydict({"x": [1, 1]}), ("id",), seen)
        assert new.num_rows == 2
