"""Rows that a load job can put into their table as they are, as a file of Parquet."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow.parquet import write_table

from api2db.core import types
from api2db.sink import bigquerycolumn as bq

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.cloud.bigquery import SchemaField, Table

    from api2db.sink.table import Target

#: What needs no cast on its way from Parquet.
_PLAIN = frozenset({"int", "float", "bool", "str", "datetime", "date"})
#: Names that mean the same in Parquet.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def arranged(
    table: Table, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
) -> pa.Table | None:
    """
    Return the rows with all columns of *table*, in its order; None if they need a stage.

    They do where a column is of a type that must be cast, has a default, or must not be NULL.
    """
    held = [_held(field) for field in table.schema]
    given = {target.ident: target for target in targets}
    names = [field.name for field in table.schema]
    if table.table_type != "TABLE" or not given.keys() <= set(names):
        return None
    n_rows = len(columns[targets[0].name])
    arrays: list[Any] = []
    for name, type_ in zip(names, held, strict=True):
        target = given.get(name)
        if type_ is None or (target is not None and not target.natural):
            return None
        null: Any = type_
        arrays.append(pa.nulls(n_rows, null) if target is None else columns[target.name])
    return pa.table(arrays, names=names)


def parquet(rows: pa.Table) -> bytes:
    """Return *rows* as a file."""
    made = BytesIO()
    write_table(rows, made, compression="snappy", write_statistics=False, store_schema=False)
    return made.getvalue()


def _held(field: SchemaField) -> pa.DataType | None:
    """Return the Arrow type of a column that a file can fill, None if it cannot."""
    plain = field.mode == "NULLABLE" and not field.default_value_expression
    type_ = bq.held(bq.sql_type(field)) if plain and _NAME.fullmatch(field.name) else None
    return type_ if type_ is not None and types.kind_of(type_) in _PLAIN else None
