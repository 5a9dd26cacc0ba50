"""Rows as documents of IKV: which fields each one sets, and which it removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from ikvpy.schemas.common_pb2 import STRING, FieldValue, IKVDocumentOnWire

from api2db.sink.identifier import mapped
from api2db.sink.load import where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Most bytes of one document: the gateway's own log takes a mebibyte.
DOCUMENT = 1_000_000
#: Most documents, and most bytes, of a request; gRPC takes 4 MiB.
ROWS, BYTES = 1_000, 3 * 2**20
#: Most bytes of a field's name.
NAME = 255
#: Bytes of a field beside its name and its value: tags and lengths.
_FRAME = 20


class Part(NamedTuple):
    """
    One request's worth of documents.

    Attributes:
        removed: Names of fields -> documents of which they are removed, by their keys alone.
    """

    documents: list[IKVDocumentOnWire]
    removed: dict[tuple[str, ...], list[IKVDocumentOnWire]]


def field_names(columns: Iterable[str]) -> dict[str, str]:
    """Return the field of each column; a blank one, or one with NUL, no reader could ask for."""
    columns = list(columns)
    return mapped(columns, (), limit=NAME, reserved={c for c in columns if not c.strip()})


def unfit(
    columns: Mapping[str, pa.ChunkedArray[Any]], names: Mapping[str, str], keys: Collection[str]
) -> dict[int, str]:
    """Return the rows of *columns* (texts) that cannot be documents, with reasons."""
    bad: dict[int, str] = {}
    for key in keys:
        # The vendor's client neither writes nor asks for such a key.
        blank = _kernel.equal(_kernel.utf8_trim_whitespace(columns[key]), "")
        bad |= dict.fromkeys(where(blank), f"the key {key!r} is blank")
    sizes = _sizes(columns, names)
    large = where(_kernel.greater(sizes, DOCUMENT))
    bad |= {i: f"the row has {sizes[i]} bytes, a document {DOCUMENT} at most" for i in large}
    return bad


def parts(
    columns: Mapping[str, pa.ChunkedArray[Any]],
    names: Mapping[str, str],
    keys: Sequence[str],
    others: Collection[str],
    rows: int = 0,
) -> Iterator[Part]:
    """
    Yield the rows of *columns* (texts; no key comes twice), in order.

    An empty text is no value: the vendor's reader cannot tell it from a field that is not there.

    Args:
        keys: Columns that name a document.
        others: Fields that no row has, and that are removed.
        rows: Most documents of a part, 0 for `ROWS`.
    """
    idents = [names[name] for name in columns]
    ids = [names[key] for key in keys]
    values = [column.cast(pa.binary()).to_pylist() for column in columns.values()]
    sizes = _sizes(columns, names).to_pylist()
    part, size = Part([], {}), 0
    for row, bytes_ in zip(zip(*values, strict=True), sizes, strict=True):
        if part.documents and (
            len(part.documents) >= min(rows or ROWS, ROWS) or size + bytes_ > BYTES
        ):
            yield part
            part, size = Part([], {}), 0
        fields = {
            ident: FieldValue(fieldType=STRING, value=value)
            for ident, value in zip(idents, row, strict=True)
            if value
        }
        part.documents.append(IKVDocumentOnWire(document=fields))
        size += bytes_
        if len(fields) < len(idents) or others:
            absent = (*(ident for ident in idents if ident not in fields), *others)
            id_ = IKVDocumentOnWire(document={ident: fields[ident] for ident in ids})
            part.removed.setdefault(absent, []).append(id_)
    if part.documents:
        yield part._replace(removed=_fewer(part.removed))


def _fewer(
    removed: dict[tuple[str, ...], list[IKVDocumentOnWire]],
) -> dict[tuple[str, ...], list[IKVDocumentOnWire]]:
    """Return *removed* by single fields, if that makes fewer requests."""
    by_field: dict[tuple[str, ...], list[IKVDocumentOnWire]] = {}
    for absent, ids in removed.items():
        for name in absent:
            by_field.setdefault((name,), []).extend(ids)
    return by_field if len(by_field) < len(removed) else removed


def _sizes(columns: Mapping[str, pa.ChunkedArray[Any]], names: Mapping[str, str]) -> Any:
    """Return how many bytes each row's document has (n integers), at most."""
    total: Any = None
    for name, column in columns.items():
        frame = len(names[name].encode()) + _FRAME
        bytes_ = _kernel.fill_null(_kernel.binary_length(column), 0).cast(pa.int64())
        size = _kernel.add(bytes_, frame)
        total = size if total is None else _kernel.add(total, size)
    return total
