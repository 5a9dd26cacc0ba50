"""A table of DuckDB in its catalog, and how its columns change."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core import types
from api2db.sink.identifier import quote
from api2db.sink.sql import LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

    Run = Callable[..., duckdb.DuckDBPyConnection]

#: Makes the marker table.
CREATE_LEDGER = f"""
create table if not exists main.{LEDGER} (
  batch_id VARCHAR primary key,
  spool VARCHAR not null,
  collector VARCHAR not null,
  stream VARCHAR not null,
  n_rows BIGINT not null,
  loaded_at TIMESTAMP WITH TIME ZONE not null default now()
)"""
#: Inserts markers (spool, collector, stream, ids, rows of each); returns the new ones.
INSERT_MARKERS = f"""
insert into main.{LEDGER} (batch_id, spool, collector, stream, n_rows)
select unnest($4), $1, $2, $3, unnest($5) on conflict do nothing returning batch_id"""

# DuckDB folds the case of ASCII letters only; its lower() folds more.
_FOLD = "translate({}, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
#: Rows of the catalog that belong to a table (schema, name).
_HERE = (
    f"where database_name = current_database() and {_FOLD.format('schema_name')} ="
    f" {_FOLD.format('$1')} and {_FOLD.format('table_name')} = {_FOLD.format('$2')}"
)
#: Columns of a table, with their types.
COLUMNS = f"select column_name, data_type from duckdb_columns() {_HERE} order by column_index"
_KEYS = f"""
select constraint_column_names from duckdb_constraints() {_HERE}
 and constraint_type in ('PRIMARY KEY', 'UNIQUE')"""
_INDEXES = f"select expressions::VARCHAR[] from duckdb_indexes() {_HERE} and is_unique"
#: What a person has made that a change of a column would meet, or lose.
_MADE = f"""
select (select count(*) from duckdb_indexes() {_HERE})
 + (select count(*) from duckdb_constraints() {_HERE}
    and constraint_type not in ('PRIMARY KEY', 'NOT NULL'))
 + (select count(*) from duckdb_columns() {_HERE}
    and (column_default is not null or comment is not null))"""
_NULLABLE = f"""
select column_name, data_type, is_nullable from duckdb_columns() {_HERE} order by column_index"""
_PRIMARY = f"""
select constraint_column_names from duckdb_constraints() {_HERE}
 and constraint_type = 'PRIMARY KEY'"""
_PLAIN = re.compile(r"\w+")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_NATURAL = {
    "BIGINT": "int",
    "DOUBLE": "float",
    "BOOLEAN": "bool",
    "VARCHAR": "str",
    "TIMESTAMP WITH TIME ZONE": "datetime",
    "DATE": "date",
    "JSON": "json",
}
#: Decimals that `core.types` makes.
_OURS = frozenset({(38, 0), (38, 9), (38, 18)})
#: An instant as `core.types` writes it.
_ISO = (
    "regexp_replace(regexp_replace(strftime({0} at time zone 'UTC', '%Y-%m-%dT%H:%M:%S.%f'),"
    " '\\.000000$', ''), '(\\.\\d{{3}})000$', '\\1') || 'Z'"
)
#: All digits that a decimal needs.
_DIGITS = "regexp_replace(regexp_replace({0}::VARCHAR, '(\\.\\d*?)0+$', '\\1'), '\\.$', '')"


def held(sql: str) -> pa.DataType | None:
    """Return the Arrow type of which *sql* is the natural type, None if it is not ours."""
    kind = _NATURAL.get(sql)
    if kind is not None:
        return types.arrow_type(kind)
    match = _DECIMAL.fullmatch(sql)
    if match is None or (int(match[1]), int(match[2])) not in _OURS:
        return None
    return pa.decimal128(int(match[1]), int(match[2]))


def unique_keys(run: Run, schema: str, table: str) -> list[set[str]]:
    """Return the columns of each primary key, unique constraint and unique index."""
    keys = [set(row[0]) for row in run(_KEYS, schema, table).fetchall()]
    for (expressions,) in run(_INDEXES, schema, table).fetchall():
        names = [_name(expression) for expression in expressions]
        if None not in names:
            keys.append({name for name in names if name is not None})
    return keys


def primary_key(run: Run, schema: str, table: str) -> list[str]:
    """Return the columns of the primary key, none if there is none."""
    found: list[tuple[list[str]]] = run(_PRIMARY, schema, table).fetchall()
    return found[0][0] if found else []


def untouched(run: Run, schema: str, table: str) -> bool:
    """Return whether no person has made an index, a check, a default or a comment there."""
    return run(_MADE, schema, table).fetchall() == [(0,)]


def converted(column: str, kind: str, to: str) -> str:
    """Return the SQL of *column* (quoted), natural for *kind*, as a value of type *to*."""
    if kind == "datetime" and to in ("VARCHAR", "JSON"):
        column = _ISO.format(column)
    elif kind == "date" and to == "JSON":
        column = f"{column}::VARCHAR"
    elif kind == "decimal" and to in ("VARCHAR", "JSON"):
        return f"{_DIGITS.format(column)}::{to}"
    return f"to_json({column})" if to == "JSON" else f"{column}::{to}"


def rebuild(run: Run, schema: str, table: str, ident: str, value: str, to: str) -> None:
    """
    Copy a table into a new one in which column *ident* has type *to*, as *value* says.

    DuckDB has no statement for that if the column belongs to the key. The caller's
    transaction makes it whole.
    """
    old, name = f"{quote(schema)}.{quote(table)}", f"{table}_api2db_rebuilt"
    new = f"{quote(schema)}.{quote(name)}"
    lines, values = [], []
    for column, sql, nullable in run(_NULLABLE, schema, table).fetchall():
        here = column == ident
        lines.append(f"{quote(column)} {to if here else sql}{'' if nullable else ' not null'}")
        values.append(value if here else quote(column))
    keys = ", ".join(map(quote, primary_key(run, schema, table)))
    run(f"create table {new} ({', '.join(lines)}, primary key ({keys}))")
    run(f"insert into {new} select {', '.join(values)} from {old}")
    run(f"drop table {old}")
    run(f"alter table {new} rename to {quote(table)}")


def _name(expression: str) -> str | None:
    """Return the column that an expression of an index is, None if it is more than one."""
    if _PLAIN.fullmatch(expression):
        return expression
    if _QUOTED.fullmatch(expression):
        return expression[1:-1].replace('""', '"')
    return None
