"""One SQL table as batches need it: made, extended and widened without loss."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from api2db.core import types
from api2db.core.errors import ConfigError, SinkMisconfigured
from api2db.core.widening import widen
from api2db.sink.identifier import Fold, fitted, mapped, quote
from api2db.sink.load import columns_of, filled_in, inexact, reject
from api2db.sink.newtable import check_new

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from api2db.core.batch import Batch
    from api2db.sink.base import Delivery

logger = logging.getLogger(__name__)


class Stale(Exception):
    """The table is not as it was planned for: somebody changed or dropped it."""


@dataclass(frozen=True, slots=True)
class Target:
    """
    One column of the table, and what is sent to it.

    Attributes:
        name: The batch's column.
        ident: The table's column, not quoted.
        kind: Kind of the values that are sent, one of `core.types.NAMES`.
        sql: Type of the table's column, as the catalog says it.
        natural: Whether *sql* is the natural type of *kind*: no cast is needed.
    """

    name: str
    ident: str
    kind: str
    sql: str
    natural: bool


class SqlTable(ABC):
    """
    The table of a delivery. Statements run outside of any transaction.

    Attributes:
        dialect: Column of the type table.
        name_limit: Most bytes of a name.
        fold: Which names that differ in case only are the same.
        mark: What a quoted name stands between.
        options: What ends the statement that makes a table.
        reserved: Names that no column can have, even quoted.
    """

    dialect: ClassVar[types.Dialect]
    name_limit: ClassVar[int] = 63
    fold: ClassVar[Fold] = "none"
    mark: ClassVar[str] = '"'
    reserved: ClassVar[frozenset[str]] = frozenset()
    options: str = ""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        parts = self._table_parts(delivery.table)
        for part in parts:
            ours = part.lower().startswith("_api2db_")
            if ours or fitted(part, self.name_limit) != part:
                rule = f"a name has 1 to {self.name_limit} bytes and no NUL"
                raise ConfigError(
                    f"streams.{delivery.stream}: {part!r} cannot be the name of a table",
                    hint="names of our own tables begin with _api2db_" if ours else rule,
                )
        self.table = ".".join(self._quote(part) for part in parts)
        self._known: dict[str, str] | None = None
        self._left_out: set[str] = set()  # columns of which that was said

    # -- what the table would be -----------------------------------------------------

    def ddl(self, schema: pa.Schema) -> str:
        """Return the statement that would make the table for rows of *schema*; no connection."""
        return self._create({field.name: field.type for field in schema})

    def _create(self, columns: Mapping[str, pa.DataType]) -> str:
        columns = {n: t for n, t in columns.items() if not pa.types.is_null(t)}
        idents = self._idents(columns, ())
        lines = [f"  {self._quote(idents[n])} {self._type(n, t)}" for n, t in columns.items()]
        keys = [self._quote(idents[key]) for key in self.delivery.upsert if key in idents]
        if keys:
            lines.append(f"  primary key ({', '.join(keys)})")
        body = ",\n".join(lines)
        return f"create table if not exists {self.table} (\n{body}\n){self.options}"

    def _add_column(self, ident: str, type_: pa.DataType) -> str:
        return f"alter table {self.table} add column {self._quote(ident)} {self._natural(type_)}"

    def _idents(self, columns: Iterable[str], known: Collection[str]) -> dict[str, str]:
        return mapped(
            columns,
            known,
            limit=self.name_limit,
            fold=self.fold,
            reserved=self.reserved,
        )

    def _quote(self, name: str) -> str:
        return quote(name, self.mark)

    def _natural(self, type_: pa.DataType) -> str:
        return types.sql_type(type_, self.dialect)

    def _type(self, name: str, type_: pa.DataType) -> str:
        """Return the type of the column for *name*; a dialect may give keys another one."""
        return self._natural(type_)

    def _held(self, target: Target) -> pa.DataType:
        """Return the Arrow type of which the column of *target* would be the natural one."""
        return types.arrow_type(target.kind)

    def _table_parts(self, table: str) -> list[str]:
        """Return schema and table; a dot separates them."""
        return table.split(".", 1) if "." in table.strip(".") else [table]

    # -- what it must become ---------------------------------------------------------

    def _plan(self, batches: Iterable[Batch]) -> list[Target]:
        """
        Make or widen the table for *batches*, if it may; return what goes where.

        No batches at all make no table.

        Raises:
            Stale: Somebody else changed the table meanwhile.
            SinkRejected: Rows have values for columns that a frozen table lacks.
        """
        columns = columns_of(batches)
        if self._known is None:
            self._known = self._columns()
            check_new(self.delivery, exists=self._known is not None)
            if self._known is not None:
                self._check_key(columns, self._known)
        filled = {n: t for n, t in columns.items() if not pa.types.is_null(t)}
        if self._known is None and not columns:
            return []
        if self._known is None:
            self._execute_ddl(self._create(filled))
            logger.info("table_created", extra={"table": self.delivery.table})
            self._known = self._reflected()
        known = self._known
        idents = self._idents(columns, known)
        if self.delivery.schema == "evolve":
            if self._evolve(filled, idents, known, batches):
                known = self._known = self._reflected()
        else:
            self._leave_out([name for name in filled if idents[name] not in known], batches)
        return [
            self._target(name, idents[name], known[idents[name]], type_)
            for name, type_ in columns.items()
            if idents[name] in known
        ]

    def _evolve(
        self,
        columns: Mapping[str, pa.DataType],
        idents: Mapping[str, str],
        known: Mapping[str, str],
        batches: Iterable[Batch],
    ) -> bool:
        """Add the columns that the table lacks, and widen others; return whether it changed."""
        changed = False
        for name, type_ in columns.items():
            if idents[name] not in known:
                self._execute_ddl(self._add_column(idents[name], type_))
                changed = True
            else:
                target = self._target(name, idents[name], known[idents[name]], type_)
                changed |= self._widen(target, type_, batches)
        return changed

    def _leave_out(self, unknown: Collection[str], batches: Iterable[Batch]) -> None:
        """Refuse the rows that fill *unknown* columns, or say once that these are left out."""
        if self.delivery.schema == "freeze":
            bad = filled_in(batches, unknown)
            if bad:
                self._compare()
            reject(batches, bad)
        elif not self._left_out.issuperset(unknown):
            self._left_out.update(unknown)
            fields = {"table": self.delivery.table, "columns": sorted(unknown)}
            logger.warning("columns_ignored", extra=fields)

    def _compare(self) -> None:
        """Raise `Stale` if the table's columns are not those of the plan."""
        if self._columns() != self._known:
            raise Stale("it was dropped or its columns are different")

    def _reflected(self) -> dict[str, str]:
        known = self._columns()
        if known is None:
            raise Stale("it was dropped")
        return known

    def _target(self, name: str, ident: str, sql: str, type_: pa.DataType) -> Target:
        kind = self._kind(sql, pa.string() if pa.types.is_null(type_) else type_)
        # A type that is not ours gets text, which the target reads as it reads input.
        return Target(name, ident, kind or "str", sql, kind is not None)

    def _widen(self, target: Target, type_: pa.DataType, batches: Iterable[Batch]) -> bool:
        """Widen a column, if it must and can hold *type_* without loss; return whether it was."""
        held = self._held(target)
        if not target.natural or target.sql != self._type(target.name, held):
            return False  # not a type of ours: it stays as its maker wants it
        big = False
        if (target.kind, types.kind_of(type_)) == ("int", "float"):
            name = self._quote(target.ident)
            far = f"{name} > {types.EXACT_INT} or {name} < -{types.EXACT_INT}"
            big = inexact(batches, target.name) or self._any(far)
        wider = widen(held, type_, big=big)
        if wider is None or self._type(target.name, wider) == target.sql or not self._alterable():
            return False
        self._alter(target.ident, target.kind, wider)
        fields = {
            "column": target.ident,
            "from": target.sql,
            "to": self._type(target.name, wider),
        }
        logger.info("column_widened", extra={"table": self.delivery.table, **fields})
        return True

    def _check_key(self, columns: Iterable[str], known: Collection[str]) -> None:
        """An existing table must have the unique index that an upsert relies on."""
        keys = self.delivery.upsert
        if not keys:
            return
        idents = self._idents([*keys, *columns], known)
        if {idents[key] for key in keys} in self._unique_keys():
            return
        names = ", ".join(self._quote(idents[key]) for key in keys)
        table = self._table_parts(self.delivery.table)[-1]
        index = self._quote(fitted(f"{table}_key", self.name_limit))
        raise SinkMisconfigured(
            f"the table {self.delivery.table} has no unique index on exactly ({names})",
            hint=f"make one: create unique index {index} on {self.table} ({names});",
        )

    # -- dialect methods -------------------------------------------------------------

    @abstractmethod
    def _columns(self) -> dict[str, str] | None:
        """Return the table's columns and their types as the catalog writes them, None if none."""

    @abstractmethod
    def _unique_keys(self) -> list[set[str]]:
        """Return the columns of each unique index of the table that is not partial."""

    @abstractmethod
    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        """
        Return the kind of values to send for *coming* to a column of type *sql*.

        None: send text, and let the target read it.
        """

    @abstractmethod
    def _any(self, condition: str) -> bool:
        """Return whether some row of the table fulfils *condition*."""

    @abstractmethod
    def _alterable(self) -> bool:
        """Return whether a column's type can be changed without touching what a user made."""

    @abstractmethod
    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        """
        Change a column from the natural type of *kind* to that of *wider*, keeping its rows.

        Raises:
            Stale: The column or the table is gone.
        """

    @abstractmethod
    def _execute_ddl(self, statement: str) -> None:
        """
        Run *statement*, which makes a table or a column, or empties the table.

        Raises:
            Stale: The table is gone, or somebody else made the same at the same time.
        """
