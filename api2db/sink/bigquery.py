"""
Rows into BigQuery, exactly once.

A load goes into staging tables first, one for each group of rows, and takes effect by one
script, which is one transaction: it looks for the markers, moves the rows, and marks them.
What was begun and whose end nobody saw is found again by the ids of its jobs; what another
life of the program left is waited for, and removed, before the first load.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from api2db.core.batch import Limit
from api2db.core.errors import SinkError, SinkMisconfigured
from api2db.sink import bigquerycolumn as bq
from api2db.sink import bigqueryscript as script
from api2db.sink.bigquerystage import Stage, name_of, prefix_of
from api2db.sink.bigquerystage import stage as staged
from api2db.sink.bigquerytable import BigqueryTable, changing
from api2db.sink.sql import LEDGER
from api2db.sink.table import Stale, Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from api2db.sink.base import Delivery
    from api2db.sink.target import Bigquery

# The client takes a second to import, and is when the stream connects; a missing one is told now.
if find_spec("google.cloud.bigquery") is None:
    raise ImportError("google-cloud-bigquery is not installed", name="google.cloud.bigquery")

#: Makes the marker table.
_CREATE_LEDGER = """
create table if not exists {} (
  batch_id STRING not null,
  spool STRING not null,
  collector STRING not null,
  stream STRING not null,
  n_rows INT64 not null,
  loaded_at TIMESTAMP not null
)"""


class BigquerySink(BigqueryTable):
    """
    One table of a dataset.

    Args:
        target: Where, and as whom.
        delivery: A dot in its table separates the dataset and the table.
    """

    group: ClassVar[Limit] = Limit(2_000, 200_000, 64 * 2**20)

    def __init__(self, target: Bigquery, delivery: Delivery) -> None:
        super().__init__(target, delivery)
        self.name = "bigquery"
        self.pace = target.latency
        self._whole = target
        self._ledger = script.path(f"{self._dataset}.{LEDGER}")
        self._reset()

    def _reset(self) -> None:
        self._new: dict[str, int] = {}  # markers that this load makes -> rows
        self._marking = False
        self._gone: list[str] = []  # markers that it removes
        self._moves: list[str] = []  # statements
        self._stages: list[Stage] = []

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        from api2db.sink.bigqueryjobs import Jobs

        self._jobs = Jobs(self._whole)
        lies = self._db.dataset(self._dataset)
        wanted = self._whole.location
        if lies.lower() != wanted.lower():
            raise SinkMisconfigured(
                f"the dataset {self._dataset} lies in {lies}, not in {wanted}",
                hint=f"write location: {lies}",
            )

    def interrupt(self) -> None:
        """Cut off the call under way."""
        jobs = self._jobs
        if jobs is not None:
            jobs.interrupt()

    def close(self) -> None:
        """Close the connection; jobs under way go on, and are found again."""
        jobs, self._jobs = self._jobs, None
        if jobs is not None:
            jobs.close()

    # -- markers -------------------------------------------------------------------

    def _make_ledger(self) -> None:
        if self._db.table(f"{self._dataset}.{LEDGER}") is None:
            self._db.query(_CREATE_LEDGER.format(self._ledger))
        prefix = prefix_of(self.delivery)
        for left in self._db.tables(self._dataset):
            if left.startswith(prefix):
                # A script that has not begun finds no rows once they are gone.
                self._db.settle(_id_of(left))
                self._db.drop(f"{self._dataset}.{left}")
                self._db.settle(_id_of(left))

    def _markers(self) -> list[str]:
        d = self.delivery
        mine = {"spool": d.spool, "collector": d.collector, "stream": d.stream}
        where = " and ".join(f"{name} = {bq.literal(value)}" for name, value in mine.items())
        return self._column(f"select batch_id from {self._ledger} where {where}")

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        among = f"batch_id in ({script.listed(rows)})"
        there = set(self._column(f"select batch_id from {self._ledger} where {among}"))
        self._marking = True
        self._new = {marker: n for marker, n in rows.items() if marker not in there}
        return list(self._new)

    def _unmark(self, markers: Sequence[str]) -> None:
        self._gone += markers

    def _column(self, query: str) -> list[str]:
        return [row[0] for row in self._db.query(query)]

    # -- the transaction -----------------------------------------------------------

    def _begin(self) -> None:
        self._reset()

    def _clear(self) -> None:
        self._moves.append(f"delete from {self.table} where true")

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        return bq.unfit(column, target)

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        self._move(script.insert(self.table, self._staged(columns, targets), targets))

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        source = self._staged(columns, targets)
        self._move(script.merge(self.table, source, targets, self.delivery.upsert))

    def _staged(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> str:
        # A rehearsal marks nothing, and must not meet the jobs of what it rehearses.
        marks = list(self._new) if self._marking else [uuid.uuid4().hex]
        stage = staged(self._db, self._dataset, self.delivery, marks, columns, targets)
        self._stages.append(stage)
        return script.path(f"{self._dataset}.{stage.name}")

    def _move(self, statement: str) -> None:
        self._moves.append(statement)
        if not self._marking:
            steps, self._moves = self._moves, []
            self._db.query(script.rehearsal(steps))

    def _commit(self) -> None:
        if not self._new:
            if self._gone:
                self._db.query(self._removal())
            self._reset()
            return
        from google.api_core.exceptions import BadRequest

        try:
            with changing[self._place]:
                self._db.query(self._script(), _id_of(self._id()))
        except BadRequest as exc:
            if script.STALE in str(exc):
                raise Stale("another load of the same batches came first") from exc
            raise
        self._drop_stages()
        self._reset()

    def _id(self) -> str:
        """Return what names this load: the same batches with the same rows, and no other."""
        return self._stages[0].name if self._stages else name_of(self.delivery, self._new)

    def _script(self) -> str:
        steps = [*self._moves, script.marking(self._ledger, self.delivery, self._new)]
        steps += [self._removal()] if self._gone else []
        rows = {script.path(f"{self._dataset}.{stage.name}"): stage.rows for stage in self._stages}
        made = script.transaction(self._ledger, self._new, rows, steps)
        if len(made) > script.LONGEST:
            raise SinkMisconfigured(
                f"{len(self._new)} pages are too many for one transaction of BigQuery",
                hint="ask the API for larger pages",
            )
        return made

    def _removal(self) -> str:
        return script.removal(self._ledger, self.delivery.spool, self._gone)

    def _rollback(self) -> None:
        if not self._db.open:  # else `open` waits for it, and knows it by its rows
            self._drop_stages()
        self._reset()

    def _drop_stages(self) -> None:
        with suppress(Exception):  # the next `open` does it
            for stage in self._stages:
                self._db.drop(f"{self._dataset}.{stage.name}")

    # -- errors --------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        from api2db.sink.bigqueryerrors import translate

        return translate(exc)


def _id_of(stage: str) -> str:
    """Return the id of the script that moves what lies in a stage."""
    return f"{stage}_script"
