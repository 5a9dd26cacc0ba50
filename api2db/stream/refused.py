"""The rows of waiting batches that a target has refused."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.batch import DeadRow
from api2db.core.errors import SpoolFailed
from api2db.core.faults import crash_point
from api2db.stream.bisect import refused_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from api2db.core.batch import Batch
    from api2db.core.errors import SinkRejected
    from api2db.files.dead_letter import DeadLetters
    from api2db.sink.base import Sink

logger = logging.getLogger(__name__)


class Refused:
    """
    Makes refused rows dead letters, and leaves them out of their batches from then on.

    It forgets them when their batch lands. After a restart the letters still tell them: if the
    target took such a row meanwhile, it would be in both places, and sent again from one.
    Belongs to one worker's thread.
    """

    def __init__(self, letters: DeadLetters, stream: str, name: str) -> None:
        self._letters = letters
        self._stream = stream
        self._name = name
        self._earlier = letters.names()  # of an earlier life
        self._dead: dict[str, dict[int, DeadRow]] = {}  # by batch id, until it lands

    def find(
        self,
        error: SinkRejected,
        batches: Callable[[], Iterable[Batch]],
        known: Collection[str],
        sink: Sink,
        guard: Callable[[], AbstractContextManager[object]],
    ) -> list[tuple[Batch, list[DeadRow]]]:
        """
        Return the rows that *sink* refused in a load of *batches*, by batch; empty if none.

        What has landed is not written again, but its rows would seem to be refused, where a key
        is unique: they are looked at if no other row was.

        Args:
            known: Ids of batches that have a marker: most of them, if not all, have landed.
            error: What the load ended with; if it names no rows, they are sought.
            guard: Gives a call on the sink its time.

        Raises:
            SinkError: The search failed.
        """
        found = [*self._among(error, (b for b in batches() if b.id not in known), sink, guard)]
        return found or [*self._among(error, (b for b in batches() if b.id in known), sink, guard)]

    def _among(
        self,
        error: SinkRejected,
        batches: Iterable[Batch],
        sink: Sink,
        guard: Callable[[], AbstractContextManager[object]],
    ) -> Iterator[tuple[Batch, list[DeadRow]]]:
        for batch in batches:
            rows = list(error.rows.get(batch.id, ()))
            if not error.rows:
                with guard():
                    rows = refused_rows(sink, self.without(batch))
            if rows:
                yield batch, rows

    def bury(self, batch: Batch, rows: Sequence[DeadRow], at: float) -> int:
        """
        Make *rows*, numbered as in what the sink was given, durable as dead letters.

        Returns how many more are kept than before.

        Args:
            at: Now, in epoch seconds.

        Raises:
            OSError: They are not kept; the batch must not land yet.
        """
        known = dict(self._dead.get(batch.id, {}))
        alive = [i for i in range(batch.rows.num_rows) if i not in known]
        for row in rows:
            place = alive[row.row]
            content = row.content or _as_json(batch.rows.slice(place, 1))
            known[place] = DeadRow(place, row.reason, content)
        dead = [known[i] for i in sorted(known)]
        more = self._letters.put(
            str(batch.timestamp_ns), dead, batch=batch.id, stream=self._stream, at=at
        )
        # Only now: what is left out of a load must be on disk.
        self._dead[batch.id] = known
        crash_point("worker.after_dead_letter")
        fields = {"stream": self._name, "rows": len(rows), "reason": rows[0].reason}
        logger.warning("rows_dead", extra=fields)
        return more

    def without(self, batch: Batch) -> Batch:
        """
        Return *batch* without its refused rows.

        Raises:
            SpoolFailed: The letters cannot be read.
        """
        dead = self._dead.get(batch.id) or self._known(batch)
        if not dead:
            return batch
        mask = pa.array([i not in dead for i in range(batch.rows.num_rows)], pa.bool_())
        return batch.with_rows(batch.rows.filter(mask))

    def _known(self, batch: Batch) -> dict[int, DeadRow]:
        name = str(batch.timestamp_ns)
        if name not in self._earlier:
            return {}
        try:
            rows = self._letters.known(name, batch.id)
        except OSError as exc:
            where = f"cannot read the dead letter {name}: {exc}"
            raise SpoolFailed(where, hint="check the disk and the rights") from exc
        dead = self._dead[batch.id] = {row.row: row for row in rows}
        return dead

    def landed(self, batches: Sequence[Batch]) -> None:
        """Forget the rows of *batches*."""
        for batch in batches:
            self._dead.pop(batch.id, None)


def _as_json(row: pa.RecordBatch) -> str:
    return json.dumps(row.to_pylist()[0], default=str, ensure_ascii=False)
