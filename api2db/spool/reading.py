"""What one pass over the log finds for a stream: batches, and what is damaged or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from api2db.spool import record as fmt
from api2db.spool.log import End
from api2db.spool.quarantine import Damage
from api2db.spool.segment import Bad, Good

if TYPE_CHECKING:
    from api2db.core.batch import Batch
    from api2db.spool.quarantine import Quarantine
    from api2db.spool.record import Totals
    from api2db.spool.segment import Segment


class Place(NamedTuple):
    """A place between two records: segment, offset in it, totals of what lies before it."""

    base: int
    offset: int
    done: Totals


class Reading:
    """
    What one `read` collects.

    Attributes:
        start: The place from which the next read of the same batches can begin.
        marks: By seq of each batch, the place behind it and what follows undelivered.
        whole: Of each batch, whether nothing is missing before it.
        torn: Whether something is missing behind the last one.
    """

    def __init__(self, start: Place, quarantine: Quarantine, *, torn: bool = False) -> None:
        self.batches: list[Batch] = []
        self.whole: list[bool] = []
        self.torn = torn
        self.marks: dict[int, Place] = {}
        self.start = start
        self.rows = 0
        self.bytes = 0
        self._done = start.done
        self._bad: list[tuple[Segment, Bad]] = []
        self._quarantine = quarantine

    def take(self, segment: Segment, found: Good | Bad | End) -> None:
        """Take the next thing in the log."""
        if isinstance(found, Bad):
            self._bad.append((segment, found))
            return
        if isinstance(found, End):
            self._settle(segment, found.offset, found.totals)
            self._move(Place(segment.base, found.offset, found.totals))
            return
        header = found.header
        self._settle(segment, found.offset, header.before)
        if header.kind == fmt.DATA:
            assert found.body is not None
            try:
                batch = fmt.decode(header, found.body)
            except (pa.ArrowException, OSError, ValueError):
                self._bad.append((segment, Bad(found.offset, found.end, header)))
                return
            self.batches.append(batch)
            self.whole.append(not self.torn)
            self.torn = False
            self.marks[header.seq] = Place(segment.base, found.end, header.after)
        self._done = header.after
        if header.kind == fmt.STATE:
            self._move(Place(segment.base, found.end, header.after))

    def _move(self, place: Place) -> None:
        """Pass something that is delivered to nobody."""
        if self.batches:
            self.marks[self.batches[-1].seq] = place
        else:
            self.start = place

    def _settle(self, segment: Segment, offset: int, before: Totals) -> None:
        """Report what is damaged or missing between the last record and this place."""
        lost = (self._done, before)
        self.torn |= bool(self._bad) or before.batches > self._done.batches
        for i, (where, bad) in enumerate(self._bad):
            self._quarantine.record(where, bad, lost if i == 0 else (before, before))
        if not self._bad and before.batches > self._done.batches:
            note = "records before this place are not there"
            batches, rows = before.batches - self._done.batches, before.rows - self._done.rows
            name = f"seg/{segment.path.name}"
            self._quarantine.report(Damage("missing", name, offset, 0, batches, rows, note))
        self._bad = []
        self._done = before
