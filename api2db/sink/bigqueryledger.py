"""
The marker table of a dataset of BigQuery, as one stream sees it.

A marker that names a job is an intent: it is there before its load job may begin, and counts if
that job ended well. So what is known of a load is durable before the load can take effect, and
each restart can tell which of its batches landed.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from google.api_core.exceptions import BadRequest

from api2db.sink import bigqueryscript as script
from api2db.sink.sql import LEDGER
from api2db.sink.table import Stale

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from api2db.sink.base import Delivery
    from api2db.sink.bigqueryjobs import Jobs

#: Most markers that one statement removes: BigQuery takes 1 MB of text.
MOST = 5_000
_CREATE = """
create table if not exists {} (
  batch_id STRING not null,
  spool STRING not null,
  collector STRING not null,
  stream STRING not null,
  n_rows INT64 not null,
  loaded_at TIMESTAMP not null,
  job STRING
)"""


class Ledger:
    """
    The markers of one delivery; the thread of its stream uses it.

    What was read is kept: nobody else writes these markers, but a request of an earlier life that
    is still on its way. That one makes the next load fail with `Stale`.

    Attributes:
        path: The table, quoted.
    """

    def __init__(self, jobs: Jobs, dataset: str, delivery: Delivery) -> None:
        self._jobs = jobs
        self._place = f"{dataset}.{LEDGER}"
        self.path = script.path(self._place)
        self._delivery = delivery
        self._mine = script.mine(delivery)
        self._marked: set[str] | None = None
        self._loaded: set[str] = set()  # markers that still name a job, which ended well

    def make(self) -> None:
        """Make the table if it is missing."""
        found = self._jobs.table(self._place)
        if found is None:
            self._jobs.execute(_CREATE.format(self.path))
        elif all(field.name != "job" for field in found.schema):
            self._jobs.execute(f"alter table {self.path} add column if not exists job STRING")

    def marked(self) -> frozenset[str]:
        """Return the markers of what landed, once no load is open."""
        if self._marked is None:
            self._marked = self._settled()
        return frozenset(self._marked)

    def renew(self) -> None:
        """Read the markers again before they are used: the last load may have failed."""
        self._marked = None

    def _settled(self) -> set[str]:
        found = self._jobs.query(f"select batch_id, job from {self.path} where {self._mine}")
        jobs = {job for _, job in found if job is not None}
        lost = {job for job in jobs if not self._jobs.took_effect(job)}
        if jobs:
            self._jobs.execute(script.settling(self.path, self._mine, lost))
        self._loaded.clear()
        return {marker for marker, job in found if job not in lost}

    def intend(self, job: str, rows: Mapping[str, int], gone: Collection[str]) -> None:
        """
        Insert markers (-> number of rows) that count once *job* ends well; remove *gone*.

        Raises:
            Stale: One of them is there; nothing is changed.
        """
        known = self._loaded.difference(gone)
        with stale_if_marked():
            self._jobs.execute(script.intent(self.path, self._delivery, job, rows, gone, known))
        self._took(rows, gone)
        self._loaded = set(rows)

    def remove(self, gone: Collection[str]) -> None:
        """Remove markers, `MOST` at a time."""
        left = iter(gone)
        while some := list(islice(left, MOST)):
            self._jobs.execute(script.removal(self.path, self._mine, some))
            self.moved((), some)

    def moved(self, new: Iterable[str], gone: Collection[str]) -> None:
        """Note what a script did."""
        self._loaded.difference_update(gone)
        self._took(new, gone)

    def _took(self, new: Iterable[str], gone: Iterable[str]) -> None:
        if self._marked is not None:
            self._marked.difference_update(gone)
            self._marked.update(new)


@contextmanager
def stale_if_marked() -> Iterator[None]:
    """Raise `Stale` where BigQuery says that a marker is there already."""
    try:
        yield
    except BadRequest as exc:
        if script.STALE in str(exc):
            raise Stale("another load of the same batches came first") from exc
        raise
