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
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.errors import Api2dbError
from api2db.files.layout import Layout
from api2db.stream.naming import name_of
from api2db.stream.ownlog import OwnLog
from api2db.stream.spill import SUFFIX

if TYPE_CHECKING:
    from api2db.stream.stream import Stream

logger = logging.getLogger(__name__)

#: Seconds between two looks at whether it has begun.
START = 0.005
_guard = threading.RLock()
_starting = threading.Lock()
#: Streams that lead to the same share a log: it is opened once.
_logs: weakref.WeakKeyDictionary[Stream, Path] = weakref.WeakKeyDictionary()
_open: dict[Path, OwnLog] = {}
_threads: weakref.WeakKeyDictionary[Stream, threading.Thread] = weakref.WeakKeyDictionary()


class SpoolQueue(queues.Queue[Any]):
    """The `q` of a stream: what is put is on disk, and the stream's thread alone takes it out."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = weakref.ref(stream)

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Make a DataFrame durable; None is nothing. Raises as `OwnLog.put`."""
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


def opened(stream: Stream) -> OwnLog:
    """Return the log of *stream*, which is opened at its first use, below the current folder."""
    with _guard:
        log = _logs.get(stream)
        if log is None or log not in _open:
            declared = stream.declaration()
            store = Path.cwd() / "STORE"
            log = _logs[stream] = store / declared.name / name_of(declared)
            if log not in _open:
                taken = [other.folder for other in _open.values()]
                _open[log] = OwnLog(declared, store, taken)
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
