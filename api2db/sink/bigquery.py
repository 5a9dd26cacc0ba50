"""
Rows into BigQuery, exactly once.

Rows that are appended go into their table by one load job, whose id stands in their markers
before it begins. Others go into staging tables first, one for each group of rows, and take
effect by one script, which is one transaction: it looks for the markers, moves the rows, and
marks them. What was begun and whose end nobody saw is found again by the ids of its jobs; what
another life of the program left is waited for before the first load.
"""

from __future__ import annotations

import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from api2db.core.batch import Limit
from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnavailable
from api2db.core.faults import crash_point
from api2db.sink import bigquerycolumn as bq
from api2db.sink import bigqueryscript as script
from api2db.sink.bigquerystage import Stage, name_of, prefix_of
from api2db.sink.bigquerystage import stage as staged
from api2db.sink.bigquerytable import BigqueryTable, changing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from api2db.sink.base import Delivery
    from api2db.sink.bigqueryledger import Ledger
    from api2db.sink.table import Target
    from api2db.sink.target import Bigquery

logger = logging.getLogger(__name__)

# The client takes a second to import, and is when the stream connects; a missing one is told now.
if find_spec("google.cloud.bigquery") is None:
    raise ImportError("google-cloud-bigquery is not installed", name="google.cloud.bigquery")


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
        self._known_markers: Ledger | None = None
        self._reset()

    def _reset(self) -> None:
        self._new: dict[str, int] = {}  # markers that this load makes -> rows
        self._marking = False
        self._gone: list[str] = []  # markers that it removes
        self._moves: list[str] = []  # statements
        self._stages: list[Stage] = []
        self._appended: tuple[Mapping[str, pa.ChunkedArray[Any]], Sequence[Target]] | None = None

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

    @property
    def _ledger(self) -> Ledger:
        if self._known_markers is None:
            raise SinkUnavailable("not connected")
        return self._known_markers

    def _make_ledger(self) -> None:
        from api2db.sink.bigqueryledger import Ledger

        self._known_markers = Ledger(self._db, self._dataset, self.delivery)
        self._ledger.make()
        prefix = prefix_of(self.delivery)
        for left in self._db.tables(self._dataset):
            if left.startswith(prefix):
                # A script that has not begun finds no rows once they are gone.
                self._db.settle(_id_of(left))
                self._db.drop(f"{self._dataset}.{left}")
                self._db.settle(_id_of(left))

    def _markers(self) -> list[str]:
        return list(self._ledger.marked())

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        there = self._ledger.marked()
        self._marking = True
        self._new = {marker: n for marker, n in rows.items() if marker not in there}
        return list(self._new)

    def _unmark(self, markers: Sequence[str]) -> None:
        self._gone += markers

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
        whole = not self.delivery.replace and not self.delivery.chunk
        if self._marking and whole and self._db.writer is None:
            self._appended = (columns, targets)
        else:
            self._insert(columns, targets)

    def _insert(
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
            self._db.execute(script.rehearsal(steps))

    def _commit(self) -> None:
        from api2db.sink.bigqueryledger import MOST

        if not self._new or len(self._gone) > MOST:  # nothing can need them: they may go alone
            self._ledger.remove(self._gone)
            self._gone = []
        if self._new and not self._loaded_directly():
            self._run_script()
        self._reset()

    def _loaded_directly(self) -> bool:
        """Load the rows into their table; return False if that takes a script: nothing is there."""
        from google.api_core.exceptions import BadRequest

        from api2db.sink import bigquerydirect as direct

        if self._appended is None:
            return False
        columns, targets = self._appended
        assert self._seen is not None  # `_verify` did
        rows = direct.arranged(self._seen, columns, targets)
        if rows is not None:
            job = f"api2db_load_{uuid.uuid4().hex}"
            with changing[self._place]:
                with ThreadPoolExecutor(1) as side:
                    file = side.submit(direct.parquet, rows)
                    self._ledger.intend(job, self._new, self._gone)
                self._gone = []
                crash_point("sink.after_intent")
                try:
                    self._db.append(file.result(), self._seen, job)
                    return True
                except BadRequest as exc:
                    fields = {"table": self.delivery.table, "job": job, "reason": str(exc)}
                    logger.warning("load_refused", extra=fields)
                    self._ledger.renew()
                    self._ledger.marked()  # takes the intent back
        self._insert(columns, targets)  # which says what is wrong
        return False

    def _run_script(self) -> None:
        from api2db.sink.bigqueryledger import stale_if_marked

        with changing[self._place], stale_if_marked():
            self._db.execute(self._script(), _id_of(self._id()))
        self._ledger.moved(self._new, self._gone)
        self._drop_stages()

    def _id(self) -> str:
        """Return what names this load: the same batches with the same rows, and no other."""
        return self._stages[0].name if self._stages else name_of(self.delivery, self._new)

    def _script(self) -> str:
        ledger = self._ledger.path
        steps = [*self._moves, script.marking(ledger, self.delivery, self._new)]
        if self._gone:
            steps.append(script.removal(ledger, script.mine(self.delivery), self._gone))
        rows = {script.path(f"{self._dataset}.{stage.name}"): stage.rows for stage in self._stages}
        made = script.transaction(ledger, self._new, rows, steps)
        if len(made) > script.LONGEST:
            raise SinkMisconfigured(
                f"{len(self._new)} pages are too many for one transaction of BigQuery",
                hint="ask the API for larger pages",
            )
        return made

    def _rollback(self) -> None:
        if not self._db.open:  # else `open` waits for it, and knows it by its rows
            self._drop_stages()
        if self._known_markers is not None:
            self._known_markers.renew()
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
