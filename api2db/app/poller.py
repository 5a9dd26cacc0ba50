"""The thread that polls one API when it is due."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.app.counts import Counts
from api2db.app.room import Room
from api2db.core.errors import (
    Api2dbError,
    FormError,
    SourceError,
    SourceUnavailable,
    SpoolFull,
)
from api2db.core.faults import crash_point
from api2db.core.pulse import Pulse
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.poll import Poll
from api2db.spool.spool import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from api2db.app.schedule import Schedule
    from api2db.core.clock import Clock
    from api2db.files.dead_letter import DeadBodies, DeadLetters
    from api2db.ingest.form import Form
    from api2db.ingest.heldkeys import HeldKeys
    from api2db.ingest.poll import Step
    from api2db.ingest.source import Source
    from api2db.ingest.watermark import Since
    from api2db.spool.spool import Spool

logger = logging.getLogger(__name__)

#: Longest wait between two signs of life, in seconds.
LOOK = 10.0
_MIXED = "it began again, and rows that it holds are gone: the next poll replaces"


class Poller:
    """
    Polls one API on schedule and puts each page, with its checkpoint, into the log.

    `start`, `stop`, `join` and `counts` are for the owner; `poll` runs in the poller's
    thread, or in the caller's where the thread was never started.

    Args:
        ends: Whether some stream must learn of the end of each poll.
        empty_ends: Whether of one without any rows, too.
    """

    def __init__(
        self,
        name: str,
        *,
        source: Source,
        form: Callable[[Checkpoint], Form],
        since: Since | None,
        max_pages: int,
        spool: Spool,
        held_keys: HeldKeys,
        dead_rows: DeadLetters,
        dead_bodies: DeadBodies,
        schedule: Schedule,
        clock: Clock,
        stop: threading.Event,
        ends: bool = False,
        empty_ends: bool = True,
        make_poll: Callable[..., Poll] = Poll,
    ) -> None:
        self.name = name
        self.counts = Counts()
        self.pulse = Pulse(f"poller {name}", clock)
        self._source = source
        self._make_form = form
        self._make_poll = make_poll
        self._since = since
        self._max_pages = max_pages
        self._spool = spool
        self._dead_rows = dead_rows
        self._dead_bodies = dead_bodies
        self._schedule = schedule
        self._clock = clock
        self._stop = stop
        self._room = Room(name, spool, held_keys, clock=clock, stop=stop, pulse=self.pulse)
        self._ends = ends
        self._empty_ends = empty_ends
        under_way = Checkpoint.from_bytes(spool.state).poll
        self._recorded = under_way.id if under_way else ""  # the last poll that has rows in the log
        self._form: Form | None = None
        self._thread = threading.Thread(target=self._run, name=f"poller-{name}", daemon=True)

    # -- for the owner -------------------------------------------------------------

    def start(self) -> None:
        """Start polling, once."""
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds after the stop event; return whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, timeout))
        return not self._thread.is_alive()

    def close(self) -> None:
        """Break off a request under way."""
        self._source.close()

    # -- the thread ----------------------------------------------------------------

    def _run(self) -> None:
        due = self._schedule.first()
        while not self._waited(due):
            self.counts.lateness += max(0.0, self._clock.monotonic() - due)
            pause = self.poll()
            due = self._schedule.after(due)
            if pause is not None:  # the API asked for more time than a retry may take
                due = max(due, self._clock.monotonic() + pause)
        self.pulse.rest()

    def _waited(self, due: float) -> bool:
        """Wait until *due*, with signs of life; return whether to stop instead of polling."""
        while not self._stop.is_set():
            self.pulse.beat(LOOK)
            due = self._schedule.moved(due)
            self.counts.next_due = due
            left = due - self._clock.monotonic()
            if left <= 0:
                break
            self._clock.wait(self._stop, min(left, LOOK))
        self.counts.next_due = None
        return self._stop.is_set()

    def poll(self) -> float | None:
        """
        Poll once, all pages.

        Never raises but for the end of the process: a failure is counted, logged and kept in
        `counts.error`. Returns the seconds that the API asked us to wait, if it did.
        """
        began = self._clock.monotonic()
        self.counts.last_poll_at = self._clock.now()
        pause = None
        try:
            self._collect()
        except SpoolFull as exc:
            self._failed(exc, "skipped")
        except SourceUnavailable as exc:
            pause = exc.retry_after
            self._failed(exc, "failed")
        except (Api2dbError, OSError) as exc:
            self._failed(exc, "failed")
        except Exception as exc:
            logger.exception("unexpected_error", extra={"collector": self.name})
            self._failed(exc, "failed")
        else:
            self._succeeded()
        self.counts.seconds += self._clock.monotonic() - began
        return pause

    def _collect(self) -> None:
        checkpoint = Checkpoint.from_bytes(self._spool.state)
        form = self._form or self._make_form(checkpoint)
        self._form = None  # after a failure its memory may be ahead of the log
        self.pulse.beat(self._source.patience)
        poll = self._make_poll(
            self._source,
            form,
            checkpoint,
            since=self._since,
            max_pages=self._max_pages,
            next_seq=lambda: self._spool.next_seq,
            held=self._room.held,
        )
        steps = poll.steps()
        try:
            self._store(steps)
        except FormError as exc:
            self._keep_body(exc)
            raise
        finally:
            steps.close()  # type: ignore[attr-defined]
        self._form = form

    def _store(self, steps: Iterator[Step]) -> None:
        """Make each step durable before the next is asked for."""
        for step in steps:
            self.pulse.beat(self._source.patience)
            self._put(step)
            if self._stop.is_set() and not step.last:
                raise SourceUnavailable("stopped in the middle of a poll; it will resume")

    def _put(self, step: Step) -> None:
        """Make one step durable."""
        if step.dead:
            self._bury(step)
        last = step.last and not (self._ends and step.mixed)
        told = last and self._ends and (self._empty_ends or step.poll == self._recorded)
        rows = step.rows if step.rows.num_rows or told else None
        if rows is None and not self._moves(step):
            return
        crash_point("poller.before_put")
        self._room.put(
            Record(
                rows=rows,
                state=step.state,
                poll=step.poll,
                last=last,
                first=step.poll != self._recorded,
                hold=None if step.last else step.first_seq,
            )
        )
        if rows is not None:
            self._recorded = step.poll
        crash_point("poller.after_put")
        if step.last and not last:
            fields = {"collector": self.name, "poll": step.poll, "reason": _MIXED}
            logger.warning("poll_passed_over", extra=fields)
        self.counts.rows += step.rows.num_rows

    def _moves(self, step: Step) -> bool:
        """Return whether a step without rows must be stored all the same."""
        if step.last:
            return step.state != self._spool.state
        after = Checkpoint.from_bytes(step.state)
        if after.mark != Checkpoint.from_bytes(self._spool.state).mark:
            return True
        return after.poll is not None and after.poll.restart

    # -- what does not fit ------------------------------------------------------------

    def _bury(self, step: Step) -> None:
        """Keep rows that do not fit the form, durable before the page is."""
        name = f"{step.poll}-{step.page:06d}"
        at = self._clock.now()
        try:
            more = self._dead_rows.put(name, step.dead, poll=step.poll, page=step.page, at=at)
        except OSError as exc:
            hint = "make room under the store, or mend its disk; the page is asked for again"
            raise SpoolFull(f"no dead letters: {exc}", hint=hint) from exc
        self.counts.dead += more
        fields = {"collector": self.name, "rows": len(step.dead), "reason": step.dead[0].reason}
        logger.warning("rows_dead", extra=fields)

    def _keep_body(self, error: FormError) -> None:
        if not error.body:
            return
        with suppress(OSError):  # the poll fails and says why in any case
            path = self._dead_bodies.put(error.body, str(error))
            error.hint = error.hint or f"the response is kept in {path}"

    def _failed(self, error: BaseException, result: str) -> None:
        counts = self.counts
        counts.polls[result] += 1
        counts.last_result = result
        if counts.failing_since is None:
            counts.failing_since = self._clock.monotonic()
        text = str(error) if isinstance(error, Api2dbError) else f"{type(error).__name__}: {error}"
        if self._stop.is_set() and isinstance(error, SourceError):
            logger.info("poll_stopped", extra={"collector": self.name})
        else:
            counts.error = text
            logger.warning("poll_%s", result, extra={"collector": self.name, "error": text})

    def _succeeded(self) -> None:
        if self.counts.error:
            logger.info("poll_recovered", extra={"collector": self.name})
        self.counts.polls["ok"] += 1
        self.counts.last_result = "ok"
        self.counts.error = ""
        self.counts.failing_since = None
