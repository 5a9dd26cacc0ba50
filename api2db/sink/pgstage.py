"""The temporary table through which rows reach columns that are not exactly of our types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core import types
from api2db.sink.identifier import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from api2db.sink.table import Target

#: Its name; ``n`` is the order of the rows, ``c0`` ... their values.
STAGE = "pg_temp._api2db_stage"


def create_stage(columns: Sequence[tuple[str, str]]) -> str:
    """Return the statement that makes it, of (name, type); emptied by each commit."""
    body = ", ".join(f"{name} {type_}" for name, type_ in columns)
    return (
        "create temporary table _api2db_stage"
        f" (n bigint generated always as identity, {body}) on commit delete rows"
    )


def sent_as(target: Target) -> str:
    """Return the type of ours in which the values of *target* are staged."""
    kind = "str" if target.kind == "decimal" else target.kind
    return types.sql_type(types.arrow_type(kind), "postgresql")


def read(i: int, target: Target) -> str:
    """
    Return the SQL that reads the value of column *i* of the stage as the column's type.

    Reading a text refuses what does not fit, where a cast between numbers would round. But an
    explicit cast to ``varchar(n)`` cuts off, where an assignment refuses.
    """
    as_sent = target.natural and target.kind != "decimal"
    return f"c{i}" if as_sent or target.sql.startswith("character") else f"c{i}::{target.sql}"


def update(rest: Sequence[Target]) -> str:
    """Return what happens to a row whose key is there."""
    if not rest:
        return "nothing"
    names = [quote(target.ident) for target in rest]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names)
    if not all(target.natural for target in rest):
        return f"update set {changes}"
    # An unchanged row costs no new version. Types that are not ours may have no comparison.
    old = ", ".join(f"existing.{name}" for name in names)
    new = ", ".join(f"excluded.{name}" for name in names)
    return f"update set {changes} where ({old}) is distinct from ({new})"


def slices(columns: Sequence[pa.ChunkedArray[Any]]) -> Iterator[list[pa.Array[Any]]]:
    """Yield the columns a run of rows at a time, each without an inner boundary."""
    table = pa.Table.from_arrays(list(columns), names=[str(i) for i in range(len(columns))])
    for batch in table.to_batches():
        if batch.num_rows:
            yield batch.columns
