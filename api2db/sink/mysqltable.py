"""The table of a delivery in MariaDB or MySQL: read from the catalog, made and widened."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import pymysql

from api2db.core import types
from api2db.core.errors import ConfigError, SinkMisconfigured
from api2db.sink.identifier import Fold, mapped
from api2db.sink.mysqlconnection import Connection, missing
from api2db.sink.mysqlerrors import number
from api2db.sink.mysqltypes import Column, digits_of, kind_of_column, spelled
from api2db.sink.table import SqlTable, Stale, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import pyarrow as pa

    from api2db.core.batch import Batch
    from api2db.sink.base import Delivery

#: Most characters of a text that is a key: InnoDB's indexes end at 3072 bytes.
KEY = "varchar(255)"
#: Binary, without padding: 'a', 'A' and 'a ' are three keys.
_COLLATION = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
_ENGINE = """
select engine, table_type from information_schema.tables
where table_schema = %s and table_name = %s"""
_COLUMNS = """
select column_name, column_type, character_maximum_length, is_nullable, column_key,
  column_default, extra, column_comment, generation_expression
from information_schema.columns
where table_schema = %s and table_name = %s order by ordinal_position"""
_INDEXES = """
select index_name, non_unique, column_name, sub_part from information_schema.statistics
where table_schema = %s and table_name = %s order by index_name, seq_in_index"""
#: Somebody else made, dropped or changed the same at the same time.
CHANGED = frozenset({1050, 1051, 1054, 1060, 1091, 1146, 1412})
#: A column that lives while another one is widened.
_WIDE = "_api2db_wide"
#: Digits of the decimals that we make.
_DIGITS = 38
_NUMBERS = frozenset({"int", "float", "decimal"})
# An instant as `core.casting.cast` writes it: as many fractional digits as it needs.
_INSTANT = (
    "concat(date_format({0}, '%Y-%m-%dT%H:%i:%s'), case when microsecond({0}) = 0 then ''"
    " when microsecond({0}) % 1000 = 0 then concat('.', lpad(microsecond({0}) div 1000, 3, '0'))"
    " else concat('.', lpad(microsecond({0}), 6, '0')) end, 'Z')"
)
_TEXT = {
    "bool": "case when {0} then 'true' when not {0} then 'false' end",
    "int": "cast({0} as char)",
    "float": "cast({0} as char)",
    "decimal": "trim(trailing '.' from trim(trailing '0' from concat(cast({0} as char), '{1}')))",
    "str": "{0}",
    "datetime": _INSTANT,
    "date": "cast({0} as char)",
}


class MysqlTable(SqlTable):
    """
    What `SqlTable` asks of a dialect about its catalog.

    Attributes:
        mariadb: Whether the server is MariaDB; until there is a connection, the URL says.
    """

    dialect: ClassVar[types.Dialect] = "mysql"
    name_limit: ClassVar[int] = 64
    fold: ClassVar[Fold] = "unicode"
    mark: ClassVar[str] = "`"

    def __init__(self, delivery: Delivery, *, mariadb: bool, database: str) -> None:
        super().__init__(delivery)
        self.mariadb = mariadb
        parts = self._table_parts(delivery.table)
        for part in parts:
            if not _holdable(part):
                raise ConfigError(
                    f"streams.{delivery.stream}: {part!r} cannot be the name of a table",
                    hint="a name does not end with a space and has no character beyond U+FFFF",
                )
        self._place = (parts[0] if len(parts) > 1 else database, parts[-1])
        self._described: dict[str, Column] = {}
        self._connection: Connection | None = None

    @property
    def _db(self) -> Connection:
        if self._connection is None:
            raise missing()
        return self._connection

    # -- names and types ---------------------------------------------------------------

    @property
    def options(self) -> str:  # type: ignore[override]
        """Return what ends the statement that makes a table."""
        return f" engine=InnoDB {self._collated()}"

    def _collated(self) -> str:
        return f"character set utf8mb4 collate {_COLLATION[self.mariadb]}"

    def _idents(self, columns: Iterable[str], known: Collection[str]) -> dict[str, str]:
        names = list(columns)
        bad = {name for name in names if not _holdable(name)}
        return mapped(names, known, limit=self.name_limit, fold=self.fold, reserved=bad)

    def _natural(self, type_: pa.DataType) -> str:
        if types.kind_of(type_) == "decimal":
            # Few types are made, so that a column rarely changes, and a user's is none of them.
            type_ = _roomy(type_)
        return super()._natural(type_)

    def _type(self, name: str, type_: pa.DataType) -> str:
        sql = self._natural(type_)
        return KEY if sql == "longtext" and name in self.delivery.upsert else sql

    def _held(self, target: Target) -> pa.DataType:
        if target.kind != "decimal" or (held := digits_of(target.sql)) is None:
            return super()._held(target)
        return types.arrow_type(f"decimal({held[0]},{held[1]})")

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        if sql == "tinyint(1)" and types.kind_of(coming) == "int":
            return "int"  # to the server it is a small number
        return kind_of_column(sql, self.table)

    def _add_column(self, ident: str, type_: pa.DataType) -> str:
        return f"{super()._add_column(ident, type_)}{self._with_collation(self._natural(type_))}"

    def _with_collation(self, sql: str) -> str:
        """Return what must follow a text type, for the table may have another default."""
        return f" {self._collated()}" if sql in ("longtext", KEY) else ""

    # -- the catalog -------------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        self._check_engine(self.table, self._place)
        rows = self._db.run(_COLUMNS, *self._place)
        as_json = self._json_columns(rows)
        self._described = {}
        for name, type_, size, nullable, key, default, extra, comment, made in rows:
            sql = "json" if name in as_json else spelled(type_)
            plain = nullable == "YES" or key == "PRI"
            plain = plain and default in (None, "NULL") and not (extra or comment or made)
            self._described[name] = Column(sql, size, plain)
        return {name: column.sql for name, column in self._described.items()} or None

    def _check_engine(self, table: str, place: tuple[str, str]) -> None:
        for engine, kind in self._db.run(_ENGINE, *place):
            if kind == "VIEW":
                raise SinkMisconfigured(f"{table} is a view", hint="name a table")
            if (engine or "").lower() != "innodb":
                raise SinkMisconfigured(
                    f"the table {table} is kept by {engine}, which has no transactions",
                    hint=f"change it: alter table {table} engine=InnoDB;",
                )

    def _json_columns(self, rows: Sequence[tuple[Any, ...]]) -> set[str]:
        """Return the columns that MariaDB knows as text with a check that it is JSON."""
        texts = [row[0] for row in rows if row[1] == "longtext"]
        if not self.mariadb or not texts:
            return set()
        try:
            ((_, statement),) = self._db.run(f"show create table {self.table}")
        except pymysql.MySQLError as exc:
            raise self._stale(exc) from exc
        return {name for name in texts if f"CHECK (json_valid({self._quote(name)}))" in statement}

    def _indexes(self) -> dict[str, tuple[bool, list[str]]]:
        """Return each index: whether it is unique over whole columns, and its columns."""
        found: dict[str, tuple[bool, list[str]]] = {}
        for name, non_unique, column, prefix in self._db.run(_INDEXES, *self._place):
            unique, columns = found.get(name, (not non_unique, []))
            whole = prefix is None and column is not None
            found[name] = unique and whole, [*columns, column]
        return found

    def _unique_keys(self) -> list[set[str]]:
        return [set(columns) for unique, columns in self._indexes().values() if unique]

    def _any(self, condition: str) -> bool:
        return bool(self._db.run(f"select 1 from {self.table} where {condition} limit 1"))

    # -- widening ----------------------------------------------------------------------

    def _alterable(self) -> bool:
        return True

    def _widen(self, target: Target, type_: pa.DataType, batches: Iterable[Batch]) -> bool:
        ident, kind = target.ident, types.kind_of(type_)
        if not self._described[ident].plain:
            return False  # its default or comment would be lost
        if not {target.kind, kind} <= _NUMBERS and target.kind != kind:
            if self._indexed(ident) or (kind == "json" and target.name in self.delivery.upsert):
                return False
            if target.kind == "bool" and self._any(f"{self._quote(ident)} not in (0, 1)"):
                return False  # a user's small numbers
        return super()._widen(target, type_, batches)

    def _indexed(self, ident: str) -> bool:
        """Return whether a column is in an index that is not the key of the delivery."""
        key = set(self._keys())
        return any(
            ident in columns and not (name == "PRIMARY" and set(columns) == key)
            for name, (_, columns) in self._indexes().items()
        )

    def _keys(self) -> list[str]:
        return list(self._idents(self.delivery.upsert, self._known or ()).values())

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        name, key = self._quote(ident), ident in self._keys()
        to = KEY if key and self._natural(wider) == "longtext" else self._natural(wider)
        if types.kind_of(wider) in _NUMBERS and to != "longtext":
            self._execute_ddl(f"alter table {self.table} modify column {name} {to}")
            return
        wide = self._quote(_WIDE)
        declared = f"{to}{self._with_collation(to)}"
        final = f"drop column {name}, change column {wide} {name} {declared}"
        if key:
            columns = ", ".join(self._quote(column) for column in self._keys())
            final = f"drop primary key, {final} not null, add primary key ({columns})"
        try:
            # Nobody writes into the old column once its values have been copied.
            self._db.run(f"lock tables {self.table} write")
            if _WIDE in self._described:  # of a widening that was cut off
                self._db.run(f"alter table {self.table} drop column {wide}")
            self._db.run(f"alter table {self.table} add column {wide} {declared} after {name}")
            self._db.run(f"update {self.table} set {wide} = {self._converted(ident, kind, to)}")
            self._db.run(f"alter table {self.table} {final}")
        except pymysql.MySQLError as exc:
            raise self._stale(exc) from exc
        finally:
            with suppress(pymysql.MySQLError):
                self._db.run("unlock tables")

    def _converted(self, ident: str, kind: str, to: str) -> str:
        """Return the SQL of a column, of *kind*, as a value for a column of type *to*."""
        name = self._quote(ident)
        fixed = digits_of(self._described[ident].sql)
        # Without a point no zeros may be cut off.
        text = _TEXT[kind].format(name, "" if fixed and fixed[1] else ".")
        if to != "json":
            return text
        if kind == "decimal" and not self.mariadb:
            return f"cast({name} as json)"  # as text it would become a double
        return f"json_quote({text})" if kind in ("str", "datetime", "date") else text

    def _execute_ddl(self, statement: str) -> None:
        try:
            self._db.run(statement)
        except pymysql.MySQLError as exc:
            raise self._stale(exc) from exc

    @staticmethod
    def _stale(exc: pymysql.MySQLError) -> Exception:
        return Stale(str(exc.args[1])) if number(exc) in CHANGED else exc


def _roomy(type_: Any) -> pa.DataType:
    """Return a decimal type with at least 38 digits."""
    if type_.precision >= _DIGITS:
        return type_  # type: ignore[no-any-return]
    return types.decimal_for(type_.precision - type_.scale, type_.scale) or type_


def _holdable(name: str) -> bool:
    return not name.endswith(" ") and all(character <= "\uffff" for character in name)
