"""The worker of a stream, with its backlog: which ones, and how they are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.files.shard import Origin
from api2db.stream.backlog import Backlog
from api2db.stream.polls import PollBacklog
from api2db.stream.replace import ReplaceWorker
from api2db.stream.spill import Spill
from api2db.stream.worker import TIMEOUT, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.core.distinct import Keys
    from api2db.core.ids import Timestamps
    from api2db.files.dead_letter import DeadLetters
    from api2db.sink.base import Sink
    from api2db.spool.spool import Spool
    from api2db.stream.watchdog import Watchdog


def make_worker(
    collector: str,
    stream: str,
    *,
    spool: Spool,
    shards: Path,
    sink: Sink,
    dead_letters: DeadLetters,
    watchdog: Watchdog,
    timestamps: Timestamps,
    clock: Clock,
    replace: bool,
    distinct: Keys,
    attempts: int | None,
    timeout: float = TIMEOUT,
) -> Worker:
    """
    Return the worker of a stream, not started.

    Args:
        shards: Folder of what is spilled.
        timestamps: Those of the spool; they go on behind the newest shard's.
        replace: Each whole poll takes the place of all rows; then nothing is ever spilled.
        distinct: As of `Backlog`; the rest as of `Worker`.
    """
    spill = Spill(shards, Origin(spool.id, collector, stream))
    timestamps.seen(spill.newest_ns)  # one of dead rows is newer than the log
    worker, backlog = (ReplaceWorker, PollBacklog) if replace else (Worker, Backlog)
    made: Worker = worker(
        f"{collector}/{stream}",
        backlog=backlog(spool, stream, spill, distinct=distinct),
        sink=sink,
        dead_letters=dead_letters,
        watchdog=watchdog,
        attempts=None if replace else attempts,
        timeout=timeout,
        clock=clock,
    )
    return made
