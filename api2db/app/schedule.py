"""When a collector is due."""

from __future__ import annotations

import random
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from api2db.core.clock import Clock


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


class Cron:
    """
    A cron expression of five fields, in local wall time; the first poll is at the start.

    Wall time is looked at anew for every run, so changes of the clock and of daylight
    saving time are followed.
    """

    def __init__(self, expression: str, clock: Clock, *, jitter: float = 0.0) -> None:
        from apscheduler.triggers.cron import CronTrigger  # slow to import, seldom needed

        self._trigger = CronTrigger.from_crontab(expression)
        self._clock = clock
        self._jitter = jitter

    def first(self) -> float:
        """Return now."""
        return self._clock.monotonic()

    def after(self, due: float) -> float:
        """Return the next instant that the expression names; never, if there is none."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        now = datetime.fromtimestamp(wall).astimezone()
        fire: datetime | None = self._trigger.get_next_fire_time(None, now)
        if fire is None:
            return float("inf")
        if fire.timestamp() <= wall:  # this very instant was just run
            fire = self._trigger.get_next_fire_time(fire, now)
        return monotonic + fire.timestamp() - wall + random.uniform(0.0, self._jitter)
