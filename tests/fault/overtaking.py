"""
The control of the order: ``api2db`` in which newer batches overtake what was spilled.

``python -m tests.fault.overtaking run ...``; the kill loop's ``--without-order`` drives it, and
must see upserted rows go back to older versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.install.cli import main
from api2db.stream.backlog import Backlog

if TYPE_CHECKING:
    from api2db.core.batch import Batch, Limit

_in_order = Backlog.read


def _overtaking(self: Backlog, limit: Limit, *, bulk: bool) -> list[Batch]:
    newer = self._spool.read(self.stream, limit)
    self._from_spill = False
    return newer or _in_order(self, limit, bulk=bulk)


if __name__ == "__main__":
    Backlog.read = _overtaking  # type: ignore[method-assign]
    main()
