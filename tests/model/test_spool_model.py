"""The model holds for the spool, and catches every fault that was put into it by hand."""

from __future__ import annotations

import pytest

from tests.model import machine
from tests.model.mutants import MUTANTS, caught


def test_the_spool_keeps_its_promises_on_a_disk_that_does_not() -> None:
    """Crashes, torn writes, full and broken disks, flipped bits: the model stays right."""
    machine.run(60, derandomize=True)


@pytest.mark.soak
def test_the_spool_keeps_its_promises_for_long() -> None:
    """The same, with new examples each time."""
    machine.run(1500)


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_catches_a_fault(name: str) -> None:
    """A spool with this fault does not pass."""
    assert caught(name)
