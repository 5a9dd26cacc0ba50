"""What the two kinds of form, declared and inferred, have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api2db.ingest.form_convert import Array
    from api2db.ingest.form_envelope import Raw
    from api2db.ingest.form_path import Path
    from api2db.ingest.form_shape import Shape

#: What msgspec decodes for each kind of type; a column's default is null.
LEAF: dict[str, Any] = {
    "int": int | None,
    "float": int | float | None,  # to see integers that a float would not keep
    "bool": bool | None,
    "str": str | None,
    "datetime": str | None,
    "date": str | None,
    "decimal": Decimal | None,
    "json": msgspec.Raw,
}

#: What msgspec decodes for a `since` value: nothing else has an order.
SINCE_LEAF = str | int | float | None


@dataclass(frozen=True, slots=True)
class LooseRows:
    """
    Rows decoded one by one to dicts, lists and scalars: the general, slow way.

    Attributes:
        raws: The JSON of each row.
        values: The same rows, decoded.
    """

    raws: list[Raw]
    values: list[Any]


@dataclass(slots=True)
class Table:
    """
    The columns of some rows.

    Attributes:
        columns: Name -> array, n values each, in order.
        dead: Position of each row that does not fit -> why. Its values are still there.
        n_rows: n.
    """

    columns: dict[str, Array]
    n_rows: int
    dead: dict[int, str] = field(default_factory=dict)

    def batch(self) -> pa.RecordBatch:
        """Return the rows that fit."""
        batch = pa.RecordBatch.from_arrays(list(self.columns.values()), list(self.columns))
        if not self.dead or batch.num_columns == 0:
            return batch
        alive = [i not in self.dead for i in range(self.n_rows)]
        return batch.filter(pa.array(alive, pa.bool_()))

    def only(self, kept: Sequence[int]) -> Table:
        """Return the rows at *kept*; none of them is dead."""
        places = pa.array(kept, pa.int64())
        return Table({name: a.take(places) for name, a in self.columns.items()}, len(kept))

    def bury(self, column: str, misfits: Mapping[int, str]) -> None:
        """Declare rows dead whose value in *column* does not fit; the first reason stays."""
        for i, why in misfits.items():
            self.dead.setdefault(i, f"column {column!r} {why}")


class Plan(Protocol):
    """
    Turns rows into columns.

    Attributes:
        shape: What the decoder decodes a row into, None if there is no quick way (yet).
    """

    shape: Shape | None

    def memory(self) -> dict[str, Any]:
        """Return what the next plan must know, as JSON-able values."""
        ...

    def expect(self, types: Mapping[str, str]) -> None:
        """Learn the types of columns that are not known yet, before their values are seen."""
        ...

    def since(self, items: list[Any], path: Path) -> list[Any] | None:
        """Return the values at *path* of decoded rows; None if they do not hold it."""
        ...

    def typed(self, items: list[Any]) -> Table | None:
        """Return the columns of rows decoded into `shape`; None if they need `loose`."""
        ...

    def arrow(self, table: pa.Table) -> Table | None:
        """Return the columns of rows that are columns; None if they need `typed` or `loose`."""
        ...

    def loose(self, rows: LooseRows) -> Table:
        """Return the columns of any rows."""
        ...
