"""The first signal asks the daemon to end in order, the next leaves at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

#: Signals closer together than this count once, in seconds.
ECHO = 0.1

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled() -> Iterator[threading.Event]:
    """
    Yield an event that the first SIGTERM or SIGINT sets; a later one ends the process.

    What comes within `ECHO` seconds is the same request: programs such as ``timeout`` send a
    signal to the process and to its group.

    Nothing is lost by leaving at once: what was accepted is on disk. The exit code is then
    128 + the signal's number. Main thread only; the old handlers come back at the end.
    """
    stop = threading.Event()

    asked_at = 0.0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked_at
        if not stop.is_set():
            asked_at = time.monotonic()
            stop.set()
        elif time.monotonic() - asked_at > ECHO:
            os._exit(128 + number)

    old = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
