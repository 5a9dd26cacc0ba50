"""Tables as Parquet: every type comes back."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


def write(parts: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> None:
    """Write *parts*, a row group each at least, compressed with Zstandard."""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(part)


def read(path: Path) -> pa.Table:
    """Return the table; its folder's name is no column."""
    return pq.read_table(path, partitioning=None)


def unfit(_rows: pa.RecordBatch) -> dict[int, str]:
    """Return nothing: Parquet holds all."""
    return {}
