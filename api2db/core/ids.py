"""Ids of batches and polls, and the one sequence of timestamps of a STORE."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api2db.core.clock import Clock


def new_id() -> str:
    """Return 32 random hex digits: a batch's idempotency key, a poll's id."""
    return uuid.uuid4().hex


class Timestamps:
    """
    Epoch nanoseconds that strictly increase, whatever the wall clock does.

    One per STORE, shared by the spools of all collectors; thread-safe. Each spool
    reports the greatest value that it holds with `seen` before it hands out new ones.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0
        self._lock = threading.Lock()

    def seen(self, timestamp_ns: int) -> None:
        """Never hand out *timestamp_ns* or less from now on."""
        with self._lock:
            self._last = max(self._last, timestamp_ns)

    def next(self) -> int:
        """Return the next timestamp, in nanoseconds since the epoch."""
        with self._lock:
            self._last = max(self._last + 1, int(self._clock.now() * 1e9))
            return self._last
