"""
From one response body to a typed Arrow record batch.

`Form.parse` decodes, `Page.build` makes the columns; between the two a poll sends the next
request, so that the API works while we do. Both have a quick way, in which msgspec decodes
rows straight into structs made at run time, and a general way for every page that is not
as expected, with the same result. Each row lands, or is a `DeadRow` with its reason.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from api2db.core.batch import DeadRow
from api2db.ingest.chunk import Chunk
from api2db.ingest.form_declared import Column, Declared
from api2db.ingest.form_envelope import Envelope, Rows, decode_rows
from api2db.ingest.form_inferred import Inferred
from api2db.ingest.form_path import named
from api2db.ingest.form_shape import Shape, Uncompilable
from api2db.ingest.form_table import SINCE_LEAF, LooseRows, Table
from api2db.ingest.watermark import value_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa

    from api2db.ingest.form_envelope import Decode
    from api2db.ingest.form_table import Plan
    from api2db.ingest.source import Body

__all__ = ["Built", "Column", "Form", "Page"]

_decode = msgspec.json.Decoder().decode
_canonical = msgspec.json.Encoder(order="deterministic").encode


@dataclass(frozen=True, slots=True)
class Built:
    """
    The columns of a page.

    Attributes:
        rows: The rows that fit (n >= 0 rows x k columns), in the order of the body, without
            those that were skipped.
        dead: The rows that do not, by their place in the body.
    """

    rows: pa.RecordBatch
    dead: list[DeadRow]


class Form:
    """
    What the bodies of one collector look like; used by one thread.

    Args:
        rows: JMESPath of the list of rows; None: the body is the list, or is one row.
        columns: The columns that the user declared; None to infer them.
        next: JMESPath on the body: the value from which the next page follows.
        since: JMESPath on the raw row: the value by which the collector asks for news.
        schema: What becomes of keys and types that are new; see `Inferred`.
        memory: What the `memory` of an earlier form held; None for a fresh start.

    Attributes:
        memory: JSON-able: remembered columns and types, after the last `Page.build`.

    Raises:
        ConfigError: A path, type or default is wrong.
    """

    def __init__(
        self,
        *,
        rows: str | None,
        columns: Sequence[Column] | None,
        next: str | None = None,
        since: str | None = None,
        schema: Literal["evolve", "freeze", "ignore"] = "evolve",
        memory: Mapping[str, Any] | None = None,
    ) -> None:
        remembered = memory or {}
        self._since = named("since", since)
        self._envelope = Envelope(named("rows", rows), named("pages", next))
        self._plan: Plan
        if columns is None:
            self._plan = Inferred(schema, remembered)
        else:
            self._plan = Declared(columns, self._since, remembered.get("columns", {}))
        self.memory: dict[str, Any] = self._plan.memory()
        self._since_shape = self._compile_since()
        self._since_decoder = self._decoder_of(self._since_shape)
        self._shape: Shape | None = None
        self._decoder: Decode | None = None

    def _decoder_of(self, shape: Shape | None) -> Decode | None:
        return None if shape is None else self._envelope.decoder(shape.type)

    def _compile_since(self) -> Shape | None:
        if self._since is None or not self._since.steps:
            return None
        try:
            return Shape([(self._since.steps, SINCE_LEAF)])
        except Uncompilable:
            return None

    def parse(self, body: Body) -> Page:
        """
        Decode *body*; the rows of a chunk are taken as they are.

        Raises:
            FormError: It is not JSON, or holds no list where the rows should be.
        """
        if isinstance(body, Chunk):
            self._plan.expect(body.types)
            return self._take(body)
        return self._parse_typed(body) or self._parse_loose(body)

    def _parse_typed(self, body: bytes) -> Page | None:
        if self._plan.shape is not self._shape:
            self._shape = self._plan.shape
            self._decoder = self._decoder_of(self._shape)
        if self._decoder is None:
            return None
        try:
            items, following = self._decoder(body)
            since = self._since_typed(items, body)
        except (ValueError, RecursionError):
            return None  # the general way finds out what it is
        return Page(self, body, len(items), following, since, items=items, shape=self._shape)

    def _since_typed(self, items: list[Any], body: bytes) -> list[Any] | None:
        if self._since is None:
            return None
        values = self._plan.since(items, self._since)
        if values is not None:
            return values
        if self._since_shape is None or self._since_decoder is None or not self._since.steps:
            raise ValueError("since is not a plain path")
        apart, _ = self._since_decoder(body)
        return self._since_shape.pluck(apart, self._since.steps, {})

    def _parse_loose(self, body: bytes) -> Page:
        rows = self._envelope.split(body)
        values = decode_rows(rows)
        since = None
        if self._since is not None:
            since = [value_of(self._since, value) for value in values]
        return Page(self, body, len(values), rows.next, since, rows=rows, values=values)

    def _take(self, chunk: Chunk) -> Page:
        if chunk.table is not None and self._since is None:
            table = self._plan.arrow(chunk.table)
            if table is not None:
                shape = self._plan.shape
                return Page(self, chunk, table.n_rows, chunk.next, None, table=table, shape=shape)
        since = None if self._since is None else chunk.since or chunk.search(self._since)
        declared = isinstance(self._plan, Declared)
        if declared or chunk.is_json(self.memory.get("columns", {}).values()):
            odd = chunk.dead or (declared and chunk.infinite)
            page = None if odd else self._parse_typed(chunk.body())
            if page is not None:
                page.next, page.since = chunk.next, since
                return page
        return Page(self, chunk, len(chunk.raws), chunk.next, since)

    def _split(self, body: Body) -> Rows:
        if isinstance(body, Chunk):
            return Rows([*body.raws], body.next, dead={**body.dead})
        return self._envelope.split(body)

    def _values(self, body: Body, rows: Rows) -> list[Any]:
        if not isinstance(body, Chunk):
            return decode_rows(rows)
        if not isinstance(self._plan, Declared):
            return [*body.values]  # declared columns convert from JSON, inferred from values
        return body.with_infinities(decode_rows(rows))

    def _build(self, page: Page, skip: Collection[int]) -> Built:
        table = None
        kept: Sequence[int] = range(page.n_rows)
        if skip:
            kept = [i for i in kept if i not in skip]
        if page.table is not None and page.shape is self._plan.shape:
            table = page.table.only(kept) if skip else page.table
        elif page.items is not None and page.shape is self._plan.shape:
            items = [page.items[i] for i in kept] if skip else page.items
            table = self._plan.typed(items)
        dead: dict[int, str] = {}
        if table is None:
            dead, kept, table = self._build_loose(page, kept)
        self.memory = self._plan.memory()
        dead |= {kept[at]: why for at, why in table.dead.items()}
        letters = [
            DeadRow(i, dead[i], page.raw(i).decode("utf-8", "backslashreplace"))
            for i in sorted(dead)
        ]
        return Built(table.batch(), letters)

    def _build_loose(
        self, page: Page, kept: Sequence[int]
    ) -> tuple[dict[int, str], Sequence[int], Table]:
        rows, values = page.loose()
        dead = {i: rows.dead[i] for i in kept if i in rows.dead}
        kept = [i for i in kept if i not in dead]
        loose = LooseRows([rows.raws[i] for i in kept], [values[i] for i in kept])
        return dead, kept, self._plan.loose(loose)


class Page:
    """
    One decoded body; made by `Form.parse`.

    Attributes:
        n_rows: How many rows the body holds.
        next: The value at `next`; None if it is missing or null.
        since: For each row the value at `since`, as in the JSON (text, number or None;
            anything else as its JSON text). None if the form has no `since`.
    """

    __slots__ = (
        *("_body", "_form", "_rows", "_values"),
        *("items", "n_rows", "next", "shape", "since", "table"),
    )

    def __init__(
        self,
        form: Form,
        body: Body,
        n_rows: int,
        next: object,
        since: list[Any] | None,
        *,
        table: Table | None = None,
        items: list[Any] | None = None,
        shape: Shape | None = None,
        rows: Rows | None = None,
        values: list[Any] | None = None,
    ) -> None:
        self.n_rows = n_rows
        self.next = next
        self.since = since
        self.items = items
        self.shape = shape
        self.table = table
        self._form = form
        self._body = body
        self._rows = rows
        self._values = values

    def build(self, skip: Collection[int] = ()) -> Built:
        """
        Make the columns, and let the form remember what it learned from these rows.

        Args:
            skip: Places of rows to leave out.
        """
        return self._form._build(self, skip)

    def raw(self, i: int) -> bytes:
        """Return the JSON of row *i*, as the API wrote it."""
        return self.loose_rows().raw(i)

    def row_hash(self, i: int) -> bytes:
        """
        Return 16 bytes that say what row *i* is.

        White space and the order of keys do not matter. Slow on the first call.
        """
        raw = self.raw(i)
        with suppress(ValueError, RecursionError):  # not JSON: only its bytes say what it is
            raw = _canonical(_decode(raw))
        return hashlib.blake2b(raw, digest_size=16).digest()

    def loose_rows(self) -> Rows:
        """Return the rows as JSON, split from the body at the first call."""
        if self._rows is None:
            self._rows = self._form._split(self._body)
        return self._rows

    def loose(self) -> tuple[Rows, list[Any]]:
        """Return the rows as JSON, and decoded one by one."""
        rows = self.loose_rows()
        if self._values is None:
            self._values = self._form._values(self._body, rows)
        return rows, self._values
