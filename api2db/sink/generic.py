"""
Rows into databases that have no sink of their own, through SQLAlchemy: Oracle, SQL Server.

Rows are INSERTs, in one transaction with their markers. A table gets the columns that it lacks;
none of its columns is widened: what does not fit is a dead letter. `upsert` is refused. A dialect
is a class that says which column of the type table is its own, and what its driver binds.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from api2db.core import types
from api2db.core.casting import cast
from api2db.core.errors import ConfigError, SinkError, SinkUnavailable, SinkUnknown
from api2db.core.values import digits
from api2db.sink.genericerrors import translate
from api2db.sink.genericmarkers import MARKERS
from api2db.sink.identifier import quote
from api2db.sink.load import YEARS, outside
from api2db.sink.sql import SqlSink
from api2db.sink.table import Stale

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.types import TypeEngine

    from api2db.sink.base import Delivery
    from api2db.sink.table import Target

#: Rows that are Python objects at one time, and go in one call of the driver.
PIECE_ROWS = 1_000
#: What Python calls the values of a column -> their kind; a bool is no int here.
_KINDS: dict[type, str] = {int: "int", float: "float", Decimal: "decimal", bool: "bool"}


class GenericSink(SqlSink):
    """
    One table of a database, through one connection of SQLAlchemy.

    Args:
        url: SQLAlchemy's, with the driver.

    Attributes:
        driver: The package that is used if the URL names none.
        unbound: Kinds that the driver does not take as Python's own: booleans go as 0 and 1,
            others as text.
        bound_as: Kinds of which the driver must be told the type.
    """

    driver: ClassVar[str]
    unbound: ClassVar[frozenset[str]] = frozenset()
    bound_as: ClassVar[Mapping[str, TypeEngine[Any]]] = {}

    def __init__(self, url: str, delivery: Delivery) -> None:
        if delivery.upsert:
            raise ConfigError(
                f"streams.{delivery.stream}: {self.dialect} takes no upsert", hint="use append"
            )
        super().__init__(delivery)
        self._engine = self._made(url)
        self._connection: Connection | None = None
        self._types: dict[str, TypeEngine[Any]] = {}

    def _made(self, url: str) -> Engine:
        scheme, _, rest = url.partition(":")
        named = url if "+" in scheme else f"{scheme}+{self.driver}:{rest}"
        try:
            # Parameters are rows: they belong into no message.
            return sa.create_engine(named, poolclass=NullPool, hide_parameters=True)
        except sa.exc.NoSuchModuleError:
            where, hint = f"streams.{self.delivery.stream}.url", f"leave it out for {self.driver}"
            raise ConfigError(f"{where}: unknown driver in {scheme!r}", hint=hint) from None
        except sa.exc.ArgumentError:  # its text may hold the URL
            raise ConfigError(f"streams.{self.delivery.stream}.url: not a URL") from None

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._connection = self._engine.connect()

    @property
    def _db(self) -> Connection:
        if self._connection is None:
            raise SinkUnavailable("not connected")
        return self._connection

    def interrupt(self) -> None:
        """Break off the statement under way, where the driver can."""
        connection = self._connection
        with suppress(Exception):
            driver: Any = connection.connection.driver_connection if connection else None
            (getattr(driver, "cancel", None) or driver.interrupt)()

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    @contextmanager
    def _statement(self) -> Iterator[Connection]:
        """Run within the transaction that is open, or in one of its own."""
        if self._db.in_transaction():
            yield self._db
        else:
            with self._db.begin():
                yield self._db

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        with self._statement() as db:
            MARKERS.metadata.create_all(db)

    def _markers(self) -> list[str]:
        d, ours = self.delivery, MARKERS.c
        mine = (ours.spool == d.spool, ours.collector == d.collector, ours.stream == d.stream)
        with self._statement() as db:
            return list(db.scalars(sa.select(ours.batch_id).where(*mine)))

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        d, ours = self.delivery, MARKERS.c.batch_id
        found = set(self._db.scalars(sa.select(ours).where(ours.in_(list(rows)))))
        new = [marker for marker in rows if marker not in found]
        origin = {"spool": d.spool, "collector": d.collector, "stream": d.stream}
        entries = [{"batch_id": id_, "n_rows": rows[id_], **origin} for id_ in new]
        try:
            if entries:
                self._db.execute(sa.insert(MARKERS), entries)
        except sa.exc.IntegrityError as exc:
            raise SinkUnknown("another process delivers the same batch") from exc
        return new

    def _unmark(self, markers: Sequence[str]) -> None:
        ours = MARKERS.c
        mine = (ours.batch_id.in_(list(markers)), ours.spool == self.delivery.spool)
        self._db.execute(sa.delete(MARKERS).where(*mine))

    # -- the table -----------------------------------------------------------------

    def _columns(self) -> dict[str, str] | None:
        parts = self._table_parts(self.delivery.table)
        schema = parts[0] if len(parts) > 1 else None
        with self._statement() as db:
            try:
                found = sa.inspect(db).get_columns(parts[-1], schema=schema)
            except sa.exc.NoSuchTableError:
                return None
            columns = {column["name"]: column["type"] for column in found}
        self._types |= {repr(type_): type_ for type_ in columns.values()}
        return {name: repr(type_) for name, type_ in columns.items()} or None

    def _unique_keys(self) -> list[set[str]]:
        return []

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        """Go by what SQLAlchemy says that Python sees of the column."""
        kind, type_ = types.kind_of(coming), self._types[sql]
        if type_.__visit_name__.lower() == "date":  # Oracle's is a DateTime
            return "date"
        if isinstance(type_, sa.DateTime):
            return "datetime"
        if isinstance(type_, sa.String):
            return "json" if kind == "json" else "str"
        if isinstance(type_, sa.JSON):
            return "json"
        if isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float):
            if not type_.scale and type_.precision is not None:
                return "bool" if (type_.precision, kind) == (1, "bool") else "int"
            return "decimal"
        with suppress(NotImplementedError):
            return _KINDS.get(type_.python_type)
        return None

    def _any(self, condition: str) -> bool:
        return False

    def _alterable(self) -> bool:
        return False

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        raise NotImplementedError

    def _create(self, columns: Mapping[str, pa.DataType]) -> str:
        return super()._create(columns).replace(" if not exists", "", 1)  # not all know it

    def _add_column(self, ident: str, type_: pa.DataType) -> str:
        return f"alter table {self.table} add {self._quote(ident)} {self._natural(type_)}"

    def _execute_ddl(self, statement: str) -> None:
        try:
            with self._statement() as db:
                db.execute(text(statement))
        except sa.exc.DBAPIError as exc:
            if not exc.connection_invalidated and self._changed():
                raise Stale("somebody else changed it") from exc
            raise

    def _changed(self) -> bool:
        with suppress(sa.exc.SQLAlchemyError):
            self._rollback()
            return self._columns() != self._known
        return False

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._db.begin()

    def _commit(self) -> None:
        self._db.commit()

    def _rollback(self) -> None:
        self._db.rollback()

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        name, type_ = target.name, self._types[target.sql]
        if target.kind in ("datetime", "date"):
            limits = YEARS if target.kind == "datetime" else (-719_162, 2_932_896)
            return outside(column, limits, f"{name}: there are years 1 to 9999 only")
        if target.kind == "decimal" and isinstance(type_, sa.Numeric):
            whole = (type_.precision or 38) - (type_.scale or 0)
            return _too_long(column, whole, type_.scale, name)
        return {}

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        if not targets:
            return
        insert = self._insert(targets)
        sent = [columns[target.name] for target in targets]
        for start in range(0, len(sent[0]), PIECE_ROWS):
            values = [
                self._bound(column.slice(start, PIECE_ROWS), target.kind)
                for column, target in zip(sent, targets, strict=True)
            ]
            rows = zip(*values, strict=True)
            self._db.execute(insert, [{f"c{i}": v for i, v in enumerate(row)} for row in rows])

    def _insert(self, targets: Sequence[Target]) -> sa.TextClause:
        into = ", ".join(quote(target.ident, self.mark) for target in targets)
        values = ", ".join(f":c{i}" for i in range(len(targets)))
        head = text(f"insert into {self.table} ({into})").text
        told = [
            sa.bindparam(f"c{i}", type_=self.bound_as[target.kind])
            for i, target in enumerate(targets)
            if target.kind in self.bound_as
        ]
        return sa.text(f"{head} values ({values})").bindparams(*told)

    def _bound(self, column: pa.ChunkedArray[Any], kind: str) -> list[Any]:
        """Return values as the driver binds them; decimals come as text."""
        if kind in self.unbound and kind != "decimal":
            to = pa.int8() if kind == "bool" else pa.string()
            made = [c.cast(to) if kind == "bool" else cast(c, to) for c in column.chunks]
            return [value for chunk in made for value in chunk.to_pylist()]
        values = column.to_pylist()
        if kind == "decimal" and kind not in self.unbound:
            return [None if value is None else Decimal(value) for value in values]
        return values

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        raise NotImplementedError

    def _translate(self, exc: Exception) -> SinkError:
        return translate(exc)


def text(statement: str) -> sa.TextClause:
    """Return a statement without parameters; a colon in a name is none."""
    return sa.text(statement.replace(":", r"\:"))


def _too_long(
    column: pa.ChunkedArray[Any], whole: int, scale: int | None, name: str
) -> dict[int, str]:
    """Return the rows of decimals, as text, with more digits than the column has."""
    bad = {}
    for row, text in enumerate(column.to_pylist()):
        if text is None:
            continue
        sizes = digits(Decimal(text))
        if sizes is None or sizes[0] > whole or (scale is not None and sizes[1] > scale):
            bad[row] = f"{name}: the column has too few digits for {text[:40]}"
    return bad
