"""Rows that are Python values already, and need no decoding: what is not HTTP brings."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api2db.ingest.form_path import Path
    from api2db.ingest.watermark import Value

#: Writes a value as JSON bytes; decimals as numbers with all their digits.
encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(slots=True)
class Chunk:
    """
    Some rows, in order; read by `Form.parse` in place of a body.

    Attributes:
        values: n rows: dicts of None, bool, int, float, str, date, Decimal, and lists and
            dicts of these. Instants are RFC 3339 text.
        since: For each row the value by which it is new; None if the form is to find it.
        next: What the source needs to ask for the next page; None after the last.
        dead: Rows with a value that no JSON can hold, by place, and why.
        types: What is known of the columns' types, by name; the values tell the rest.
        raws: The same rows as JSON.
    """

    values: list[dict[str, Any]]
    since: list[Value] | None = None
    next: object = None
    dead: dict[int, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    raws: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.raws = []
        for i, row in enumerate(self.values):
            try:
                self.raws.append(encode(row))
            except UnicodeEncodeError:
                self.dead[i] = "the row holds half a character (a lone surrogate)"
                self.raws.append(repr(row).encode("utf-8", "backslashreplace"))
            except RecursionError:
                self.dead[i] = "the row is nested too deeply"
                self.raws.append(b"null")

    def extend(self, other: Chunk) -> None:
        """Add the rows of *other* at the end."""
        self.dead |= {len(self.values) + i: why for i, why in other.dead.items()}
        self.values += other.values
        self.raws += other.raws

    def body(self) -> bytes:
        """Return the rows as one JSON array."""
        return b"[" + b",".join(self.raws) + b"]"

    def is_json(self, types: Iterable[str]) -> bool:
        """Return whether the JSON of these rows says all, for columns of *types* too."""
        if any(type_ == "date" or type_.startswith("decimal") for type_ in types):
            return False
        kinds: set[type] = set()
        for row in self.values:
            kinds.update(map(type, row.values()))
        return kinds.isdisjoint((date, Decimal))

    def search(self, path: Path) -> list[Value]:
        """Return for each row the value at *path*, as `since` has it."""
        return [_value(path, row) for row in self.values]


def _value(path: Path, row: dict[str, Any]) -> Value:
    try:
        value = path.search(row)
    except ValueError:
        return None
    if value is None or type(value) in (str, int, float):
        return value  # type: ignore[no-any-return]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return encode(value).decode()
