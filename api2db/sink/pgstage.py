"""The temporary table through which rows reach columns that are not exactly of our types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from psycopg import sql

from api2db.core import types
from api2db.core.errors import SinkRejected
from api2db.sink import pgcopy
from api2db.sink.identifier import quote
from api2db.sink.pgcatalog import BASE
from api2db.sink.pgexact import altered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from api2db.sink.table import Target

#: Its name; ``n`` is the order of the rows, ``c0`` ... their values.
STAGE = "pg_temp._api2db_stage"


class Stage:
    """
    The stage of one connection: filled by each load that needs it, emptied by its commit.

    Columns of a user's own types get their values as text. Reading a text, PostgreSQL may
    round, cut off or drop a zone; `check` refuses rows before it does.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._made: tuple[tuple[str, str], ...] = ()
        self._empty = True
        self._bases: dict[str, str] = {}  # type -> what it stands for; a domain keeps it
        self._conditions: dict[int, str] = {}

    def forget(self) -> None:
        """Expect no table: the transaction that may have made it was rolled back."""
        self._made = ()

    def begin(self) -> None:
        """Expect an empty table: the last transaction has ended."""
        self._empty = True

    def fill(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        """
        Copy rows into the table, in place of what it holds.

        Raises:
            SinkRejected: A column of the target would alter one of their values.
        """
        made = tuple((f"c{i}", _sent_as(target)) for i, target in enumerate(targets))
        if made != self._made:
            self._run(f"drop table if exists {STAGE}")
            self._run(_create(made))
            self._made = made
        elif not self._empty:
            self._run(f"truncate {STAGE} restart identity")
        self._empty = False
        self._conditions = {}
        self._copy(columns, targets)
        self._conditions = self._altering(targets)
        if self._conditions and self._altered(" or ".join(self._conditions.values()), " limit 1"):
            raise SinkRejected("a column would round, cut off or change a value")

    def blamed(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> dict[int, str]:
        """Return which rows of *columns* have a value that would be altered, after `fill`."""
        if not self._conditions:
            return {}
        # What was filled in may have been the last row of each key only.
        self._run(f"truncate {STAGE} restart identity")
        self._copy(columns, targets)
        bad: dict[int, str] = {}
        for i, condition in self._conditions.items():
            reason = f"{targets[i].name}: a column of type {targets[i].sql} would alter this value"
            bad |= dict.fromkeys(self._altered(condition), reason)
        return bad

    def _copy(self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]) -> None:
        into = ", ".join(name for name, _ in self._made)
        copy_rows(self._connection, f"{STAGE} ({into})", columns, targets)

    def _run(self, query: str, *params: object) -> psycopg.Cursor[tuple[Any, ...]]:
        return self._connection.execute(sql.SQL(query), params or None)

    def _altered(self, condition: str, end: str = "") -> list[int]:
        found = self._run(f"select n - 1 from {STAGE} where {condition}{end}")
        return [row[0] for row in found]

    def _altering(self, targets: Sequence[Target]) -> dict[int, str]:
        """Return the condition under which each column alters a value, by its place."""
        found = {}
        for i, target in enumerate(targets):
            if not target.natural:
                condition = altered(f"c{i}", target.sql, self._base(target.sql))
                if condition:
                    found[i] = condition
        return found

    def _base(self, sql: str) -> str:
        if sql not in self._bases:
            row = self._run(BASE, sql).fetchone()
            self._bases[sql] = row[0] if row else sql
        return self._bases[sql]


def copy_rows(
    connection: psycopg.Connection[tuple[Any, ...]],
    into: str,
    columns: Mapping[str, pa.ChunkedArray[Any]],
    targets: Sequence[Target],
) -> None:
    """Copy *columns* into a table of exactly our types; *into* names it and its columns."""
    kinds = ["str" if target.kind == "decimal" else target.kind for target in targets]
    statement = sql.SQL(f"copy {into} from stdin (format binary)")
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(pgcopy.HEADER)
        for rows in _slices([columns[target.name] for target in targets]):
            copy.write(memoryview(pgcopy.encode(rows, kinds)))
        copy.write(pgcopy.TRAILER)


def _slices(columns: Sequence[pa.ChunkedArray[Any]]) -> Iterator[list[pa.Array[Any]]]:
    """Yield the columns a run of rows at a time, each without an inner boundary."""
    table = pa.Table.from_arrays(list(columns), names=[str(i) for i in range(len(columns))])
    for batch in table.to_batches():
        if batch.num_rows:
            yield batch.columns


def _create(columns: Sequence[tuple[str, str]]) -> str:
    body = ", ".join(f"{name} {type_}" for name, type_ in columns)
    return (
        "create temporary table _api2db_stage"
        f" (n bigint generated always as identity, {body}) on commit delete rows"
    )


def _sent_as(target: Target) -> str:
    """Return the type of ours in which the values of *target* are staged."""
    kind = "str" if target.kind == "decimal" else target.kind
    return types.sql_type(types.arrow_type(kind), "postgresql")


def read(i: int, target: Target) -> str:
    """
    Return the SQL that reads the value of column *i* of the stage as the column's type.

    Reading a text refuses what does not fit, where a cast between numbers would round.
    """
    return f"c{i}" if target.natural and target.kind != "decimal" else f"c{i}::{target.sql}"


def where_changed(rest: Sequence[Target]) -> str:
    """Return the condition that spares rows in which none of *rest* changes, "" for none."""
    if not all(target.natural for target in rest):
        return ""  # types that are not ours may have no comparison
    # An unchanged row costs no new version.
    names = [quote(target.ident) for target in rest]
    old = ", ".join(f"existing.{name}" for name in names)
    new = ", ".join(f"excluded.{name}" for name in names)
    return f"where ({old}) is distinct from ({new})"
