"""Columns of BigQuery: their names and types, and what they would alter."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.sink.exact import inexact_decimals, inexact_json
from api2db.sink.load import YEARS, outside, where

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.cloud.bigquery import SchemaField, Table

    from api2db.sink.table import Target

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Most characters of a column's name, and of a table's.
NAME_LIMIT = 300
#: What a name may hold: BigQuery allows more, but not every part of it.
_NAME = re.compile(r"[^\W\d][\w -]*")
_TABLE = re.compile(r"\w[\w -]*")
_FORBIDDEN = re.compile(
    r"(_table_|_file_|_partition|_row_timestamp|__root__|_colidentifier|_change_).*", re.IGNORECASE
)
#: The catalog's names of types -> SQL.
_LEGACY = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}
_SIZES = {"NUMERIC": "(38,9)", "BIGNUMERIC": "(76,38)"}
_NATURAL = {
    "INT64": "int",
    "FLOAT64": "float",
    "BOOL": "bool",
    "STRING": "str",
    "TIMESTAMP": "datetime",
    "DATE": "date",
    "JSON": "json",
}
_DECIMAL = re.compile(r"(?:BIG)?NUMERIC\((\d+),(\d+)\)")
_SIZED = re.compile(r"STRING\((\d+)\)")
#: First and last day, in days since 1970.
_DAYS = (-719_162, 2_932_896)
#: What BigQuery widens in place.
_IN_PLACE = frozenset({("INT64", "NUMERIC"), ("INT64", "BIGNUMERIC"), ("INT64", "FLOAT64")})
#: An instant as `core.types` writes it.
_ISO = (
    "regexp_replace(regexp_replace(format_timestamp('%Y-%m-%dT%H:%M:%E6S', {0}),"
    r" r'\.000000$', ''), r'(\.\d{{3}})000$', r'\1') || 'Z'"
)


def quote(name: str) -> str:
    """Return *name*, which `column` or `is_name` let pass, as an identifier."""
    return f"`{name}`"


def literal(text: str) -> str:
    """Return *text* as a string of SQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r") + "'"


def is_name(name: str, *, table: bool = False) -> bool:
    """Return whether *name* can be that of a column, or of a *table*."""
    fits = len(name) <= NAME_LIMIT and name == name.rstrip()
    pattern = _TABLE if table else _NAME
    return bool(fits and pattern.fullmatch(name) and not _FORBIDDEN.fullmatch(name))


def column(name: str) -> str:
    """Return *name*, or what stands for it: it depends on *name* alone."""
    if is_name(name):
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    head = re.sub(r"[^\w -]", "_", name)[: NAME_LIMIT - 12]
    return f"c_{head}_{digest}"


def sql_type(field: SchemaField) -> str:
    """Return the type of a column of the catalog in SQL."""
    name = _LEGACY.get(field.field_type, field.field_type)
    if field.precision is not None:
        name += f"({field.precision},{field.scale or 0})"
    elif field.max_length is not None:
        name += f"({field.max_length})"
    else:
        name += _SIZES.get(name, "")
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def held(sql: str) -> pa.DataType | None:
    """Return the Arrow type of which *sql* is the natural type, None if it is not ours."""
    kind = _NATURAL.get(sql)
    if kind is not None:
        return types.arrow_type(kind)
    match = _DECIMAL.fullmatch(sql)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    if scale > precision:
        return None
    made = pa.decimal128 if precision <= 38 else pa.decimal256
    type_: pa.DataType = made(precision, scale)
    return type_ if types.sql_type(type_, "bigquery") == sql else None


def kind_of(sql: str, coming: pa.DataType) -> str | None:
    """Return the kind of values to send for *coming* to a column of type *sql*, None for text."""
    natural = held(sql)
    if natural is not None:
        return types.kind_of(natural)
    if sql == "DATETIME" and pa.types.is_timestamp(coming):
        return "datetime"
    return "decimal" if _DECIMAL.fullmatch(sql) else None


def staged_type(kind: str) -> str:
    """Return the type in which values of *kind* are staged."""
    return types.sql_type(
        types.arrow_type("str" if kind in ("decimal", "json") else kind), "bigquery"
    )


def value(staged: str, target: Target) -> str:
    """Return the SQL of the staged column *staged* as a value of the target's column."""
    if target.sql == "JSON":
        return f"parse_json({staged}, wide_number_mode=>'exact')"
    if target.sql == "DATETIME":
        return f"datetime({staged})"
    return f"cast({staged} as {target.sql})" if target.kind == "decimal" else staged


def converted(ident: str, kind: str, sql: str) -> str:
    """Return the SQL of a column that is natural for *kind* as a value of type *sql*."""
    text = f"cast({ident} as STRING)"
    if kind == "datetime":
        text = _ISO.format(ident)
    if sql == "STRING":
        return text
    if sql != "JSON":
        return f"cast({ident} as {sql})"
    if kind == "decimal":
        return f"parse_json({text}, wide_number_mode=>'exact')"
    return f"to_json({text if kind in ('datetime', 'date') else ident})"


def in_place(old: str, new: str) -> bool:
    """Return whether BigQuery has a statement that makes a column of *old* one of *new*."""
    return (old.partition("(")[0], new.partition("(")[0]) in _IN_PLACE


def untouched(table: Table, keys: Iterable[str]) -> bool:
    """Return whether a copy of a table's rows is all of it: nobody has made anything else there."""
    made = (
        table.description,
        table.labels,
        table.time_partitioning,
        table.range_partitioning,
        table.expires,
        table.encryption_configuration,
        table.view_query,
    )
    plain = all(
        field.mode == "NULLABLE"
        and not field.description
        and not field.policy_tags
        and not field.default_value_expression
        for field in table.schema
    )
    return plain and not any(made) and set(table.clustering_fields or ()) <= set(keys)


def unfit(array: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
    """Return the rows of *array* that the column would alter or refuse, with reasons."""
    name, sql = target.name, target.sql
    decimal, sized = _DECIMAL.fullmatch(sql), _SIZED.fullmatch(sql)
    if target.kind == "datetime":
        return outside(array, YEARS, f"{name}: only the years 1 to 9999 can be stored")
    if target.kind == "date":
        return outside(array, _DAYS, f"{name}: only the years 1 to 9999 can be stored")
    if sql == "JSON":
        return inexact_json(array, name, sql)
    if decimal is not None:
        return inexact_decimals(array, name, sql, int(decimal[1]), int(decimal[2]))
    if sized is not None:
        long = _kernel.greater(_kernel.utf8_length(array), int(sized[1])).fill_null(False)
        return dict.fromkeys(where(long.combine_chunks()), f"{name}: a {sql} cannot hold it")
    if not target.natural:
        reason = f"{name}: a column of type {sql} takes no values from here"
        return dict.fromkeys(where(array.is_valid().combine_chunks()), reason)
    return {}
