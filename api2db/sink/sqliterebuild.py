"""Another type for a column of SQLite, which has no statement for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from api2db.sink.identifier import quote
from api2db.sink.table import Stale

if TYPE_CHECKING:
    import sqlite3

#: What the statements hold by which we make a table, beside quoted names.
_OURS = frozenset(
    {
        *("create", "table", "if", "not", "exists", "primary", "key"),
        *("text", "integer", "real", "boolean"),
    }
)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_WORD = re.compile(r"\w+")


def is_ours(connection: sqlite3.Connection, table: str) -> bool:
    """
    Return whether *table* is as api2db makes one.

    A table is rebuilt to change a column; what a user has declared (checks, references,
    collations ...) would not survive that.

    Raises:
        Stale: It is gone.
    """
    query = "select sql from sqlite_master where type = 'table' and name = ? collate nocase"
    found = connection.execute(query, [table]).fetchone()
    if found is None:
        raise Stale("it was dropped")
    words = _WORD.findall(_QUOTED.sub("", found[0]).lower())
    return _OURS.issuperset(words)


def rebuild(connection: sqlite3.Connection, table: str, ident: str, kind: str, to: str) -> None:
    """
    Copy *table* into a new one in which column *ident*, of *kind*, has type *to*.

    Copying keeps affinity and values in step; indexes and triggers are made again. The
    caller's transaction makes it whole: a crash leaves the old table.
    """
    # SQLite's own cast of a float to text keeps 15 digits.
    connection.create_function("_api2db_digits", 1, _digits, deterministic=True)
    old, new = quote(table), quote(f"{table}_api2db_rebuilt")
    columns = connection.execute(f"pragma table_info({old})").fetchall()
    made_again = connection.execute(
        "select sql from sqlite_master where tbl_name = ? collate nocase"
        " and type in ('index', 'trigger') and sql is not null",
        [table],
    ).fetchall()
    lines = [f"{quote(c[1])} {to if c[1] == ident else c[2]}" for c in columns]
    keys = [quote(c[1]) for c in sorted(columns, key=lambda c: int(c[5])) if c[5]]
    if keys:
        lines.append(f"primary key ({', '.join(keys)})")
    values = [_converted(quote(c[1]), kind, to) if c[1] == ident else quote(c[1]) for c in columns]
    connection.execute(f"create table {new} ({', '.join(lines)})")
    connection.execute(f"insert into {new} select {', '.join(values)} from {old}")
    connection.execute(f"drop table {old}")
    connection.execute(f"alter table {new} rename to {old}")
    for (statement,) in made_again:
        connection.execute(statement)


def _digits(number: float | None) -> str | None:
    return None if number is None else repr(number)


def _converted(column: str, kind: str, to: str) -> str:
    """Return the SQL of *column*, of *kind*, as a value for a column of type *to*."""
    if to != "TEXT":
        return column
    if kind == "bool":
        return f"case when {column} is null then null when {column} then 'true' else 'false' end"
    if kind == "float":
        return f"_api2db_digits({column})"
    return f"cast({column} as text)"
