"""Time, as a thing that can be handed in."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """All times are float seconds."""

    def now(self) -> float:
        """Return wall time since the epoch; for people, names and cron only."""
        ...

    def monotonic(self) -> float:
        """Return a time that never goes back."""
        ...

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Block until *event* is set or *timeout* passes; return whether it is set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return wall time since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return ``time.monotonic()``."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait on *event*."""
        return event.wait(min(timeout, threading.TIMEOUT_MAX))
