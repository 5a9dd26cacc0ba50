"""
Declared streams that run by themselves, without a collector.

A DataFrame that is put into such a stream is a record of a log of its own,
``STORE/spool/<name>.<stream>/``, when `put` returns. From there it takes the way of all rows: a
worker, transactions with markers, ``upload_failed``. A process that is killed goes on where it
was once the stream is started again, with the same arguments, in the same folder.

The STORE belongs to one process, which may run any number of streams in it.
"""

from __future__ import annotations

import logging
import queue as queues
import threading
import weakref
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.clock import SystemClock
from api2db.core.errors import Api2dbError
from api2db.core.ids import Timestamps, new_id
from api2db.files.dead_letter import DeadLetters
from api2db.files.layout import Layout
from api2db.files.lock import Lock
from api2db.files.shard import Origin
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.form import Form
from api2db.spool.spool import Record, Spool
from api2db.stream.backlog import Backlog
from api2db.stream.naming import name_of
from api2db.stream.polls import PollBacklog
from api2db.stream.progress import State
from api2db.stream.replace import ReplaceWorker
from api2db.stream.rows import rows_of
from api2db.stream.spill import SUFFIX, Spill
from api2db.stream.spillfolders import alone
from api2db.stream.target import sink_of
from api2db.stream.watchdog import Watchdog
from api2db.stream.worker import Worker

if TYPE_CHECKING:
    from api2db.stream.declaration import Declaration
    from api2db.stream.stream import Stream

logger = logging.getLogger(__name__)

#: Attempts before what waits is spilled.
ATTEMPTS = 5
#: Seconds between two looks at whether a stream has come to its end.
LOOK = 0.1
#: Seconds between two looks at whether it has begun.
START = 0.005
#: How long the transaction under way may take when a stream is stopped, in seconds.
GRACE = 10.0

_clock = SystemClock()
_timestamps = Timestamps(_clock)
_guard = threading.RLock()
_starting = threading.Lock()
#: Streams that lead to the same share a log: it is opened once.
_logs: weakref.WeakKeyDictionary[Stream, Path] = weakref.WeakKeyDictionary()
_open: dict[Path, Standalone] = {}
_threads: weakref.WeakKeyDictionary[Stream, threading.Thread] = weakref.WeakKeyDictionary()


class Standalone:
    """
    The log of one stream, and the worker that empties it. `put` is for any thread.

    Attributes:
        folder: Where its shards lie.
        runners: How many streams have started that lead here; with the last one it is closed.

    Raises:
        StoreLocked: Another process has the STORE.
        ConfigError: The declaration cannot be used.
        SpoolError: The log cannot be opened.
    """

    def __init__(self, declared: Declaration, store: Path) -> None:
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
        taken = [other.folder for other in _open.values()]
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
        spill = Spill(self.folder, Origin(self._spool.id, declared.name, self.name))
        _timestamps.seen(spill.newest_ns)
        worker, backlog = (ReplaceWorker, PollBacklog) if declared.replace else (Worker, Backlog)
        made: Worker = worker(
            f"{declared.name}/{self.name}",
            backlog=backlog(self._spool, self.name, spill, distinct=declared.drop_duplicates),
            sink=sink_of(declared, self._spool.id, layout),
            dead_letters=DeadLetters(layout.dead_letter(declared.name, self.name)),
            watchdog=self._watchdog,
            attempts=None if declared.replace else ATTEMPTS,
            clock=_clock,
        )
        return made


class SpoolQueue(queues.Queue[Any]):
    """The `q` of a stream: what is put is on disk, and the stream's thread alone takes it out."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = weakref.ref(stream)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Make a DataFrame durable; None is nothing. Raises as `Standalone.put`."""
        stream = self._stream()
        if item is not None and stream is not None:
            opened(stream).put(item)
            stream.learn(item)

    def _qsize(self) -> int:
        stream = self._stream()
        return 0 if stream is None else opened(stream).waiting

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Refuse: a row that was taken out here would be nobody's."""
        raise TypeError("only the thread of start() takes rows out of a stream's queue")


# -- what the documented methods do ----------------------------------------------------


def opened(stream: Stream) -> Standalone:
    """Return the log of *stream*, which is opened at its first use, below the current folder."""
    with _guard:
        log = _logs.get(stream)
        if log is None or log not in _open:
            declared = stream.declaration()
            store = Path.cwd() / "STORE"
            log = _logs[stream] = store / declared.name / name_of(declared)
            if log not in _open:
                _open[log] = Standalone(declared, store)
        return _open[log]


def closed(stream: Stream) -> None:
    """Close the log of *stream*, if it is open; it is opened again at its next use."""
    with _guard:
        log = _logs.get(stream)
        found = None if log is None else _open.pop(log, None)
        if found is not None:
            found.close()


def queue(stream: Stream) -> queues.Queue[Any]:
    """Return a queue whose ``put(df)`` returns once the rows are on disk."""
    return SpoolQueue(stream)


def start(stream: Stream) -> None:
    """Start `stream_start` in a thread, which holds the lock and keeps the process alive."""
    opened(stream)
    with _starting:
        thread = _threads.get(stream)
        if thread is not None and thread.is_alive():
            if stream.lock.locked():
                return
            thread.join()  # its lock was released just now
        thread = threading.Thread(target=stream.stream_start, name=f"stream-{stream.name}")
        _threads[stream] = thread
        thread.start()
        while thread.is_alive() and not stream.lock.locked():
            thread.join(START)


def stream_start(stream: Stream) -> None:
    """
    Deliver what comes into the stream's queue, holding its lock, until somebody releases that.

    When the worker has died, the lock is free, too. Does nothing if the lock is held already.
    """
    if not stream.lock.acquire(blocking=False):
        return
    try:
        with _guard:
            found = opened(stream)
            found.runners += 1
        found.start()
        while stream.lock.locked() and not found.died():
            pass
        with _guard:
            found.runners -= 1
            if not found.runners:
                closed(stream)
    finally:
        with suppress(RuntimeError):  # somebody has released it
            stream.lock.release()


def check_failures(stream: Stream) -> None:
    """Try to deliver what lies in the stream's folder of ``upload_failed``; blocks until then."""
    running = _logs.get(stream) in _open
    found = opened(stream)
    found.settle()
    with _guard:
        if not running and not found.runners:
            closed(stream)


def again(stream: Stream) -> None:
    """
    Deliver what was spilled before, if something was: its target is well just now.

    Never raises: the rows of the call before have landed, and must not be sent again.
    """
    folder = Layout(Path.cwd() / "STORE").spilled(stream.name)
    if not any(folder.glob(f"{stream.stream_type}*/*{SUFFIX}")):
        return
    try:
        check_failures(stream)
    except (Api2dbError, OSError) as exc:  # perhaps a daemon has the STORE: it delivers them
        logger.warning("shards_wait", extra={"stream": stream.name, "error": str(exc)})
