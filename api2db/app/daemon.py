"""The daemon: pollers, spools and workers, started and stopped in order."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from api2db.app.leftover import leftover, notes
from api2db.app.line import make_line
from api2db.app.secret import Redactor
from api2db.app.writers import unsent_into
from api2db.core.clock import Clock, SystemClock
from api2db.core.ids import Timestamps
from api2db.files.layout import Layout
from api2db.files.lock import Lock
from api2db.stream.progress import State
from api2db.stream.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api2db.app.line import Line
    from api2db.app.settings import Config
    from api2db.stream.worker import Worker

logger = logging.getLogger(__name__)

#: Longest time between looks at whether everything has landed, in seconds.
DRAIN_LOOK = 0.05
#: How long the page under way may take once polling is to stop, in seconds.
LAST_PAGE = 2.0


class Daemon:
    """
    Everything that runs for one configuration and one STORE.

    Created, started and stopped by one thread, the main one. A second daemon on the same
    STORE cannot be created: `StoreLocked`.

    Attributes:
        lines: By collector or store.
        leftover: What waits for nobody, as `leftover.leftover` found it when this was made.
        hide: Takes the secrets of the configuration out of a text.
    """

    def __init__(self, config: Config, *, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or SystemClock()
        self.hide = Redactor(config.secrets)
        self.layout = Layout(config.store)
        self.lines: dict[str, Line] = {}
        self._polling = threading.Event()
        self._watchdog = Watchdog()
        self._lock = Lock(self.layout.lock)
        self._lock.acquire()
        try:
            self.timestamps = Timestamps(self.clock)
            for name, collector in config.lines.items():
                self.lines[name] = make_line(
                    config,
                    collector,
                    layout=self.layout,
                    timestamps=self.timestamps,
                    clock=self.clock,
                    stop=self._polling,
                    watchdog=self._watchdog,
                    hide=self.hide,
                    unsent=lambda folder: unsent_into(config, self.lines.values(), folder),
                )
            self.leftover = leftover(config, self.layout)
        except BaseException:
            self.close()
            raise

    @property
    def workers(self) -> list[Worker]:
        """Every worker of every collector."""
        return [worker for line in self.lines.values() for worker in line.workers.values()]

    def hung(self) -> list[str]:
        """Return the threads that broke their promise to be back by now."""
        pulses = [line.poller.pulse for line in self.lines.values()]
        pulses += [worker.pulse for worker in self.workers]
        return [pulse.name for pulse in pulses if pulse.late()]

    def start(self, *, poll: bool = True) -> None:
        """Start the workers, then, unless told otherwise, the pollers."""
        for worker in self.workers:
            worker.start()
        if poll:
            for line in self.lines.values():
                line.poller.start()
        for note in notes(self.leftover, self.lines):
            logger.warning("rows_wait_for_nobody", extra={"note": note})
        logger.info("started", extra={"collectors": len(self.lines), "streams": len(self.workers)})

    def poll_once(self, stop: threading.Event, *, stores: bool = False) -> bool:
        """
        Poll every collector, or store, once, all at the same time; return whether none failed.

        When *stop* is set, polls end after the page under way; one that does not is left.
        """
        lines = {name: line for name, line in self.lines.items() if bool(line.store) == stores}
        threads = [
            threading.Thread(target=line.poller.poll, name=f"poll-{name}", daemon=True)
            for name, line in lines.items()
        ]
        for thread in threads:
            thread.start()
        left_at = None
        for thread in threads:
            while thread.is_alive():
                if stop.is_set():
                    self.stop_polling()
                    left_at = left_at or time.monotonic() + LAST_PAGE
                    if time.monotonic() > left_at:
                        return False
                thread.join(DRAIN_LOOK)
        return not any(line.poller.counts.error for line in lines.values())

    def drain(self, timeout: float, stop: threading.Event) -> bool:
        """
        Wait until everything queued has landed or is spilled; return whether it has.

        Returns early when *stop* is set, when *timeout* seconds have passed, or when only
        streams that a person must mend are left.
        """
        deadline = time.monotonic() + timeout
        while behind := self._behind():
            if all(worker.progress.state is State.PAUSED for worker in behind):
                return False
            if time.monotonic() >= deadline or stop.wait(DRAIN_LOOK):
                return False
        return True

    def _behind(self) -> list[Worker]:
        """Return who has not yet landed or spilled what is queued, nor given up on its shards."""
        return [
            worker
            for worker in self.workers
            if worker.backlog.queued
            or (worker.backlog.spilled.batches and not worker.progress.spilling)
        ]

    def waiting(self) -> int:
        """Return how many batches have not landed, over all streams."""
        return sum(worker.backlog.batches for worker in self.workers)

    def stop(self, grace: float, *, drain: bool = True) -> bool:
        """
        Stop polling, deliver what is queued, end all threads; within *grace* seconds in all.

        What has not landed by then stays on disk. Returns whether every thread ended.
        """
        deadline = time.monotonic() + grace
        self.stop_polling()
        for line in self.lines.values():
            line.poller.join(min(LAST_PAGE, deadline - time.monotonic()))
            line.poller.close()
        if drain:
            self._drain_healthy(deadline - grace / 4)
        for worker in self.workers:
            worker.stop()
        ended = _join(self.workers, deadline - grace / 8)
        for worker in self.workers:
            if not worker.join(0.0):
                worker.interrupt()
        ended = _join(self.workers, deadline) and ended
        self._put_away()
        return ended

    def _put_away(self) -> None:
        """Let stores put away the shards that have landed, where nothing is under way."""
        for name, line in self.lines.items():
            if line.store is not None and line.poller.join(0.0):
                try:
                    line.store.retire()
                except OSError as exc:  # the next start does it
                    logger.warning("shards_stay", extra={"store": name, "error": str(exc)})

    def stop_polling(self) -> None:
        """Ask every poller to leave after the page under way. Safe in a signal handler."""
        self._polling.set()

    def _drain_healthy(self, deadline: float) -> None:
        """Wait for streams that deliver; one that is failing would only use up the grace."""
        while any(not worker.progress.error for worker in self._behind()):
            if time.monotonic() >= deadline:
                return
            threading.Event().wait(DRAIN_LOOK)

    def close(self) -> None:
        """Close the spools and give the STORE back. Call after `stop`."""
        self._watchdog.close()
        for line in self.lines.values():
            line.poller.close()
            line.spool.close()
        self._lock.release()


def _join(workers: Iterable[Worker], deadline: float) -> bool:
    """Join all against one deadline; name who did not end."""
    ended = True
    for worker in workers:
        if not worker.join(deadline - time.monotonic()):
            logger.warning("worker_still_busy", extra={"stream": worker.name})
            ended = False
    return ended
