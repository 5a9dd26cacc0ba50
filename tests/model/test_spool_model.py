"""The models hold for log and delivery, and catch every fault that was put in by hand."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.model import delivery, machine
from tests.model.mutants import MUTANTS, caught

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the log lines of thousands of examples out of memory."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_the_spool_keeps_its_promises_on_a_disk_that_does_not() -> None:
    """Crashes, torn writes, full and broken disks, flipped bits: the model stays right."""
    machine.run(60, derandomize=True)


def test_what_is_put_lands_once_whatever_fails() -> None:
    """Spills, acknowledgements, removals and starts that fail or are cut off at any step."""
    delivery.run(40, derandomize=True)


@pytest.mark.soak
def test_the_spool_keeps_its_promises_for_long() -> None:
    """The same, for longer, with new examples each time."""
    machine.run(1500)


@pytest.mark.soak
def test_what_is_put_lands_once_for_long() -> None:
    """The same, for longer, with new examples each time."""
    delivery.run(1000)


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTANTS)
def test_the_model_catches_a_fault(name: str) -> None:
    """What has this fault does not pass."""
    assert caught(name)
