"""What is read from a database: a table or a query, and the statement of one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Column,
    MetaData,
    Select,
    Table,
    and_,
    inspect,
    literal_column,
    or_,
    select,
    text,
    type_coerce,
    types,
)
from sqlalchemy.exc import NoSuchTableError

from api2db.core.errors import FormError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.sql.elements import ColumnElement

#: From special to general: the first that fits decides.
_NAMES: tuple[tuple[Any, str], ...] = (
    (types.Boolean, "bool"),
    (types.Integer, "int"),
    (types.Float, "float"),
    (types.DateTime, "datetime"),
    (types.Date, "date"),
    (types.JSON, "json"),
    (types.ARRAY, "json"),
    (types.String, "str"),
    (types.Uuid, "str"),
    (types.LargeBinary, "str"),
    (types.Time, "str"),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """
    What to read, reflected.

    Attributes:
        source: For the FROM clause.
        columns: What is selected; one ``*`` for a query.
        keyset: The columns that order the pages: the cursor column, if any, then the key.
        nullable: Those of `keyset` that may be NULL.
        types: Column -> name of its type, ``null`` where only its values can tell;
            empty for a query.
        raw: Whether values come as the driver has them (`sql_value.from_sqlite`).
    """

    source: Any
    columns: list[Any]
    keyset: dict[str, ColumnElement[Any]]
    nullable: list[str]
    types: dict[str, str]
    raw: bool = False


def reflect_table(
    connection: Connection, name: str, key: Sequence[str], cursor: str | None
) -> Origin:
    """
    Return a table or view, as the database describes it.

    Raises:
        FormError: It is not there, or a column is not, or it has no key, or the dialect knows
            no way to describe it.
    """
    schema, _, plain = name.rpartition(".")
    try:
        table = Table(plain, MetaData(), schema=schema or None, autoload_with=connection)
    except NoSuchTableError as exc:
        there = ", ".join(sorted(inspect(connection).get_table_names(schema or None))[:20])
        hint = f"there are: {there}" if there else "check 'table'"
        raise FormError(f"there is no table {name!r}", hint=hint) from exc
    except NotImplementedError as exc:
        dialect = connection.dialect.name
        hint = "give 'query' and 'key' in place of 'table'"
        raise FormError(f"the dialect {dialect!r} cannot describe tables", hint=hint) from exc
    names = list(key) or [column.name for column in table.primary_key]
    if not names:
        hint = "give 'key': columns that together are unique and never NULL"
        raise FormError(f"the table {name!r} has no primary key", hint=hint)
    ordered = list(dict.fromkeys([*([cursor] if cursor else []), *names]))
    missing = [column for column in ordered if column not in table.c]
    if missing:
        hint = f"there are: {', '.join(table.c.keys())}"
        raise FormError(f"the table {name!r} has no column {missing[0]!r}", hint=hint)
    raw = connection.dialect.name == "sqlite"
    return Origin(
        table,
        [_plain(column, raw=raw).label(column.name) for column in table.c],
        {column: _plain(table.c[column], raw=raw) for column in ordered},
        [column for column in ordered if table.c[column].nullable],
        {column.name: _type_name(column.type) for column in table.c},
        raw,
    )


def wrap_query(
    connection: Connection, query: str, key: Sequence[str], cursor: str | None
) -> Origin:
    """Return a query as a table; its columns are found out when it runs."""
    quote = connection.dialect.identifier_preparer.quote
    ordered = list(dict.fromkeys([*([cursor] if cursor else []), *key]))
    keyset: dict[str, ColumnElement[Any]] = {
        name: literal_column(f"api2db_query.{quote(name)}") for name in ordered
    }
    escaped = query.strip().rstrip(";").replace(":", r"\:")
    source = text(f"({escaped}\n) as api2db_query")
    return Origin(source, [literal_column("api2db_query.*")], keyset, ordered, {})


def page(
    origin: Origin, *, since: Any, after: Sequence[Any] | None, limit: int
) -> Select[tuple[Any, ...]]:
    """
    Return the statement of one page; its rows end with the values of the keyset.

    Args:
        since: Lowest value of the cursor column; None for all. Rows without one are not read.
        after: Keyset of the last row of the page before, None for the first page.
    """
    ordered = list(origin.keyset.values())
    statement = select(*origin.columns, *(c.label(f"_k{i}") for i, c in enumerate(ordered)))
    statement = statement.select_from(origin.source).order_by(*ordered).limit(limit)
    if after is not None:
        # The first condition is for the index, the second says what is meant.
        statement = statement.where(ordered[0] >= after[0], _beyond(ordered, after))
    elif since is not None:
        statement = statement.where(ordered[0] >= since)
    return statement


def any_null(origin: Origin, name: str) -> Select[tuple[Any, ...]]:
    """Return a statement that finds a row whose *name* is NULL."""
    column = origin.keyset[name]
    return select(literal_column("1")).select_from(origin.source).where(column.is_(None)).limit(1)


def any_value(origin: Origin, name: str) -> Select[tuple[Any, ...]]:
    """Return a statement that finds any value of *name*."""
    column = origin.keyset[name]
    return select(column).select_from(origin.source).where(column.is_not(None)).limit(1)


def _beyond(columns: Sequence[ColumnElement[Any]], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return that *columns*, compared one after the other, are greater than *values*."""
    greater: ColumnElement[bool] = columns[0] > values[0]
    if len(columns) == 1:
        return greater
    same: ColumnElement[bool] = columns[0] == values[0]
    return or_(greater, and_(same, _beyond(columns[1:], values[1:])))


def _plain(column: Column[Any], *, raw: bool) -> ColumnElement[Any]:
    """Return *column*, raw without a conversion of its values: SQLite's fit no type for sure."""
    return type_coerce(column, types.NullType()) if raw else column


def _type_name(type_: Any) -> str:
    if isinstance(type_, types.Float):
        return "float"
    if isinstance(type_, types.Numeric):
        digits, scale = type_.precision, type_.scale
        if digits and scale is not None and 0 <= scale <= digits <= 76:
            return f"decimal({digits},{scale})"
        return "decimal"
    if getattr(type_, "unsigned", False):
        return "null"  # it may be beyond 64 bits
    return next((name for kind, name in _NAMES if isinstance(type_, kind)), "null")
