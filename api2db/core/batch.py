"""The value that moves from the spool to a sink."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import pyarrow as pa

#: 0 rows x 0 columns: what a page without rows, or a batch without its rows, holds.
NO_ROWS = pa.RecordBatch.from_pylist([], schema=pa.schema([]))


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Rows of one page of one poll, on their way to every stream of a collector.

    Attributes:
        id: Idempotency key, 32 hex digits, random, fixed when the batch was put.
        seq: Position in the collector's log; increases, with gaps.
        timestamp_ns: Epoch nanoseconds, strictly increasing across a STORE;
            names the batch's shard, so one batch is one file.
        rows: The rows (n >= 1 rows x k columns). JSON columns have the
            ``arrow.json`` extension type, instants ``timestamp[us, UTC]``.
        poll: Id of the poll that fetched the rows.
        last: Whether this is the last page of its poll.
        first: Whether no earlier batch has rows of its poll.
    """

    id: str
    seq: int
    timestamp_ns: int
    rows: pa.RecordBatch
    poll: str = ""
    last: bool = False
    first: bool = False

    def with_rows(self, rows: pa.RecordBatch) -> Batch:
        """Return the same batch, same id, holding only *rows* (it may be none)."""
        return replace(self, rows=rows)


class Limit(NamedTuple):
    """
    How much one read of a queue returns at most, but for a single batch.

    Attributes:
        bytes: Of Arrow data.
    """

    batches: int = 16
    rows: int = 100_000
    bytes: int = 32 * 2**20


#: What one transaction takes of a log.
GROUP = Limit()


@dataclass(frozen=True, slots=True)
class DeadRow:
    """
    A row that cannot land, and why.

    Attributes:
        row: Zero-based index in the batch or page that it came from.
        reason: What is wrong, naming the column; never a secret.
        content: The row as JSON text, as the API wrote it where that is known.
    """

    row: int
    reason: str
    content: str = ""
