"""A target that is away for a long time."""

from __future__ import annotations

import subprocess
import sys

import pytest


def outage(polls: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.fault.outage", "--polls", str(polls)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.backend("postgresql")
def test_a_long_outage_costs_no_memory_and_no_row() -> None:
    """While PostgreSQL is away for 1,000 polls memory stays flat; then all lands in order."""
    done = outage(1000)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.backend("postgresql")
@pytest.mark.timeout(600)
def test_a_very_long_outage_costs_no_memory_and_no_row() -> None:
    """The same for 10,000 polls."""
    done = outage(10_000)
    assert done.returncode == 0, done.stdout + done.stderr
