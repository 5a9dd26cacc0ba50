"""When a collector is due."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from api2db.app.schedule import Cron, Interval


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self, wall: float = 0.0) -> None:
        self.wall = wall
        self.mono = 100.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def wait(self, event: threading.Event, timeout: float) -> bool:
        raise AssertionError("a schedule never waits")


def test_the_first_poll_is_at_the_start() -> None:
    """Both kinds of schedule begin at once."""
    clock = Hands()
    assert Interval(30, clock).first() == 100
    assert Cron("*/5 * * * *", clock).first() == 100


def test_the_phase_never_drifts() -> None:
    """A poll that takes 7 of 30 seconds does not move the next one."""
    clock = Hands()
    schedule = Interval(30, clock)
    due = schedule.first()
    for expected in (130, 160, 190):
        clock.mono = due + 7
        due = schedule.after(due)
        assert due == expected


def test_missed_runs_are_one() -> None:
    """A poll that outlives three periods is followed by one, in phase."""
    clock = Hands()
    schedule = Interval(30, clock)
    clock.mono = 100 + 95
    assert schedule.after(100) == 220


def test_wall_clock_changes_do_not_move_an_interval() -> None:
    """An interval looks at the monotonic clock alone."""
    clock = Hands(wall=1e9)
    schedule = Interval(30, clock)
    clock.wall -= 3600
    clock.mono += 1
    assert schedule.after(100) == 130


def test_cron_follows_the_wall_clock() -> None:
    """At 10:03 the next multiple of five minutes is two minutes away, whatever ran before."""
    clock = Hands(wall=datetime(2026, 5, 1, 10, 3, tzinfo=UTC).timestamp())
    assert Cron("*/5 * * * *", clock).after(100) == 100 + 120


def test_cron_does_not_run_one_instant_twice() -> None:
    """A poll that ends within the instant that started it waits for the next."""
    clock = Hands(wall=datetime(2026, 5, 1, 10, 5, tzinfo=UTC).timestamp())
    assert Cron("*/5 * * * *", clock).after(100) == 100 + 300


def at(hour: int, minute: int = 0, day: int = 1) -> float:
    """Return an instant in May 2026."""
    return datetime(2026, 5, day, hour, minute, tzinfo=UTC).timestamp()


def test_a_clock_that_is_set_moves_a_cron_that_waits() -> None:
    """Forward past its instant: it is due; back: the next instant by the new time, not the old."""
    clock = Hands(wall=at(10, 3))
    schedule = Cron("*/5 * * * *", clock)
    due = schedule.after(100)
    clock.mono, clock.wall = 110, at(10, 3) + 10.4  # a clock that is only corrected
    assert schedule.moved(due) == due == 220
    clock.wall = at(23)
    assert schedule.moved(due) == 110
    clock.wall = at(4, 4)
    due = schedule.moved(due)
    assert due == schedule.moved(due) == 110 + 60
    assert Interval(30, clock).moved(500) == 500


def test_cron_does_not_run_an_instant_again_when_the_clock_is_set_back() -> None:
    """A step of a second across the instant that was just run is no other instant."""
    clock = Hands(wall=at(10, 3))
    schedule = Cron("*/5 * * * *", clock)
    due = schedule.after(100)
    clock.mono, clock.wall = due, at(10, 5)
    assert schedule.moved(due) == due
    clock.wall = at(10, 5) - 0.5
    assert schedule.after(due) == due + 300.5
