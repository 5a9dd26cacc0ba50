"""
The form that is learned: types inferred over all rows, remembered, and widened by the rules.

The first values of a column decide its type; later ones may widen it (`core.types.widen`),
else their row is a dead letter. The rows that are dead decide nothing. Once a page has been
seen, the next are decoded straight into the types remembered; a page that does not fit
them goes the general way, which alone changes what is remembered.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import pyarrow as pa

from api2db.core.types import EXACT_INT, JSON, arrow_type, decimal_for, kind_of, name_of, widen
from api2db.core.values import digits, json_kind
from api2db.ingest.form_convert import INT64, MISFIT, Converted, bulk, convert, decimal_array
from api2db.ingest.form_convert import json_array, span
from api2db.ingest.form_shape import Shape, Uncompilable
from api2db.ingest.form_table import LEAF, LooseRows, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from api2db.ingest.form_convert import Array
    from api2db.ingest.form_path import Path

logger = logging.getLogger(__name__)

Schema: TypeAlias = Literal["evolve", "freeze", "ignore"]

#: Most columns that are inferred: an API that uses ids as keys must not fill a table.
MAX_COLUMNS = 1_000

_INT, _FLOAT, _BOOL = arrow_type("int"), arrow_type("float"), arrow_type("bool")
_STR, _DATETIME = arrow_type("str"), arrow_type("datetime")
_WHOLE = arrow_type("decimal(38,0)")
_NONE = type(None)
_CONTAINERS = {dict, list}

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Known:
    """
    What is remembered of a column.

    Attributes:
        type: Its type; None while all its values were null: the column is not made yet.
        big: Whether it has held integers beyond 2^53, which a float would not keep.
    """

    type: pa.DataType | None = None
    big: bool = False


class Inferred:
    """
    A plan that learns its columns.

    Args:
        schema: Whether new columns are added and types widened (``evolve``), or rows with
            something new are dead letters (``freeze``), or unknown keys are left out and
            values that do not fit are dead letters (``ignore``). The first rows ever seen
            always decide what the columns are.
        remembered: What `memory` returned.
    """

    def __init__(self, schema: Schema, remembered: Mapping[str, Any]) -> None:
        self._schema = schema
        big = remembered.get("big", ())
        self._known = {
            name: Known(None if type_ == "null" else arrow_type(type_), name in big)
            for name, type_ in remembered.get("columns", {}).items()
        }
        self._ignored: set[str] = set()
        self.shape = self._compile()

    def memory(self) -> dict[str, Any]:
        """Return ``{columns: {name: type or "null"}, big: [name, ...]}``, in order."""
        columns = {
            name: "null" if known.type is None else name_of(known.type)
            for name, known in self._known.items()
        }
        return {"columns": columns, "big": [n for n, known in self._known.items() if known.big]}

    def _compile(self) -> Shape | None:
        if not any(known.type is not None for known in self._known.values()):
            return None
        leaves = [((name,), _leaf(known)) for name, known in self._known.items()]
        try:
            return Shape(leaves, closed=not self._ignored)
        except Uncompilable:
            return None

    def since(self, items: list[Any], path: Path) -> list[Any] | None:
        """Return the values at *path*, if it is a column of text or numbers."""
        if self.shape is None or path.steps is None:
            return None
        if self.shape.leaf(path.steps) in (LEAF["int"], LEAF["float"], LEAF["str"]):
            return self.shape.pluck(items, path.steps, {})
        return None

    # -- the quick way -----------------------------------------------------------------

    def typed(self, items: list[Any]) -> Table | None:
        """Return all remembered columns of decoded rows; None if a value does not fit."""
        assert self.shape is not None
        table = Table({}, len(items))
        big: list[str] = []
        for name, known in self._known.items():
            if known.type is None:
                continue
            values = self.shape.pluck(items, (name,), {})
            try:
                array = _array(known.type, values)
            except MISFIT:
                return None
            if known.type == _INT and not known.big and _is_big(array):
                big.append(name)
            table.columns[name] = array
        for name in big:
            self._known[name] = Known(_INT, big=True)
        return table

    # -- the general way ---------------------------------------------------------------

    def loose(self, rows: LooseRows) -> Table:
        """Return all columns of any rows, and remember what was learned from those that fit."""
        dead = {
            i: f"the row is {json_kind(row)}, not an object"
            for i, row in enumerate(rows.values)
            if type(row) is not dict
        }
        alive = [i for i in range(len(rows.values)) if i not in dead]
        while True:
            page = _Page(rows, alive)
            known, columns, misfits = self._columns(page)
            if not misfits:
                break
            dead |= {alive[at]: why for at, why in misfits.items()}
            alive = [i for i in alive if i not in dead]
        if not columns and alive:
            why = "the row has no value, and no column is known yet"
            dead |= dict.fromkeys(alive, why)
            alive = []
        self._learn(known)
        return Table(_spread(columns, alive, len(rows.values)), len(rows.values), dead)

    def _columns(self, page: _Page) -> tuple[dict[str, Known], dict[str, Array], dict[int, str]]:
        """Return what would be known, the columns, and the positions that do not fit."""
        evolve = self._schema == "evolve" or not self._known
        known, columns = dict(self._known), {}
        table = Table({}, page.n_rows)
        new = [key for key in page.keys if key not in known]
        admitted = new[: max(0, MAX_COLUMNS - len(known))] if evolve else []
        known |= dict.fromkeys(admitted, Known())
        for name in known:
            values = page.column(name)
            known[name], converted = _column(known[name], values, page, name, evolve=evolve)
            if converted is not None:
                columns[name] = converted.array
                table.bury(name, converted.misfits)
        self._refuse(new[len(admitted) :], page, table)
        return known, columns, table.dead

    def _refuse(self, unknown: list[str], page: _Page, table: Table) -> None:
        """Declare rows dead that hold unknown keys, or leave the keys out."""
        if self._schema == "ignore" and self._known:
            if unknown and not self._ignored.issuperset(unknown):
                logger.warning("columns_ignored", extra={"columns": unknown[:20]})
                self._ignored.update(unknown)
                self.shape = self._compile()
            return
        why = "is not known, and the schema is frozen"
        if self._schema == "evolve":
            why = f"would be one of more than {MAX_COLUMNS}; declare the 'columns' to keep"
        for name in unknown:
            values = page.column(name)
            table.bury(name, {i: why for i, x in enumerate(values) if x is not None})

    def _learn(self, known: dict[str, Known]) -> None:
        if known != self._known:
            self._known = known
            self.shape = self._compile()


class _Page:
    """The rows (all objects) of one page that are still alive, by column."""

    def __init__(self, rows: LooseRows, alive: list[int]) -> None:
        everyone = len(alive) == len(rows.values)
        self._rows = rows.values if everyone else [rows.values[i] for i in alive]
        self._raws = rows.raws if everyone else [rows.raws[i] for i in alive]
        self._raw_rows: list[dict[str, Any]] | None = None
        shapes = dict.fromkeys(map(tuple, self._rows))
        self.n_rows = len(self._rows)
        self.keys = list(dict.fromkeys(chain.from_iterable(shapes)))  # first seen, first
        self._whole: dict[str, Any] = {}
        if len(shapes) == 1 and self.keys:
            columns = zip(*map(dict.values, self._rows), strict=True)
            self._whole = dict(zip(self.keys, columns, strict=True))

    def column(self, name: str) -> Any:
        """Return the values of a key; None where a row has none."""
        found = self._whole.get(name)
        return [row.get(name) for row in self._rows] if found is None else found

    def raws(self, name: str) -> list[Any]:
        """Return the values of a key as JSON; null where a row has none."""
        if self._raw_rows is None:
            self._raw_rows = [_raw_object(raw) for raw in self._raws]
        return [row.get(name, b"null") for row in self._raw_rows]


def _leaf(known: Known) -> Any:
    if known.type is None:
        return None
    kind = kind_of(known.type)
    return LEAF["float"] if kind == "decimal" else LEAF[kind]


def _spread(columns: dict[str, Array], alive: list[int], n_rows: int) -> dict[str, Array]:
    """Put the values of the rows alive at their places among all; dead rows get NULL."""
    if len(alive) == n_rows:
        return columns
    places: list[int | None] = [None] * n_rows
    for at, i in enumerate(alive):
        places[i] = at
    indices = pa.array(places, pa.int64())
    return {name: array.take(indices) for name, array in columns.items()}


# -- one column ------------------------------------------------------------------------


def _column(
    known: Known, values: Any, page: _Page, name: str, *, evolve: bool
) -> tuple[Known, Converted | None]:
    """Return what is known of a column after this page, and its values; None for no column."""
    types = set(map(type, values)) - {_NONE}
    if known.type is None and not types:
        return known, None
    big = known.big or any(type(v) is int and not -EXACT_INT <= v <= EXACT_INT for v in values)
    if known.type is None:
        type_ = _first(types, values, big=big)
    else:
        type_ = _widened(known.type, types, values, big=big) if evolve else known.type
    converted = _converted(type_, values, lambda: page.raws(name))
    type_ = converted.array.type  # decimals may have got more digits
    return Known(type_, big and type_ == _INT), converted


def _classes(types: set[type], values: Any) -> list[pa.DataType]:
    """Return the types of the values, each kind for itself, in the order to widen by."""
    found: list[pa.DataType] = []
    if bool in types:
        found.append(_BOOL)
    if int in types:
        outside = any(type(v) is int and v not in INT64 for v in values)
        found.append(_WHOLE if outside else _INT)
    if float in types:
        found.append(_FLOAT)
    if str in types:
        texts = [v for v in values if type(v) is str]
        found.append(_DATETIME if _are_instants(texts) else _STR)
    if types & _CONTAINERS:
        found.append(JSON)
    return found


def _first(types: set[type], values: Any, *, big: bool) -> pa.DataType:
    """Return the type of a column by its first values (some are not null)."""
    classes = _classes(types, values)
    if JSON in classes:
        return JSON
    if len(classes) == 1:
        return classes[0]
    if types == {int, float}:
        return arrow_type("decimal") if big else _FLOAT
    return _STR


def _widened(type_: pa.DataType, types: set[type], values: Any, *, big: bool) -> pa.DataType:
    """Return what *type_* widens into for these values; those that it never holds aside."""
    for new in _classes(types, values):
        type_ = widen(type_, new, big=big) or type_
    return type_


def _converted(type_: pa.DataType, values: Any, raws: Callable[[], list[Any]]) -> Converted:
    kind = kind_of(type_)
    if kind == "json":
        return Converted(json_array(raws()))
    if kind == "str":
        return _texts(values)
    if kind == "decimal":
        return _decimals(type_, values)
    return convert(type_, list(values))


def _texts(values: Any) -> Converted:
    """Return scalars as text: strings as they are, others as JSON."""
    texts: list[str | None] = []
    misfits: dict[int, str] = {}
    for i, value in enumerate(values):
        if value is None or type(value) is str:
            texts.append(value)
        elif type(value) in _CONTAINERS:
            misfits[i] = f"is {json_kind(value)}, and the column is text"
            texts.append(None)
        else:
            texts.append(_text(value).decode())
    return Converted(pa.array(texts, _STR), misfits)


def _decimals(type_: pa.DataType, values: Any) -> Converted:
    numbers: list[Decimal | None] = []
    misfits: dict[int, str] = {}
    for i, value in enumerate(values):
        number = None
        if value is not None and type(value) not in (int, float):
            misfits[i] = f"is {json_kind(value)}, not a number"
        elif value is not None:
            number = _exactly(value)
            size = digits(number)
            if size is None or decimal_for(*size) is None:
                number = None
                misfits[i] = "is a number with too many digits for a decimal of 76"
        numbers.append(number)
    return Converted(*decimal_array(type_, numbers, misfits))


def _exactly(value: float) -> Decimal:
    return Decimal(repr(value)) if type(value) is float else Decimal(value)


def _array(type_: pa.DataType, values: list[Any]) -> Array:
    """Return what was decoded as `_leaf` says; raises `MISFIT` if a value does not fit."""
    if pa.types.is_decimal(type_):
        values = [None if v is None else _exactly(v) for v in values]
    return bulk(type_, values)


def _are_instants(texts: list[str]) -> bool:
    try:
        bulk(_DATETIME, texts)
    except MISFIT:
        return not convert(_DATETIME, texts).misfits
    return True


def _is_big(array: Array) -> bool:
    least, most = span(array)
    return least < -EXACT_INT or most > EXACT_INT
