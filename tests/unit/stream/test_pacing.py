"""When a worker writes, on a clock that tests move."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from api2db.core.batch import Limit
from api2db.core.pulse import Pulse
from api2db.stream.pacing import Pacing
from tests.fixtures.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Sequence


class Queue:
    """What waits: *full* says whether it is a whole group, look by look."""

    def __init__(self, full: Sequence[bool] = ()) -> None:
        self.full = list(full)
        self.gathered: list[float] = []

    def holds(self, limit: Limit) -> bool:
        return self.full.pop(0) if self.full else False

    def gather(self, stop: threading.Event, most: int, timeout: float) -> None:
        self.gathered.append(timeout)


class Target:
    group = Limit()
    pace = 60.0


def pacing(queue: Queue, clock: FakeClock, pace: float = 60.0) -> Pacing:
    target: Any = Target()
    target.pace = pace
    backlog: Any = queue
    return Pacing(backlog, target, clock, Pulse("w", clock))


def test_a_target_that_takes_a_load_a_minute() -> None:
    """The first load goes at once, the next one a minute after one that landed."""
    clock, stop = FakeClock(), threading.Event()
    paced = pacing(Queue(), clock)
    began = []
    for _ in range(4):
        paced.wait(stop, 16)
        began.append(clock.monotonic())
        clock.advance(2.0)
        paced.landed()
    assert began == pytest.approx([0, 60, 120, 180])


def test_1500_loads_a_day_are_not_reached() -> None:
    """A day of rows that never stop makes fewer loads than BigQuery allows for a table."""
    clock, stop, loads = FakeClock(), threading.Event(), 0
    paced = pacing(Queue(), clock)
    while clock.monotonic() < 86_400:
        paced.wait(stop, 16)
        paced.landed()
        loads += 1
    assert 1_400 < loads <= 1_441


def test_a_whole_group_does_not_wait() -> None:
    """As much as one load takes is written at once; so a backlog is worked off at full speed."""
    clock, stop = FakeClock(), threading.Event()
    paced = pacing(Queue([False, True, True, True]), clock)
    for _ in range(3):
        paced.wait(stop, 16)
        paced.landed()
    assert clock.monotonic() == 0


def test_an_attempt_that_failed_waits_for_no_pace() -> None:
    """The worker's own backoff does."""
    clock, stop = FakeClock(), threading.Event()
    paced = pacing(Queue(), clock)
    paced.wait(stop, 16)
    paced.wait(stop, 16)
    assert clock.monotonic() == 0


def test_stop_ends_the_wait() -> None:
    """A worker that is to leave does not wait a minute."""
    clock, stop = FakeClock(), threading.Event()
    paced = pacing(Queue(), clock)
    paced.wait(stop, 16)
    paced.landed()
    stop.set()
    paced.wait(stop, 16)
    assert clock.monotonic() == 0


def test_pages_of_a_poll_share_a_transaction() -> None:
    """Without a pace they are waited for a tenth of a second, with one for as long as that."""
    clock, stop, queue = FakeClock(), threading.Event(), Queue()
    paced = pacing(queue, clock, 0.0)
    paced.wait(stop, 16)
    paced.wait(stop, 16)
    assert queue.gathered == [pytest.approx(0.1)]
    pacing(queue, clock).wait(stop, 16)
    assert queue.gathered[1:] == [60.0]
