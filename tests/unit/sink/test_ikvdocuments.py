"""What is encoded by the column is what the vendor's own classes read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from ikvpy.schemas.common_pb2 import STRING
from ikvpy.schemas.services_pb2 import BatchDeleteFieldValuesRequest, BatchUpsertFieldValuesRequest

from api2db.sink import ikvdocuments as ikv

#: Around the lengths at which a varint needs one more byte.
EDGES = [0, 1, 108, 109, 110, 126, 127, 128, 129, 16_360, 16_383, 16_384, 20_000, 300_000]


def columns(rows: list[dict[str, Any]]) -> dict[str, pa.ChunkedArray[Any]]:
    """Return *rows* as texts, each column in pieces of its own."""
    found = {}
    for i, name in enumerate(dict.fromkeys(name for row in rows for name in row)):
        values = pa.array([row.get(name) for row in rows], pa.string())
        cut = (i * 3) % (len(rows) + 1)
        found[name] = pa.chunked_array([values.slice(0, cut), values.slice(cut)])
    return found


def read(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return what a server reads of *rows*."""
    table = columns(rows)
    documents = ikv.encoded(table, {name: name for name in table})
    found = []
    for request in ikv.requests(documents):
        assert len(request) <= ikv.BYTES or len(ikv._lengths(documents)) == 1
        for document in BatchUpsertFieldValuesRequest.FromString(request).documents:
            assert {field.fieldType for field in document.document.values()} <= {STRING}
            found.append({n: field.value.decode() for n, field in document.document.items()})
    return found


def test_lengths_of_every_size() -> None:
    """Values of all lengths come back, NULL and the empty text as no field."""
    rows = [{"id": str(i), "v": "v" * n, "wünsche": "ü" * (n // 2)} for i, n in enumerate(EDGES)]
    rows.append({"id": "none", "v": None})
    assert read(rows) == [{k: v for k, v in row.items() if v} for row in rows]


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["a", "b" * 130, "ü", " "]), st.none() | st.text()),
        min_size=1,
    )
)
def test_any_texts(found: list[dict[str, str | None]]) -> None:
    """Whatever the rows hold, the vendor's class reads the same."""
    rows = [{"id": str(i)} | row for i, row in enumerate(found)]
    assert read(rows) == [{k: v for k, v in row.items() if v} for row in rows]


def test_fields_to_remove_are_grouped() -> None:
    """By the pattern of a row, or by field, whichever makes fewer requests."""

    def groups(rows: list[dict[str, Any]], *others: str) -> list[tuple[list[str], list[int]]]:
        table = columns(rows)
        found = ikv.removed(table, {name: name for name in table}, others)
        return sorted((sorted(fields), sorted(which)) for fields, which in found)

    full = {"id": "1", "x": "x", "y": "y"}
    assert groups([full]) == []
    assert groups([full, full], "z") == [(["z"], [0, 1])]
    neither = {"id": "1", "x": None, "y": ""}
    assert groups([full, neither, neither]) == [(["x", "y"], [1, 2])]
    assert groups([full, neither], "z") == [(["x", "y", "z"], [1]), (["z"], [0])]
    each = [neither, full | {"x": None}, full | {"y": None}, full]
    assert groups(each) == [(["x"], [0, 1]), (["y"], [0, 2])]


def test_keys_of_documents_fit_a_removal() -> None:
    """The same bytes are the keys of a request that removes fields."""
    documents = ikv.encoded(columns([{"id": "a"}, {"id": "b"}]), {"id": "id"})
    (ids,) = ikv.requests(documents)
    found = BatchDeleteFieldValuesRequest.FromString(ids).documentIds
    assert [one.document["id"].value for one in found] == [b"a", b"b"]
