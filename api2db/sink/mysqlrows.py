r"""
Arrow columns as text that MariaDB and MySQL read, without a Python step per row.

Every value is written as text, which the server reads as the column's type; so a value looks
the same in a file for LOAD DATA and in a VALUES list, but for what is escaped, and how NULL is
spelled::

    5<TAB>\N<TAB>a\\b<NEWLINE>
    ('5',NULL,'a\\b'),
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: How `infile` must be read.
FORMAT = (
    r"character set utf8mb4 fields terminated by '\t' enclosed by '' escaped by '\\'"
    r" lines terminated by '\n' starting by ''"
)
_TEXTS = frozenset({"str", "json", "decimal"})


def infile(
    columns: Sequence[pa.ChunkedArray[Any]], kinds: Sequence[str]
) -> Iterator[tuple[memoryview, int]]:
    """Yield the rows of *columns* as a file of `FORMAT`, in parts, each with its rows."""
    for arrays in _runs(columns):
        fields = []
        for array, kind in zip(arrays, kinds, strict=True):
            text = _text(array, kind)
            if kind in _TEXTS:
                text = _escaped(text, r"([\\\t\n])")
            fields.append(text.fill_null("\\N"))
        lines = _kernel.binary_join_element_wise(*fields[:-1], _ended(fields[-1], "\n"), "\t")
        data, offsets = _buffer(lines)
        yield data, len(offsets) - 1


def values(
    columns: Sequence[pa.ChunkedArray[Any]], kinds: Sequence[str], size: int
) -> Iterator[tuple[bytes, int]]:
    """
    Yield the rows of *columns* as lists for VALUES, each with its number of rows.

    Args:
        size: Bytes of a list; one of a single row may be longer.
    """
    for arrays in _runs(columns):
        fields = [_literal(array, kind) for array, kind in zip(arrays, kinds, strict=True)]
        joined = _kernel.binary_join_element_wise(*fields, ",")
        data, offsets = _buffer(_kernel.binary_join_element_wise("(", joined, "),", ""))
        start, n = 0, len(offsets) - 1
        while start < n:
            end = int(np.searchsorted(offsets, offsets[start] + size, "right")) - 1
            end = min(max(end, start + 1), n)
            base = int(offsets[0])
            part = data[int(offsets[start]) - base : int(offsets[end]) - base - 1]
            yield part.tobytes(), end - start
            start = end


def _literal(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    text = _text(array, kind)
    if kind in _TEXTS:
        text = _escaped(text, r"([\\'])")
    quoted: Any = _kernel.binary_join_element_wise("'", text, "'", "")
    filled: pa.Array[Any] = quoted.fill_null("NULL")
    return filled


def _ended(text: pa.Array[Any], end: str) -> pa.Array[Any]:
    ended: pa.Array[Any] = _kernel.binary_join_element_wise(text, end, "")
    return ended


def _text(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Return values as the text that a column of their kind reads; NULL stays."""
    if kind == "bool":
        return array.cast(pa.int8()).cast(pa.string())
    if kind == "datetime":
        return array.cast(pa.timestamp("us")).cast(pa.string())
    return array if kind in _TEXTS else array.cast(pa.string())


def _escaped(text: pa.Array[Any], pattern: str) -> pa.Array[Any]:
    """Return *text* with a backslash before what *pattern* matches."""
    if not _kernel.any(_kernel.match_substring_regex(text, pattern)).as_py():
        return text
    escaped: pa.Array[Any] = _kernel.replace_substring_regex(text, pattern, r"\\\1")
    return escaped


def _buffer(texts: Any) -> tuple[memoryview, np.ndarray[Any, Any]]:
    """Return the bytes of *texts* in a row, and where each begins (and the last ends)."""
    _, ends, data = texts.buffers()
    offsets = np.frombuffer(ends, np.int32, len(texts) + 1, texts.offset * 4)
    return memoryview(data)[int(offsets[0]) : int(offsets[-1])], offsets


def _runs(columns: Sequence[pa.ChunkedArray[Any]]) -> Iterator[list[pa.Array[Any]]]:
    """Yield the columns a run of rows at a time, each without an inner boundary."""
    table = pa.Table.from_arrays(list(columns), names=[str(i) for i in range(len(columns))])
    for batch in table.to_batches():
        if batch.num_rows:
            yield batch.columns
