"""When a collector is due."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from api2db.core.clock import Clock

#: A wall clock that moves by less, in seconds, was corrected, not set.
STEP = 1.0


class Schedule(Protocol):
    """Asked by one thread; every answer is a monotonic instant, in seconds."""

    def first(self) -> float:
        """Return when the first poll is due."""
        ...

    def after(self, due: float) -> float:
        """
        Return when the poll after the one that was *due* is due.

        Called when that poll has ended: polls never overlap. Runs missed meanwhile are
        one run.
        """
        ...

    def moved(self, due: float) -> float:
        """Return when the poll that waits until *due* is due, should the clock have been set."""
        ...


class Interval:
    """
    Every *every* seconds from the start, by the monotonic clock: the phase never drifts.

    Args:
        jitter: Up to this many seconds are added to each instant, at random.
    """

    def __init__(self, every: float, clock: Clock, *, jitter: float = 0.0) -> None:
        self._every = every
        self._clock = clock
        self._jitter = jitter
        self._start = clock.monotonic()

    def first(self) -> float:
        """Return now: the first poll is at the start."""
        return self._start

    def after(self, due: float) -> float:
        """Return the next multiple of the interval that has not passed."""
        now = max(self._clock.monotonic(), due)
        periods = int((now - self._start) / self._every) + 1
        return self._start + periods * self._every + random.uniform(0.0, self._jitter)

    def moved(self, due: float) -> float:
        """Return *due*: an interval knows no wall time."""
        return due


class Cron:
    """
    A cron expression of five fields, in local wall time; the first poll is at the start.

    Wall time is looked at anew while a poll waits, so changes of the clock and of daylight saving
    time are followed; an instant that was just run is not run again when the clock is set back.
    """

    def __init__(self, expression: str, clock: Clock, *, jitter: float = 0.0) -> None:
        from apscheduler.triggers.cron import CronTrigger  # slow to import, seldom needed

        self._trigger = CronTrigger.from_crontab(expression)
        self._clock = clock
        self._jitter = jitter
        self._fire = float("-inf")  # what is waited for, in wall time
        self._ran = self._fire
        self._ahead = 0.0  # of the wall clock, before the monotonic one

    def first(self) -> float:
        """Return now."""
        return self._clock.monotonic()

    def after(self, due: float) -> float:
        """Return the next instant that the expression names; never, if there is none."""
        self._ran = self._fire
        return self._next()

    def moved(self, due: float) -> float:
        """Return *due*, or, where the clock was set, now or the next instant by the new time."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        if abs(wall - monotonic - self._ahead) < STEP or self._fire == float("-inf"):
            return due
        if wall < self._fire:
            return self._next()
        self._ahead = wall - monotonic
        return monotonic

    def _next(self) -> float:
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        self._ahead = wall - monotonic
        now = datetime.fromtimestamp(wall).astimezone()
        fire: datetime | None = self._trigger.get_next_fire_time(None, now)
        if fire is not None and (fire.timestamp() <= wall or fire.timestamp() == self._ran):
            later = fire + timedelta(microseconds=1)  # this very instant was just run
            fire = self._trigger.get_next_fire_time(None, later)
        if fire is None:
            return float("inf")
        self._fire = fire.timestamp()
        return monotonic + self._fire - wall + random.uniform(0.0, self._jitter)
