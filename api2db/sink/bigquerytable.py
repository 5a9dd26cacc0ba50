"""A table of BigQuery in its catalog: made, extended, widened."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from api2db.core import types
from api2db.core.errors import ConfigError, SinkUnavailable
from api2db.sink import bigquerycolumn as bq
from api2db.sink.bigqueryscript import path
from api2db.sink.identifier import Fold, mapped
from api2db.sink.sql import SqlSink
from api2db.sink.table import Stale, Target

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from google.cloud.bigquery import Table

    from api2db.core.batch import Batch
    from api2db.sink.base import Delivery
    from api2db.sink.bigqueryjobs import Jobs
    from api2db.sink.target import Bigquery

#: Who changes a table in this process: a column that is widened by a copy loses what others add.
changing: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)


class BigqueryTable(SqlSink):
    """The table of a delivery; a dot in its name separates the dataset and the table."""

    dialect: ClassVar[types.Dialect] = "bigquery"
    name_limit: ClassVar[int] = bq.NAME_LIMIT
    fold: ClassVar[Fold] = "unicode"
    mark: ClassVar[str] = "`"

    def __init__(self, target: Bigquery, delivery: Delivery) -> None:
        super().__init__(delivery)
        *dataset, table = self._table_parts(delivery.table)
        self._dataset = f"{target.project}.{dataset[0] if dataset else target.dataset}"
        self._place = f"{self._dataset}.{table}"
        self.table = path(self._place)
        self._jobs: Jobs | None = None
        self._seen: Table | None = None  # as the catalog had it last

    @property
    def _db(self) -> Jobs:
        if self._jobs is None:
            raise SinkUnavailable("not connected")
        return self._jobs

    def _table_parts(self, table: str) -> list[str]:
        parts = super()._table_parts(table)
        for part in parts:
            if not bq.is_name(part, table=True):
                raise ConfigError(
                    f"streams.{self.delivery.stream}: {part!r} cannot be the name of a table",
                    hint="a name has letters, digits, _, - and spaces, 300 at most",
                )
        return parts

    def _create(self, columns: Mapping[str, pa.DataType]) -> str:
        columns = {n: t for n, t in columns.items() if not pa.types.is_null(t)}
        idents = self._idents(columns, ())
        lines = [f"  {bq.quote(idents[n])} {self._type(n, t)}" for n, t in columns.items()]
        body = ",\n".join(lines)
        statement = f"create table if not exists {self.table} (\n{body}\n)"
        # There are no keys; an upsert reads less where its rows lie together.
        near = [bq.quote(idents[key]) for key in self._clustered(columns)]
        return f"{statement}\ncluster by {', '.join(near)}" if near else statement

    def _clustered(self, columns: Mapping[str, pa.DataType]) -> list[str]:
        keys = [key for key in self.delivery.upsert if key in columns]
        return [key for key in keys if self._type(key, columns[key]) != "FLOAT64"][:4]

    def _evolve(
        self,
        columns: Mapping[str, pa.DataType],
        idents: Mapping[str, str],
        known: Mapping[str, str],
        batches: Iterable[Batch],
    ) -> bool:
        # All new columns at once: a table takes five changes in ten seconds.
        new = {name: type_ for name, type_ in columns.items() if idents[name] not in known}
        if new:
            made = ", ".join(self._add_column(idents[name], new[name]) for name in new)
            self._execute_ddl(f"alter table {self.table} {made}")
        old = {name: type_ for name, type_ in columns.items() if name not in new}
        return super()._evolve(old, idents, known, batches) or bool(new)

    def _add_column(self, ident: str, type_: pa.DataType) -> str:
        return f"add column if not exists {bq.quote(ident)} {self._natural(type_)}"

    def _idents(self, columns: Iterable[str], known: Collection[str]) -> dict[str, str]:
        names = {name: bq.column(name) for name in columns}
        found = mapped(names.values(), known, limit=self.name_limit, fold=self.fold)
        return {name: found[fitting] for name, fitting in names.items()}

    def _type(self, name: str, type_: pa.DataType) -> str:
        natural = self._natural(type_)
        # JSON cannot be compared.
        return "STRING" if natural == "JSON" and name in self.delivery.upsert else natural

    def _columns(self) -> dict[str, str] | None:
        found = self._seen = self._db.table(self._place)
        return None if found is None else {f.name: bq.sql_type(f) for f in found.schema}

    def _check_key(self, columns: Iterable[str], known: Collection[str]) -> None:
        """Nothing is relied on: BigQuery has no unique indexes, and merges without."""

    def _unique_keys(self) -> list[set[str]]:
        return []

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        return bq.kind_of(sql, coming)

    def _held(self, target: Target) -> pa.DataType:
        return bq.held(target.sql) or types.arrow_type(target.kind)

    def _any(self, condition: str) -> bool:
        return bool(self._db.query(f"select 1 from {self.table} where {condition} limit 1"))

    def _alterable(self) -> bool:
        found = self._db.table(self._place)
        known = self._idents(self.delivery.upsert, self._known or ())
        return found is not None and bq.untouched(found, known.values())

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        name = bq.quote(ident)
        with changing[self._place]:
            table = self._db.table(self._place)
            old = {f.name: bq.sql_type(f) for f in table.schema}.get(ident) if table else None
            if table is None or old is None:
                raise Stale(f"the column {ident} is gone")
            keys = self._idents(self.delivery.upsert, self._known or ())
            key = ident in keys.values()
            to = "STRING" if key and wider == types.JSON else self._natural(wider)
            near = table.clustering_fields or ()
            if bq.in_place(old, to) and ident not in near:
                self._execute_ddl(
                    f"alter table {self.table} alter column {name} set data type {to}"
                )
                return
            near = ", ".join(bq.quote(n) for n in near if not (n == ident and to == "FLOAT64"))
            as_ = f"select * replace ({bq.converted(name, kind, to)} as {name}) from {self.table}"
            by = f"cluster by {near} " if near else ""
            self._execute_ddl(f"create or replace table {self.table} {by}as {as_}")

    def _execute_ddl(self, statement: str) -> None:
        from google.api_core.exceptions import Conflict, NotFound

        try:
            self._db.execute(statement)
        except (NotFound, Conflict) as exc:
            raise Stale(str(exc)) from exc
