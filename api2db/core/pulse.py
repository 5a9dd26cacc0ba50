"""Proof of progress: a thread says by when it will be back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api2db.core.clock import Clock

#: Granted beyond every promise, in seconds: a busy machine, a slow disk.
SLACK = 60.0


class Pulse:
    """
    The promise of one thread to pass the head of its loop again in time.

    The thread calls `beat` and `rest`; any other thread may read `late`. A timer would go on
    when the thread hangs; a promise is broken by then.

    Args:
        name: What a person is told about the thread, such as ``worker orders/pg``.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self._clock = clock
        self._until = math.inf

    def beat(self, within: float) -> None:
        """Say: this thread is here, and will be again *within* so many seconds, and `SLACK`."""
        self._until = self._clock.monotonic() + within + SLACK

    def rest(self) -> None:
        """Say: this thread has ended, or nobody knows how long it may take."""
        self._until = math.inf

    def late(self) -> bool:
        """Return whether the promise is broken."""
        return self._clock.monotonic() > self._until
