"""One DataFrame into a target, at once: what `stream` does when a user calls it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.backoff import Backoff
from api2db.core.batch import Batch
from api2db.core.clock import SystemClock
from api2db.core.distinct import distinct
from api2db.core.errors import SinkError, SinkRejected
from api2db.core.ids import Timestamps, new_id
from api2db.files.dead_letter import DeadLetters
from api2db.files.layout import Layout
from api2db.files.shard import Origin
from api2db.ingest.form import Form
from api2db.stream.naming import name_of
from api2db.stream.rows import rows_of
from api2db.stream.spill import Spill
from api2db.stream.spillfolders import alone
from api2db.stream.target import sink_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api2db.core.clock import Clock
    from api2db.sink.base import Sink
    from api2db.stream.declaration import Declaration

logger = logging.getLogger(__name__)

#: Names of what is stored directly; they increase in one process.
_timestamps = Timestamps(SystemClock())


def deliver(
    declared: Declaration,
    data: Any,
    retries: int = 5,
    *,
    clock: Clock | None = None,
    backoff: Backoff | None = None,
) -> bool:
    """
    Write a DataFrame into the target of *declared*, once; return whether it is there.

    After *retries* more attempts, with growing waits between them, or if the target refuses
    its rows, it lies in ``STORE/upload_failed/<name>/<stream_type>/``. Blocks the caller.

    Raises:
        ConfigError: The declaration cannot be used.
        FormError: *data* is no DataFrame.
        OSError: The target and the disk refused: nothing is kept.
    """
    assert declared.target is not None
    layout = Layout(Path.cwd() / "STORE")
    batches = _batches(declared, data, layout)
    spool = new_id()
    sink = sink_of(declared, spool, layout)
    if not batches or _landed(sink, declared, batches, retries, clock, backoff):
        return True
    name = name_of(declared)
    folder = alone(layout.spilled(declared.name), declared.stream_type, name)
    shards = Spill(folder, Origin(spool, declared.name, name))
    for batch in batches:
        shards.put(batch)
    logger.error("upload_failed", extra={"stream": declared.stream_type, "path": str(folder)})
    return False


def _batches(declared: Declaration, data: Any, layout: Layout) -> list[Batch]:
    """
    Return the rows of a DataFrame as one batch, without duplicates; none for no rows.

    But no rows that replace others are a batch, which empties the target.
    Rows that no column holds become dead letters. Raises as `deliver`.
    """
    form = Form(rows=None, columns=None)
    built = form.parse(rows_of(data)).build()
    at = _timestamps.next()
    if built.dead:
        letters = DeadLetters(layout.dead_letter(declared.name, "_rows"))
        letters.put(str(at), built.dead, stream=declared.stream_type)
    rows = distinct(built.rows, declared.drop_duplicates)
    if not (rows.num_rows or declared.replace):
        return []
    return [Batch(new_id(), 1, _timestamps.next(), rows)]


def _landed(
    sink: Sink,
    declared: Declaration,
    batches: Sequence[Batch],
    retries: int,
    clock: Clock | None,
    backoff: Backoff | None,
) -> bool:
    """Try `1 + retries` times; batches keep their ids, so that none lands twice."""
    for attempt in range(1, retries + 2):
        try:
            sink.open()
            if declared.replace:
                sink.replace(batches)
            else:
                sink.write(batches)
            _forget(sink, batches)
        except SinkError as exc:
            fields = {"stream": declared.stream_type, "attempt": attempt, "error": str(exc)}
            logger.warning("stream_failed", extra=fields)
            if isinstance(exc, SinkRejected):  # so it will be the next time
                return False
        else:
            return True
        finally:
            sink.close()
        if attempt <= retries:
            (clock or SystemClock()).wait(threading.Event(), (backoff or Backoff()).delay(attempt))
    return False


def _forget(sink: Sink, batches: Sequence[Batch]) -> None:
    """Remove the markers; what fails here is no reason to write the rows again."""
    try:
        sink.forget([batch.id for batch in batches])
    except SinkError as exc:
        logger.info("prune_failed", extra={"error": str(exc)})
