"""Promises of progress."""

from __future__ import annotations

from api2db.core.pulse import SLACK, Pulse
from tests.fixtures.fake_clock import FakeClock


def test_a_broken_promise() -> None:
    """A thread is late once its promise and the slack have passed, and not before."""
    clock = FakeClock()
    pulse = Pulse("worker orders/pg", clock)
    clock.advance(1e9)
    assert not pulse.late(), "it has promised nothing yet"
    pulse.beat(5.0)
    clock.advance(5.0 + SLACK)
    assert not pulse.late()
    clock.advance(0.1)
    assert pulse.late()
    pulse.beat(5.0)
    assert not pulse.late()


def test_rest() -> None:
    """A thread that rests is never late."""
    clock = FakeClock()
    pulse = Pulse("poller orders", clock)
    pulse.beat(1.0)
    pulse.rest()
    clock.advance(1e9)
    assert not pulse.late()
