"""The first signal asks the daemon to end in order, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def handled() -> Iterator[threading.Event]:
    """
    Yield an event that the first SIGTERM or SIGINT sets; the second ends the process.

    Nothing is lost by leaving at once: what was accepted is on disk. The exit code is then
    128 + the signal's number. Main thread only; the old handlers come back at the end.
    """
    stop = threading.Event()

    def handle(number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    old = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
