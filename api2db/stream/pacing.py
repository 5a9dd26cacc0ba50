"""When a worker may write again: targets have their own idea of how often that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading

    from api2db.core.clock import Clock
    from api2db.core.pulse import Pulse
    from api2db.sink.base import Sink
    from api2db.stream.backlog import Backlog

#: Least seconds between two transactions of a poll whose pages keep coming: sharing is worth most.
PACE = 0.1
#: Seconds between two signs of life of a worker that waits.
_BEAT = 1.0


class Pacing:
    """
    Lets the pages of a poll under way share a transaction, and keeps to `Sink.pace`.

    Used by the worker's thread alone.
    """

    def __init__(self, backlog: Backlog, sink: Sink, clock: Clock, pulse: Pulse) -> None:
        self._backlog = backlog
        self._sink = sink
        self._clock = clock
        self._pulse = pulse
        self._began = self._landed = float("-inf")  # the last attempt; the last that did it

    def wait(self, stop: threading.Event, most: int) -> None:
        """Block until the next attempt may begin, with up to *most* batches, or until *stop*."""
        now = self._clock.monotonic()
        long = self._sink.pace
        self._pulse.beat(max(long, _BEAT))
        if long:
            self._backlog.gather(stop, most, long)
            self._until(stop, self._landed + long)
        elif now < self._began + PACE:
            self._backlog.gather(stop, most, self._began + PACE - now)
        self._began = self._clock.monotonic()

    def landed(self) -> None:
        """Say that the attempt under way has landed."""
        self._landed = self._began

    def _until(self, stop: threading.Event, due: float) -> None:
        while not stop.is_set() and not self._backlog.holds(self._sink.group):
            left = due - self._clock.monotonic()
            if left <= 0:
                return
            self._pulse.beat(_BEAT)
            self._clock.wait(stop, min(left, _BEAT))
