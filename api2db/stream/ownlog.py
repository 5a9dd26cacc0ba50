"""The log of a stream that runs by itself, and the worker that empties it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from api2db.core.clock import SystemClock
from api2db.core.ids import Timestamps, new_id
from api2db.files.dead_letter import DeadLetters
from api2db.files.layout import Layout
from api2db.files.lock import Lock
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.form import Form
from api2db.spool.spool import Record, Spool
from api2db.stream.making import make_worker
from api2db.stream.naming import name_of
from api2db.stream.progress import State
from api2db.stream.rows import rows_of
from api2db.stream.spillfolders import alone
from api2db.stream.target import sink_of
from api2db.stream.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from api2db.stream.declaration import Declaration
    from api2db.stream.worker import Worker

#: Attempts before what waits is spilled.
ATTEMPTS = 5
#: Seconds between two looks at whether a stream has come to its end.
LOOK = 0.1
#: How long the transaction under way may take when a stream is stopped, in seconds.
GRACE = 10.0

_clock = SystemClock()
_timestamps = Timestamps(_clock)


class OwnLog:
    """
    The log of one stream, and the worker that empties it. `put` is for any thread.

    Args:
        taken: Folders of shards that others have.

    Attributes:
        folder: Where its shards lie.
        runners: How many streams have started that lead here; with the last one it is closed.

    Raises:
        StoreLocked: Another process has the STORE.
        ConfigError: The declaration cannot be used.
        SpoolError: The log cannot be opened.
    """

    def __init__(self, declared: Declaration, store: Path, taken: Collection[Path]) -> None:
        self.declared = declared
        self.name = name_of(declared)
        self.runners = 0
        self._layout = Layout(store)
        self._turn = threading.Lock()
        self._starting = threading.Lock()
        self._lock = Lock(self._layout.lock)
        self._lock.acquire(join=True)
        try:
            log = f"{declared.name}.{self.name}"
            self._spool = Spool.open(
                self._layout.spool(log), streams=[self.name], timestamps=_timestamps, clock=_clock
            )
        except BaseException:
            self._lock.release()
            raise
        spilled = self._layout.spilled(declared.name)
        self.folder: Path = alone(spilled, declared.stream_type, self.name, taken)
        self._dead_rows = DeadLetters(self._layout.dead_letter(log, "_rows"))
        self._watchdog = Watchdog()
        self._worker: Worker | None = None

    @property
    def waiting(self) -> int:
        """How many DataFrames are on disk and have not landed; any thread."""
        return self._spool.depth(self.name).batches

    def put(self, data: Any) -> None:
        """
        Make the rows of a DataFrame durable, all of them or none.

        Raises:
            FormError: It is no DataFrame.
            SpoolError: The disk refuses; nothing was kept.
        """
        with self._turn:
            before = Checkpoint.from_bytes(self._spool.state)
            form = Form(rows=None, columns=None, memory=before.form)
            built = form.parse(rows_of(data)).build()
            poll = new_id()
            if built.dead:
                self._dead_rows.put(poll, built.dead, poll=poll, at=_clock.now())
            if built.rows.num_rows or self.declared.replace:
                state = replace(before, form=form.memory).to_bytes()
                self._spool.put(Record(built.rows, state, poll, last=True, first=True))

    # -- the worker --------------------------------------------------------------------

    def start(self) -> Worker:
        """Start the worker, unless it runs; return it. Any thread: there is never a second one."""
        with self._starting:
            if self._worker is None or self._worker.join(0.0):
                self._worker = self._made()
                self._worker.start()
            return self._worker

    def stop(self) -> None:
        """Stop the worker after the transaction under way; what waits stays on disk."""
        with self._starting:
            worker, self._worker = self._worker, None
            if worker is not None:
                worker.stop()
                if not worker.join(GRACE):
                    worker.interrupt()
                    worker.join(GRACE)

    def died(self) -> bool:
        """Wait a little while; return whether the worker has ended, and nobody has ended it."""
        with self._starting:
            worker = self._worker
        if worker is None or not worker.join(LOOK):
            return False
        with self._starting:
            return self._worker is worker

    def settle(self) -> None:
        """Try to deliver what waits, at once; block until it is there, or cannot land now."""
        worker = self.start()
        if worker.progress.error:  # it waits before its next attempt; a new one does not
            self.stop()
            worker = self.start()
        look = threading.Event()
        while worker.backlog.batches:
            progress = worker.progress
            if progress.spilling or progress.state in (State.PAUSED, State.FAILED):
                return
            look.wait(LOOK)

    def close(self) -> None:
        """Stop, and give the STORE back."""
        self.stop()
        self._watchdog.close()
        self._spool.close()
        self._lock.release()

    def _made(self) -> Worker:
        declared, layout = self.declared, self._layout
        return make_worker(
            declared.name,
            self.name,
            spool=self._spool,
            shards=self.folder,
            sink=sink_of(declared, self._spool.id, layout),
            dead_letters=DeadLetters(layout.dead_letter(declared.name, self.name)),
            watchdog=self._watchdog,
            timestamps=_timestamps,
            clock=_clock,
            replace=declared.replace,
            distinct=declared.drop_duplicates,
            attempts=ATTEMPTS,
        )
