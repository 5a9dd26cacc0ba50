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
