"""
Rows as documents of IKV: which fields each one sets, and which it removes.

Documents are encoded by the column, as protobuf has them in a request: to make them one by one
took twice as long as to send them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from ikvpy.schemas.common_pb2 import STRING

from api2db.sink.identifier import mapped
from api2db.sink.load import where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    Columns = Mapping[str, pa.ChunkedArray[Any]]

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Most bytes of one document: the gateway's own log takes a mebibyte.
DOCUMENT = 1_000_000
#: Most documents, and most bytes, of a request; gRPC takes 4 MiB.
ROWS, BYTES = 1_000, 3 * 2**20
#: Most bytes of a field's name.
NAME = 255
#: Bytes of a field beside its name and its value, at most: tags and lengths.
_FRAME = 20
#: Tags of protobuf: number of the field * 8 + 2, for what has a length.
_FIRST, _SECOND, _DOCUMENTS = b"\x0a", b"\x12", b"\x1a"
#: The start of a FieldValue: fieldType.
_TEXT = bytes((0x08, STRING)) + _SECOND


def field_names(columns: Iterable[str]) -> dict[str, str]:
    """Return the field of each column; a blank one, or one with NUL, no reader could ask for."""
    columns = list(columns)
    return mapped(columns, (), limit=NAME, reserved={c for c in columns if not c.strip()})


def unfit(columns: Columns, names: Mapping[str, str], keys: Collection[str]) -> dict[int, str]:
    """Return the rows of *columns* (texts) that cannot be documents, with reasons."""
    bad: dict[int, str] = {}
    for key in keys:
        # The vendor's client neither writes nor asks for such a key.
        blank = _kernel.equal(_kernel.utf8_trim_whitespace(columns[key]), "")
        bad |= dict.fromkeys(where(blank), f"the key {key!r} is blank")
    sizes: Any = None
    for name, column in columns.items():
        size = _kernel.add(_lengths(column), len(names[name].encode()) + _FRAME)
        sizes = size if sizes is None else _kernel.add(sizes, size)
    large = where(_kernel.greater(sizes, DOCUMENT))
    return bad | {i: f"the row has {sizes[i]} bytes, a document {DOCUMENT} at most" for i in large}


def encoded(columns: Columns, names: Mapping[str, str]) -> pa.LargeBinaryArray:
    """
    Return the rows of *columns* (texts, n rows) as n documents of a request.

    An empty text is no field: the vendor's reader cannot tell it from one that is not there.
    """
    parts: list[Any] = []
    for name, column in columns.items():
        ident = names[name].encode()
        parts.append(_by_length(_lengths(column), lambda n, ident=ident: _field(ident, n)))
        parts.append(_kernel.fill_null(column.cast(pa.large_binary()).combine_chunks(), b""))
    fields = _joined(parts)
    heads = _by_length(_lengths(fields), lambda n: _DOCUMENTS + _varint(n))
    documents: pa.LargeBinaryArray = _joined([heads, fields])
    return documents


def requests(documents: pa.LargeBinaryArray, rows: int = 0) -> Iterator[bytes]:
    """Yield *documents* in order, as many together as a request takes; *rows* at most, if any."""
    most = min(rows or ROWS, ROWS)
    count = size = 0
    start = 0
    for i, bytes_ in enumerate(_lengths(documents).to_pylist()):
        if count and (count >= most or size + bytes_ > BYTES):
            yield _bytes(documents, start, i)
            start, count, size = i, 0, 0
        count += 1
        size += bytes_
    if count:
        yield _bytes(documents, start, len(documents))


def removed(
    columns: Columns, names: Mapping[str, str], others: Collection[str]
) -> list[tuple[list[str], Sequence[int]]]:
    """
    Return which fields are removed of which rows, in few groups: each is a request, or several.

    Args:
        others: Fields that no row has.
    """
    n = len(next(iter(columns.values())))
    absent = {names[name]: _kernel.equal(_lengths(column), 0) for name, column in columns.items()}
    absent = {name: mask for name, mask in absent.items() if _kernel.any(mask).as_py()}
    if not absent:
        return [(list(others), range(n))] if others else []
    by_field: list[tuple[list[str], Sequence[int]]] = [([f], range(n)) for f in others]
    by_field += [([name], where(mask)) for name, mask in absent.items()]
    if len(by_field) < 2:
        return by_field
    masks = pa.table(
        [*absent.values(), pa.array(range(n))], names=[*map(str, range(len(absent))), "row"]
    )
    groups = masks.group_by(masks.column_names[:-1]).aggregate([("row", "list")]).to_pylist()
    if len(groups) > len(by_field):
        return by_field
    found = [
        ([*others, *(name for i, name in enumerate(absent) if group[str(i)])], group["row_list"])
        for group in groups
    ]
    return [(fields, rows) for fields, rows in found if fields]


def _lengths(column: Any) -> Any:
    """Return how many bytes each value has (n integers), 0 for NULL."""
    return _kernel.fill_null(_kernel.binary_length(column), 0).cast(pa.int64())


def _by_length(lengths: Any, make: Any) -> Any:
    """Return ``make(n)`` for each of *lengths* (n bytes); few lengths are different."""
    chunked = isinstance(lengths, pa.ChunkedArray)
    found = (lengths.combine_chunks() if chunked else lengths).dictionary_encode()
    made = pa.array([make(n) for n in found.dictionary.to_pylist()], pa.large_binary())
    return made.take(found.indices)


def _field(name: bytes, n: int) -> bytes:
    """Return what stands before a value of *n* bytes: an entry of the map, and its name."""
    if not n:
        return b""
    value = _TEXT + _varint(n)
    entry = _FIRST + _varint(len(name)) + name + _SECOND + _varint(len(value) + n) + value
    return _FIRST + _varint(len(entry) + n) + entry


def _varint(n: int) -> bytes:
    """Return *n* as protobuf writes it: seven bits a byte, the lowest first."""
    found = bytearray()
    while n > 0x7F:
        found.append(n & 0x7F | 0x80)
        n >>= 7
    found.append(n)
    return bytes(found)


def _joined(parts: Sequence[Any]) -> Any:
    return _kernel.binary_join_element_wise(*parts, pa.scalar(b"", pa.large_binary()))


def _bytes(documents: pa.LargeBinaryArray, start: int, stop: int) -> bytes:
    """Return documents *start* to *stop*, one behind the other."""
    part: Any = documents.slice(start, stop - start)
    return b"".join(part.to_pylist())
