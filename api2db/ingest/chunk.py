"""Rows that are Python values already, and need no decoding: what is not HTTP brings."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from api2db.core.values import float_or_exact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from api2db.ingest.form_path import Path
    from api2db.ingest.watermark import Value

#: Writes a value as JSON bytes; decimals as numbers with all their digits.
encode = msgspec.json.Encoder(decimal_format="number").encode
_decode = msgspec.json.Decoder().decode
_decode_far = msgspec.json.Decoder(float_hook=float_or_exact).decode

_NESTED = {dict, list}
#: JSON beyond the range of a float: what SQLite, too, writes for infinity.
_FAR = {inf: msgspec.Raw(b"1e999"), -inf: msgspec.Raw(b"-1e999")}


class Chunk:
    """
    Some rows, in order; read by `Form.parse` in place of a body.

    Args:
        values: The rows, or a function that makes them of *table* when they are asked for.

    Attributes:
        since: For each row the value by which it is new; None if the form is to find it.
        next: What the source needs to ask for the next page; None after the last.
        types: What is known of the columns' types, by name; the values tell the rest.
        table: The same rows as columns, if they came so; a form may need nothing else.
    """

    __slots__ = ("_dead", "_infinite", "_raws", "_values", "next", "since", "table", "types")

    def __init__(
        self,
        values: list[dict[str, Any]] | Callable[[], list[dict[str, Any]]],
        since: list[Value] | None = None,
        next: object = None,
        *,
        table: pa.Table | None = None,
    ) -> None:
        self.since = since
        self.next = next
        self.types: dict[str, str] = {}
        self.table = table
        self._values = values
        self._raws: list[bytes] | None = None
        self._dead: dict[int, str] = {}
        self._infinite: set[int] = set()

    @classmethod
    def of(cls, table: pa.Table, rows: Callable[[], list[dict[str, Any]]]) -> Chunk:
        """Return the *rows* of *table*, made only if a form needs more than the columns."""
        is_ = pa.types
        simple = (is_.is_int64, is_.is_float64, is_.is_boolean, is_.is_string, is_.is_timestamp)
        schema = table.schema
        if len(set(schema.names)) < len(schema) or not all(
            any(is_simple(type_) for is_simple in simple) for type_ in schema.types
        ):
            return cls(rows())
        return cls(rows, table=table)

    @property
    def values(self) -> list[dict[str, Any]]:
        """
        The n rows: dicts of None, bool, int, float, str, date, Decimal, and lists of these.

        Lists and dicts may be nested; instants are RFC 3339 text.
        """
        if not isinstance(self._values, list):
            self._values = self._values()
        return self._values

    @property
    def raws(self) -> list[bytes]:
        """The same rows as JSON."""
        if self._raws is None:
            self._raws = [self._encoded(i, row) for i, row in enumerate(self.values)]
        return self._raws

    @property
    def dead(self) -> dict[int, str]:
        """Rows with a value that no JSON can hold, by place, and why."""
        assert self.raws is not None  # they are found when the JSON is made
        return self._dead

    @property
    def infinite(self) -> set[int]:
        """Places of rows with an infinite float, which is ``1e999`` in their JSON."""
        assert self.raws is not None
        return self._infinite

    def _encoded(self, i: int, row: dict[str, Any]) -> bytes:
        try:
            raw = encode(row)
            nulls = raw.count(b"null")
            if (nulls and nulls > [*row.values()].count(None)) or b"Infinity" in raw:
                return self._with_infinities(i, row, raw)
            return raw
        except UnicodeEncodeError:
            self._dead[i] = "the row holds half a character (a lone surrogate)"
            return repr(row).encode("utf-8", "backslashreplace")
        except RecursionError:
            self._dead[i] = "the row is nested too deeply"
            return b"null"

    def _with_infinities(self, i: int, row: dict[str, Any], raw: bytes) -> bytes:
        """Return *raw*, in which a null may be an infinite float, and the rest no JSON."""
        values = row.values()
        if not _NESTED.isdisjoint(map(type, values)) and any(
            type(value) in _NESTED and holds_infinity(value) for value in values
        ):
            self._dead[i] = "the row holds an infinite number in a list or object: JSON has none"
        if inf not in values and -inf not in values:
            return raw
        self._infinite.add(i)
        return encode({k: _FAR[v] if _is_infinite(v) else v for k, v in row.items()})

    def with_infinities(self, values: list[Any]) -> list[Any]:
        """Return *values*, decoded from `raws`, with the infinite floats of columns in them."""
        for i in self.infinite - self._dead.keys():
            if values[i] is not None:
                values[i] |= {k: v for k, v in self.values[i].items() if type(v) is float}
        return values

    def extend(self, other: Chunk) -> None:
        """Add the rows of *other* at the end."""
        self.dead.update({len(self.values) + i: why for i, why in other.dead.items()})
        self.infinite.update(len(self.values) + i for i in other.infinite)
        self.raws.extend(other.raws)
        self.values.extend(other.values)
        self.table = None

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
        if not kinds.isdisjoint((date, Decimal)):
            return False
        return not self.infinite

    def search(self, path: Path) -> list[Value]:
        """Return for each row the value at *path*, as `since` has it."""
        return [_value(path, row) for row in self.values]


def holds_infinity(value: object) -> bool:
    """Return whether *value* is an infinite number, or holds one at any depth."""
    if type(value) is dict:
        return any(map(holds_infinity, value.values()))
    if type(value) is list:
        return any(map(holds_infinity, value))
    return _is_infinite(value)


def _is_infinite(value: object) -> bool:
    return type(value) in (float, Decimal) and value in _FAR


def decoded(raw: str | bytes | msgspec.Raw) -> Any:
    """Return what JSON stands for; a number beyond the range of a float is a Decimal."""
    try:
        return _decode(raw)
    except msgspec.ValidationError:
        return _decode_far(raw)


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
