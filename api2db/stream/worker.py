"""The thread between a backlog and a sink."""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from api2db.core.backoff import Backoff
from api2db.core.clock import Clock, SystemClock
from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
    SpoolError,
)
from api2db.core.faults import crash_point
from api2db.core.pulse import Pulse
from api2db.stream.markers import Markers
from api2db.stream.pacing import Pacing
from api2db.stream.progress import Progress, State
from api2db.stream.refused import Refused
from api2db.stream.spilling import Spilling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from api2db.core.batch import Batch
    from api2db.files.dead_letter import DeadLetters
    from api2db.sink.base import Landed, Sink
    from api2db.stream.backlog import Backlog
    from api2db.stream.watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Longest wait for a new batch before markers are pruned, in seconds.
IDLE_WAIT = 1.0
#: Seconds without a batch after which the connection is given back.
IDLE_CLOSE = 60.0
#: Seconds that one transaction may take, where nobody says otherwise.
TIMEOUT = 120.0


class Worker:
    """
    Takes batches from a backlog in order and writes them into a sink until they land.

    As many waiting batches as fit go into one transaction; for those of a poll under way it
    waits a little (`Pacing`). Each attempt reads the batches again, so a dead target holds no
    memory. When the attempts are used up, what waits and what comes is spilled until an attempt
    on the oldest shards lands.

    `start`, `stop`, `join` and `progress` are for the owner, everything else runs in the
    worker's thread. A call on the sink that takes longer than `timeout` seconds is cut off.
    """

    def __init__(
        self,
        name: str,
        *,
        backlog: Backlog,
        sink: Sink,
        dead_letters: DeadLetters,
        watchdog: Watchdog,
        attempts: int | None = None,
        timeout: float = TIMEOUT,
        backoff: Backoff | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.backlog = backlog
        self.timeout = timeout
        self.progress = Progress()
        self._sink = sink
        self._refused = Refused(dead_letters, backlog.stream, name)
        self._watchdog = watchdog
        self._backoff = backoff or Backoff()
        self._clock = clock or SystemClock()
        self.pulse = Pulse(f"worker {name}", self._clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"worker-{name}", daemon=True)
        self._open = False
        self._spilling = Spilling(name, backlog, self.progress, attempts)
        self._group = sink.group.batches
        self._bulk = False  # shards go in large groups while the target is known to be well
        self._markers = Markers()
        self._idle_since: float | None = None
        self._pacing = Pacing(backlog, sink, self._clock, self.pulse)

    # -- for the owner -------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, once."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to leave after the transaction under way; the rest stays queued."""
        self._stop.set()
        self.backlog.wake()

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
                self.pulse.beat(IDLE_WAIT)
                if self.backlog.wait(self._stop, IDLE_WAIT):
                    self._idle_since = None
                    self._pacing.wait(self._stop, self._group)
                    self._attempt()
                elif not self._stop.is_set():
                    self._idle()
            if not self.progress.error:
                self._prune()
            self.progress.state = State.STOPPED
            self.pulse.rest()
        except BaseException:
            self.progress.state = State.FAILED
            logger.exception("worker_died", extra={"stream": self.name})
            raise
        finally:
            self.backlog.spilled.close()
            self._sink.close()

    def _attempt(self) -> None:
        """Try once to land what waits; on failure, wait before the next attempt."""
        try:
            try:
                with self._guard() as self._renew:
                    self._connect()
                    self._land()
            except SinkRejected as exc:
                self._bury_or_retry(exc)
        except (SinkError, SpoolError) as exc:
            self._failed(exc)
        except Exception as exc:
            # Nothing is thrown away because nobody foresaw an error: replay, loudly.
            logger.exception("unexpected_error", extra={"stream": self.name})
            self._retry(SinkUnknown(f"{type(exc).__name__}: {exc}"))

    def _guard(self) -> AbstractContextManager[Callable[[], None]]:
        """Give a call on the sink `timeout` seconds; then it is interrupted."""
        self.pulse.beat(self.timeout)
        return self._watchdog.guard(self.name, self.timeout, self._sink.interrupt)

    def _connect(self) -> None:
        if not self._open:
            self._sink.open()
            self._markers.found(self._sink.landed())
            self._open = True

    def _land(self) -> None:
        batches = self._read()
        if not batches:
            return
        self.progress.state = State.DELIVERING
        began = self._clock.monotonic()
        prunable = self._markers.done.copy()
        if self.backlog.spilled.damaged:  # once mended, it may be what the log has brought
            prunable.clear()
        landed = self._write(batches, prunable)
        crash_point("worker.before_ack")
        self.backlog.done(batches)
        self._markers.landed(batches, prunable, last=not self.backlog.unfinished)
        self._pacing.landed()
        self._overcome()
        self.progress.rows += landed.rows
        self.progress.writes += 1
        self.progress.seconds += self._clock.monotonic() - began
        self._refused.landed(batches)
        self._group, self._bulk = self._sink.group.batches, True

    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        return self._sink.write([self._refused.without(b) for b in batches], forget=forget)

    def _read(self) -> list[Batch]:
        limit = self._sink.group._replace(batches=self._group)
        return self.backlog.read(limit, bulk=self._bulk and self._group > 1)

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
        """Remove the markers of batches that are done with: all, if nothing else may come."""
        markers = self._markers
        if not self.backlog.unfinished:
            markers.done.update(markers.known)
        if not (self._open and markers.done) or self.backlog.spilled.damaged:
            return
        try:
            with self._guard():
                self._sink.forget(markers.done)
        except SinkError as exc:  # they go with the next transaction
            logger.info("prune_failed", extra={"stream": self.name, "error": str(exc)})
            self._disconnect()
        else:
            markers.forgotten()

    def _disconnect(self) -> None:
        self._open = False
        self._sink.close()

    # -- failures: the one place where the four kinds are decided --------------------

    def _failed(self, error: SinkError | SpoolError) -> None:
        if isinstance(error, SinkError):
            self._retry(error)
        else:
            self._retry(SinkUnavailable(str(error)), ours=True)

    def _retry(self, error: SinkError, *, ours: bool = False) -> None:
        """
        Wait, with backoff, before the next attempt; it connects anew.

        What a person must mend, at the target or (*ours*) here, uses up no attempts.
        """
        self._disconnect()
        self._bulk = False
        self.backlog.spilled.release()
        progress = self.progress
        kind = error.kind
        paused = isinstance(error, SinkMisconfigured)
        news = progress.failed(kind, str(error))
        progress.state = State.PAUSED if paused else State.RETRYING
        delay = self._backoff.delay(progress.attempt)
        if isinstance(error, SinkUnavailable) and error.retry_after is not None:
            delay = error.retry_after
        if news:
            event = "stream_paused" if paused else "stream_retrying"
            fields = {"stream": self.name, "kind": kind, "error": str(error), "delay": delay}
            logger.log(logging.ERROR if paused or ours else logging.WARNING, event, extra=fields)
        self._spilling.failed(counts=not (paused or ours))
        self._wait(delay)

    def _wait(self, delay: float) -> None:
        """Wait *delay* seconds; spill what waits and what comes, if the attempts are used up."""
        until = self.progress.retry_due = self._clock.monotonic() + delay
        while not self._stop.is_set():
            self.pulse.rest()  # the disk takes as long as it needs
            well = self._spilling.spill(self._stop)
            left = until - self._clock.monotonic()
            if left <= 0:
                return
            self.pulse.beat(left)
            if well:
                self.backlog.wait_for_log(self._stop, left)
            else:
                self._clock.wait(self._stop, left)

    def _overcome(self) -> None:
        if self.progress.error:
            logger.info("stream_recovered", extra={"stream": self.name})
        self.progress.overcome()
        self._spilling.overcome()

    def _bury_or_retry(self, rejected: SinkRejected) -> None:
        """Put the refused rows into the dead letters; the next attempt leaves them out."""
        known = self._markers.known
        found = self._refused.find(rejected, self._waiting, known, self._sink, self._guard)
        if not found:
            # Each batch passes alone, but not all together: send them one at a time.
            fields = {"stream": self.name, "error": str(rejected)}
            logger.warning("load_rejected_whole", extra=fields)
            if self._group == 1:
                self._retry(SinkUnknown(str(rejected)))
            self._group = 1
            return
        try:
            for batch, rows in found:
                bury = partial(self._refused.bury, batch, rows, self._clock.now())
                self.progress.dead += self.backlog.ballast.spare(bury)
        except OSError as exc:
            hint = "make room under the store, or mend its disk; the rows wait"
            self._retry(SinkUnavailable(f"no dead letters: {exc}", hint=hint), ours=True)

    def _waiting(self) -> Iterable[Batch]:
        """Return what `_land` has tried to land."""
        return self._read()
