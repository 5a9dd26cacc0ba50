"""The thread between a spool and a sink."""

from __future__ import annotations

import enum
import json
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.backoff import Backoff
from api2db.core.batch import Batch, DeadRow
from api2db.core.clock import Clock, SystemClock
from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.core.faults import crash_point
from api2db.stream.bisect import refused_rows

if TYPE_CHECKING:
    from api2db.files.dead_letter import DeadLetters
    from api2db.sink.base import Sink
    from api2db.spool.spool import Spool
    from api2db.stream.watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Longest wait for a new batch before markers are pruned, in seconds.
IDLE_WAIT = 1.0
#: Seconds without a batch after which the connection is given back.
IDLE_CLOSE = 60.0
#: Most batches in one transaction.
GROUP_BATCHES = 16
#: Longest time that one transaction may take, in seconds, before its socket is closed.
WRITE_TIMEOUT = 120.0


class State(enum.Enum):
    """What a worker is doing; `PAUSED` and `RETRYING` come with an error."""

    IDLE = "idle"
    DELIVERING = "delivering"
    RETRYING = "retrying"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class Progress:
    """
    What a worker has done since it started; read by other threads for status and metrics.

    Attributes:
        rows: Rows that landed.
        dead: Rows put into the dead letters.
        writes: Transactions that landed; `seconds` is what they took together.
        retries: Failed attempts, by kind of error.
        error: Last error that has not been overcome, "" if there is none.
    """

    state: State = State.IDLE
    rows: int = 0
    dead: int = 0
    writes: int = 0
    seconds: float = 0.0
    retries: dict[str, int] | None = None
    error: str = ""
    attempt: int = 0


