"""Frees a worker whose driver call hangs."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)


class Watchdog:
    """
    One thread that interrupts calls which outlive their deadline.

    A database client waits for ever on a server that was stopped but not closed (its
    kernel still acknowledges), so somebody else must close the socket. Deadlines are real
    time: a hung server knows no injected clock.
    """

    def __init__(self) -> None:
        self._armed: dict[int, tuple[float, str, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._next = 0
        self._wakes = math.inf  # when the thread looks again
        self._thread: threading.Thread | None = None

    @contextmanager
    def guard(
        self, name: str, timeout: float, interrupt: Callable[[], None]
    ) -> Iterator[Callable[[], None]]:
        """
        Call *interrupt*, once, if the block takes longer than *timeout* seconds.

        The block is given a function that it calls to have the whole time again.
        """
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            self._next += 1
            ticket = self._next
            deadline = time.monotonic() + timeout
            self._armed[ticket] = (deadline, name, interrupt)
            if deadline < self._wakes:
                self._changed.notify()

        def renew() -> None:
            with self._changed:
                if ticket in self._armed:
                    self._armed[ticket] = (time.monotonic() + timeout, name, interrupt)

        try:
            yield renew
        finally:
            with self._changed:
                self._armed.pop(ticket, None)

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for ticket, (deadline, name, interrupt) in list(self._armed.items()):
                    if deadline <= now:
                        del self._armed[ticket]
                        logger.warning("call_interrupted", extra={"stream": name})
                        interrupt()
                self._wakes = min((armed[0] for armed in self._armed.values()), default=math.inf)
                left = min(max(0.0, self._wakes - now), threading.TIMEOUT_MAX)
                self._changed.wait(left)
