"""
The form that is learned: types inferred over all rows, remembered, and widened by the rules.

The first values of a column decide its type; later ones may widen it (`core.widening`),
else their row is a dead letter. The rows that are dead decide nothing. Once a page has been
seen, the next are decoded straight into the types remembered; a page that does not fit
them goes the general way, which alone changes what is remembered.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec
import pyarrow as pa

from api2db.core.casting import cast
from api2db.core.types import arrow_type, name_of
from api2db.core.values import json_kind
from api2db.ingest.form_convert import MISFIT
from api2db.ingest.form_shape import Shape, Uncompilable
from api2db.ingest.form_table import LEAF, LooseRows, Table
from api2db.ingest.form_widening import Known, array_of, column, exactly, is_big, leaf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api2db.ingest.form_convert import Array
    from api2db.ingest.form_path import Path

logger = logging.getLogger(__name__)

Schema: TypeAlias = Literal["evolve", "freeze", "ignore"]

#: Most columns that are inferred: an API that uses ids as keys must not fill a table.
MAX_COLUMNS = 1_000

_INT = arrow_type("int")

_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


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

    def expect(self, types: Mapping[str, str]) -> None:
        """Take *types* for columns that are not known yet, if columns may be added."""
        new = types.keys() - self._known.keys()
        if new and (self._schema == "evolve" or not self._known):
            room = MAX_COLUMNS - len(self._known)
            names = [name for name in types if name in new][: max(0, room)]
            self._known |= {name: Known(arrow_type(types[name])) for name in names}
            self.shape = self._compile()

    def _compile(self) -> Shape | None:
        if not any(known.type is not None for known in self._known.values()):
            return None
        leaves = [((name,), leaf(known)) for name, known in self._known.items()]
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
                array = array_of(known.type, values)
            except MISFIT:
                return None
            if known.type == _INT and not known.big and is_big(array):
                big.append(name)
            table.columns[name] = array
        for name in big:
            self._known[name] = Known(_INT, big=True)
        return table

    def arrow(self, table: pa.Table) -> Table | None:
        """Return all remembered columns of an Arrow table; None unless each has its very type."""
        names = set(table.column_names)
        if self.shape is None or not names <= self._known.keys():
            return None
        found = Table({}, table.num_rows)
        for name, known in self._known.items():
            if name not in names:
                if known.type is not None:
                    found.columns[name] = cast(pa.nulls(table.num_rows), known.type)
                continue
            array = None if known.type is None else exactly(known.type, table.column(name))
            if array is None:
                return None
            found.columns[name] = array
        for name in names:
            if self._known[name].type == _INT and is_big(found.columns[name]):
                self._known[name] = Known(_INT, big=True)
        return found

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
            known[name], converted = column(
                known[name], values, partial(page.raws, name), evolve=evolve
            )
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


def _spread(columns: dict[str, Array], alive: list[int], n_rows: int) -> dict[str, Array]:
    """Put the values of the rows alive at their places among all; dead rows get NULL."""
    if len(alive) == n_rows:
        return columns
    places: list[int | None] = [None] * n_rows
    for at, i in enumerate(alive):
        places[i] = at
    indices = pa.array(places, pa.int64())
    return {name: array.take(indices) for name, array in columns.items()}
