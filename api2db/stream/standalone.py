"""A declared stream that runs by itself, without a collector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import queue as queues

    from api2db.stream.stream import Stream


def queue(stream: Stream) -> queues.Queue[Any]:
    """Return a queue whose ``put(df)`` returns once the rows are on disk."""
    raise NotImplementedError(f"{stream.name}: no streams outside a collector in this version")


def start(stream: Stream) -> None:
    """Start `stream_start` in a thread of its own."""
    raise NotImplementedError(f"{stream.name}: no streams outside a collector in this version")


def stream_start(stream: Stream) -> None:
    """Take what comes into the stream's queue until the process ends; its lock is held."""
    raise NotImplementedError(f"{stream.name}: no streams outside a collector in this version")


def check_failures(stream: Stream) -> None:
    """Deliver what lies in the stream's folder of ``upload_failed``."""
    raise NotImplementedError(f"{stream.name}: no streams outside a collector in this version")
