"""The watchdog."""

from __future__ import annotations

import threading

from api2db.stream.watchdog import Watchdog


def test_a_call_that_outlives_its_deadline_is_interrupted() -> None:
    """The interrupt comes from another thread while the call still hangs."""
    watchdog, freed = Watchdog(), threading.Event()
    with watchdog.guard("slow", 0.01, freed.set):
        assert freed.wait(5)
    watchdog.close()


def test_a_call_in_time_is_left_alone() -> None:
    """Once the block is left, its interrupt never comes; an earlier deadline still does."""
    watchdog, wrong, right = Watchdog(), threading.Event(), threading.Event()
    with watchdog.guard("outer", 0.05, right.set):
        with watchdog.guard("quick", 0.02, wrong.set):
            pass
        assert right.wait(5)
    assert not wrong.is_set()
    watchdog.close()


def test_a_short_deadline_beside_a_long_one() -> None:
    """The thread that waits for the end of a long call is back in time for a short one."""
    watchdog, wrong = Watchdog(), threading.Event()
    with watchdog.guard("long", 3600, wrong.set):
        for _ in range(2):
            short = threading.Event()
            with watchdog.guard("short", 0.01, short.set):
                assert short.wait(5)
    watchdog.close()
    assert not wrong.is_set()
