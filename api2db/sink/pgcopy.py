"""
Arrow columns as PostgreSQL's COPY BINARY format, without a Python step per row.

Format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". Each row is a
16-bit count of fields, each field a 32-bit length (-1 for NULL) and that many bytes, all big
endian. The bytes of a value are raw: the table's column must have exactly the type named
here, or the server stores nonsense without an error. The caller checks the catalog.

=========  ==================================  =========================================
kind       Arrow                               PostgreSQL
=========  ==================================  =========================================
int        int64                               bigint: 8 bytes
float      float64                             double precision: 8 bytes
bool       bool                                boolean: 1 byte
datetime   timestamp[us, UTC]                  timestamptz: microseconds since 2000-01-01
date       date32                              date: days since 2000-01-01, 4 bytes
str        string                              text: UTF-8
json       string                              jsonb: the byte 1, then the text
=========  ==================================  =========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_EPOCH_US = 946_684_800_000_000
_EPOCH_DAYS = 10_957
# No scalars of Arrow: to make one loads pandas, which `check` has no time for.
_NULL, _NOTHING, _JSONB = b"\xff\xff\xff\xff", b"", b"\1"

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc


def encode(columns: Sequence[pa.Array[Any]], kinds: Sequence[str]) -> pa.Buffer:
    """
    Return the rows of *columns* (k arrays of n >= 1 values) as COPY BINARY, no header.

    Args:
        kinds: The kind of each column, as in the table above.
    """
    n = len(columns[0])
    count = np.broadcast_to(np.frombuffer(len(columns).to_bytes(2, "big"), np.uint8), (n, 2))
    fixed: list[np.ndarray[Any, Any]] = [count]  # neighbours of fixed width, joined as one
    parts: list[pa.Array[Any]] = []
    for array, kind in zip(columns, kinds, strict=True):
        if kind in ("str", "json"):
            fixed.append(_lengths(array, 1 if kind == "json" else 0))
            parts += [_flush(fixed), _text(array, kind)]
            continue
        field = _field(array, kind)
        if array.null_count:
            parts += [_flush(fixed)] if fixed else []
            parts.append(_kernel.if_else(array.is_valid(), _as_binary(field), _NULL))
        else:
            fixed.append(field)
    if fixed:
        parts.append(_flush(fixed))
    rows: Any = _kernel.binary_join_element_wise(*parts, b"") if len(parts) > 1 else parts[0]
    _, ends, data = rows.buffers()
    offsets = np.frombuffer(ends, np.int32, n + 1, rows.offset * 4)
    body: pa.Buffer = data.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    return body


def _flush(fixed: list[np.ndarray[Any, Any]]) -> pa.Array[Any]:
    """Return the matrices of *fixed* side by side, and empty it."""
    joined = _as_binary(np.concatenate(fixed, axis=1) if len(fixed) > 1 else fixed[0])
    fixed.clear()
    return joined


def _as_binary(matrix: np.ndarray[Any, Any]) -> pa.Array[Any]:
    """Return *matrix* (n x k bytes) as n binary values of k bytes."""
    n, k = matrix.shape
    ends: Any = np.arange(0, (n + 1) * k, k, dtype=np.int32)
    data: Any = np.ascontiguousarray(matrix)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), n, buffers)


def _lengths(array: pa.Array[Any], extra: int) -> np.ndarray[Any, Any]:
    """Return the length field of each text, -1 for NULL (n x 4 bytes)."""
    lengths = _kernel.binary_length(array)
    if extra:
        lengths = _kernel.add(lengths, pa.scalar(extra, pa.int32()))
    if array.null_count:
        lengths = lengths.fill_null(-1)
    plain: np.ndarray[Any, Any] = lengths.to_numpy(zero_copy_only=False).astype(">i4")
    return plain.view(np.uint8).reshape(len(array), 4)


def _text(array: pa.Array[Any], kind: str) -> pa.Array[Any]:
    """Return the bytes of each text, none for NULL."""
    data: Any = array.cast(pa.binary())
    if kind == "json":
        data = _kernel.binary_join_element_wise(_JSONB, data, b"")
    text: pa.Array[Any] = data.fill_null(_NOTHING) if data.null_count else data
    return text


def _field(array: pa.Array[Any], kind: str) -> np.ndarray[Any, Any]:
    """Return length and value of each item of fixed width (n x (4 + width) bytes)."""
    if kind == "bool":
        array = array.cast(pa.uint8())
    elif kind == "datetime":
        array = _kernel.subtract(array.cast(pa.int64()), pa.scalar(_EPOCH_US, pa.int64()))
    elif kind == "date":
        array = _kernel.subtract(array.cast(pa.int32()), pa.scalar(_EPOCH_DAYS, pa.int32()))
    if array.null_count:
        array = array.fill_null(0)
    values = array.to_numpy(zero_copy_only=False)
    width = values.dtype.itemsize
    field = np.empty((len(values), 4 + width), np.uint8)
    field[:, :4] = (0, 0, 0, width)
    big_endian = values.astype(values.dtype.newbyteorder(">"))
    field[:, 4:] = big_endian.view(np.uint8).reshape(len(values), width)
    return field
