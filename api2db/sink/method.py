"""Rows into a function of the user's, at least once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.errors import SinkUnavailable
from api2db.files import frame
from api2db.sink.base import Delivery, Landed, Sink

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from api2db.core.batch import Batch
    from api2db.sink.target import Method


class MethodSink(Sink):
    """
    Calls a function with each batch as a DataFrame, made for this call: nobody else has it.

    Whole numbers and booleans with NULL have pandas' nullable types, JSON is Python objects.

    A batch is delivered when the function returns. What it raises is taken for a target that
    is away: the batch is tried again, and spilled as any other. A crash between its return and
    the acknowledgement calls it again with the same rows; so does a failure at a later batch
    of the same attempt, but for those that are remembered until the process ends.
    """

    def __init__(self, target: Method, delivery: Delivery) -> None:
        self.name = target.type
        self.delivery = delivery
        self._call = target.call
        self._done: set[str] = set()

    def open(self) -> None:
        """Do nothing: the user's object has its own connection."""

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """Call the function once for each batch, in order; a rehearsal calls nothing."""
        rows = 0
        repeated = set()
        for batch in batches if commit else ():
            if batch.id in self._done:
                repeated.add(batch.id)
                continue
            if batch.rows.num_rows:
                self._deliver(batch)
            rows += batch.rows.num_rows
            self._done.add(batch.id)
        if commit:
            self._done.intersection_update(batch.id for batch in batches)
        return Landed(rows, frozenset(repeated))

    def _deliver(self, batch: Batch) -> None:
        try:
            self._call(frame.of(pa.Table.from_batches([batch.rows])).copy())
        except (Exception, SystemExit) as exc:
            why = f"{type(exc).__name__}: {exc}"
            raise SinkUnavailable(f"{self.name}: stream() failed: {why}") from exc

    def landed(self) -> frozenset[str]:
        """Return nothing: nobody can ask the user's target."""
        return frozenset()

    def forget(self, ids: Collection[str]) -> None:
        """Do nothing: there are no markers."""

    def interrupt(self) -> None:
        """Do nothing: a thread that runs the user's code cannot be stopped."""

    def close(self) -> None:
        """Do nothing: see `open`."""
