"""Columns in parts: what `chunk_size` asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    Columns: TypeAlias = Mapping[str, pa.ChunkedArray[Any]]


def parts(columns: Columns, size: int) -> Iterator[Columns]:
    """Yield *columns* in parts of at most *size* rows, in order; 0 for all in one."""
    n_rows = max(map(len, columns.values()), default=0)
    if not size or n_rows <= size:
        yield columns
        return
    for start in range(0, n_rows, size):
        yield {name: column.slice(start, size) for name, column in columns.items()}