class Worker:
    """
    Takes batches from a spool in order and writes them into a sink until they land.

    As many waiting batches as fit go into one transaction; it never waits for more. Each
    attempt reads the batches again, so a dead target holds no memory.

    `start`, `stop`, `join` and `progress` are for the owner, everything else runs in the
    worker's thread.
    """

    def __init__(
        self,
        name: str,
        *,
        stream: str,
        spool: Spool,
        sink: Sink,
        dead_letters: DeadLetters,
        watchdog: Watchdog,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.stream = stream
        self.progress = Progress(retries={})
        self._spool = spool
        self._sink = sink
        self._dead_letters = dead_letters
        self._watchdog = watchdog
        self._backoff = backoff or Backoff()
        self._clock = clock or SystemClock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)
        self._open = False
        self._group = GROUP_BATCHES
        self._landed: set[str] = set()  # batches that have a marker at the target
        self._dead: dict[str, dict[int, DeadRow]] = {}  # by batch id, until it lands
        self._idle_since: float | None = None

    # -- for the owner -------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to leave after the transaction under way; the rest stays queued."""
        self._stop.set()
        self._spool.wake()

    def interrupt(self) -> None:
        """Break off the transaction under way; its marker decides what it did."""
        self._sink.interrupt()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds; return whether the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    # -- the thread ----------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._spool.wait(self.stream, self._stop, IDLE_WAIT):
                    self._idle_since = None
                    self._attempt()
                elif not self._stop.is_set():
                    self._idle()
            if not self.progress.error:
                self._prune()
            self.progress.state = State.STOPPED
        except BaseException:
            self.progress.state = State.FAILED
            logger.exception("worker_died", extra={"stream": self.name})
            raise
        finally:
            self._sink.close()

    def _attempt(self) -> None:
        """Try once to land what waits; on failure, wait before the next attempt."""
        try:
            with self._watchdog.guard(self.name, WRITE_TIMEOUT, self._sink.interrupt):
                self._connect()
                self._land()
        except SinkRejected as exc:
            self._bury_or_retry(exc)
        except SinkError as exc:
            self._retry(exc)
        except Exception as exc:
            # Nothing is thrown away because nobody foresaw an error: replay, loudly.
            logger.exception("unexpected_error", extra={"stream": self.name})
            self._retry(SinkUnknown(f"{type(exc).__name__}: {exc}"))

    def _connect(self) -> None:
        if not self._open:
            self._sink.open()
            self._landed |= self._sink.landed()
            self._open = True

    def _land(self) -> None:
        batches = self._spool.read(self.stream, batches=self._group)
        if not batches:
            return
        self.progress.state = State.DELIVERING
        began = self._clock.monotonic()
        alive = [self._without_dead(batch) for batch in batches]
        ids = {batch.id for batch in batches}
        prunable = self._landed - ids if self._passed(batches) else set()
        landed = self._sink.write(alive, forget=prunable)
        crash_point("worker.before_ack")
        self._spool.ack(self.stream, batches[-1].seq)
        self._landed = (self._landed - prunable) | ids
        self._overcome()
        self.progress.rows += landed.rows
        self.progress.writes += 1
        self.progress.seconds += self._clock.monotonic() - began
        for batch in batches:
            self._dead.pop(batch.id, None)
        self._group = GROUP_BATCHES

    def _passed(self, batches: list[Batch]) -> bool:
        """
        Return whether no batch before *batches* can be sent again.

        Markers of an earlier life may belong to batches further on in the log: they landed,
        but were not acknowledged. Batches land in order, so these come first: once a batch
        without a marker is met, all marked ones lie behind or among *batches*.
        """
        return any(batch.id not in self._landed for batch in batches)

    def _idle(self) -> None:
        """Nothing waits: prune the markers, and give the connection back after a while."""
        if self.progress.state not in (State.PAUSED, State.RETRYING):
            self.progress.state = State.IDLE
        now = self._clock.monotonic()
        if self._idle_since is None:
            self._idle_since = now
            self._prune()
        elif self._open and now - self._idle_since >= IDLE_CLOSE:
            self._disconnect()

    def _prune(self) -> None:
        """Remove the markers of acknowledged batches, if the log holds no others."""
        if not (self._open and self._landed) or self._spool.depth(self.stream).batches:
            return
        try:
            with self._watchdog.guard(self.name, WRITE_TIMEOUT, self._sink.interrupt):
                self._sink.forget(self._landed)
        except SinkError as exc:  # they go with the next transaction
            logger.info("prune_failed", extra={"stream": self.name, "error": str(exc)})
            self._disconnect()
        else:
            self._landed = set()

    def _disconnect(self) -> None:
        self._open = False
        self._sink.close()

    # -- failures: the one place where the four kinds are decided --------------------

    def _retry(self, error: SinkError) -> None:
        """Wait, with backoff, before the next attempt; it connects anew."""
        self._disconnect()
        progress = self.progress
        progress.attempt += 1
        kind = _kind(error)
        assert progress.retries is not None
        progress.retries[kind] = progress.retries.get(kind, 0) + 1
        paused = isinstance(error, SinkMisconfigured)
        progress.state = State.PAUSED if paused else State.RETRYING
        delay = self._backoff.delay(progress.attempt)
        if isinstance(error, SinkUnavailable) and error.retry_after is not None:
            delay = error.retry_after
        if str(error) != progress.error:
            level = logging.ERROR if paused else logging.WARNING
            event = "stream_paused" if paused else "stream_retrying"
            fields = {"stream": self.name, "kind": kind, "error": str(error), "delay": delay}
            logger.log(level, event, extra=fields)
        progress.error = str(error)
        self._clock.wait(self._stop, delay)

    def _overcome(self) -> None:
        if self.progress.error:
            logger.info("stream_recovered", extra={"stream": self.name})
        self.progress.error = ""
        self.progress.attempt = 0

    def _bury_or_retry(self, error: SinkRejected) -> None:
        """Put the refused rows into the dead letters; the next attempt leaves them out."""
        try:
            found = self._refused(error)
        except SinkError as exc:
            self._retry(exc)
            return
        if not found:
            # Each batch passes alone, but not all together: send them one at a time.
            logger.warning("load_rejected_whole", extra={"stream": self.name, "error": str(error)})
            if self._group == 1:
                self._retry(SinkUnknown(str(error)))
            self._group = 1
            return
        try:
            for batch, rows in found:
                self._bury(batch, rows)
        except OSError as exc:
            hint = "make room under the store; the rows wait in the spool"
            self._retry(SinkUnavailable(f"cannot write the dead letters: {exc}", hint=hint))

    def _refused(self, error: SinkRejected) -> list[tuple[Batch, list[DeadRow]]]:
        batches = self._spool.read(self.stream, batches=self._group)
        found = []
        for batch in batches:
            rows = list(error.rows.get(batch.id, ()))
            if not error.rows:
                with self._watchdog.guard(self.name, WRITE_TIMEOUT, self._sink.interrupt):
                    rows = refused_rows(self._sink, self._without_dead(batch))
            if rows:
                found.append((batch, rows))
        return found

    def _bury(self, batch: Batch, rows: list[DeadRow]) -> None:
        """Make *rows*, numbered as in what the sink was given, durable as dead letters."""
        known = self._dead.setdefault(batch.id, {})
        alive = [i for i in range(batch.rows.num_rows) if i not in known]
        for row in rows:
            at = alive[row.row]
            content = row.content or _as_json(batch.rows.slice(at, 1))
            known[at] = DeadRow(at, row.reason, content)
        dead = [known[i] for i in sorted(known)]
        self.progress.dead += self._dead_letters.put(
            str(batch.timestamp_ns), dead, batch=batch.id, stream=self.stream, at=self._clock.now()
        )
        crash_point("worker.after_dead_letter")
        logger.warning(
            "rows_dead",
            extra={"stream": self.name, "rows": len(rows), "reason": rows[0].reason},
        )

    def _without_dead(self, batch: Batch) -> Batch:
        dead = self._dead.get(batch.id)
        if not dead:
            return batch
        mask = pa.array([i not in dead for i in range(batch.rows.num_rows)], pa.bool_())
        return batch.with_rows(batch.rows.filter(mask))


def _kind(error: SinkError) -> str:
    if isinstance(error, SinkMisconfigured):
        return "configuration"
    return "transient" if isinstance(error, SinkUnavailable) else "unknown"


def _as_json(row: pa.RecordBatch) -> str:
    return json.dumps(row.to_pylist()[0], default=str, ensure_ascii=False)
