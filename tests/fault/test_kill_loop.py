"""The short form of the kill loop; ``python -m tests.fault.killloop`` is the long one."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from tests.fault.killloop import KillLoop
from tests.fault.omniscitarget import OmnisciTarget
from tests.fault.report import report
from tests.fault.world import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.backend("postgresql")
@pytest.mark.backend("sqlite")
@pytest.mark.backend("parquet")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("markers", [True, False], ids=["promise", "control without markers"])
def test_kills_neither_lose_nor_double_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], markers: bool
) -> None:
    """Twelve kills: 0 lost, 0 doubled; with the markers deleted the same loop sees doubles."""
    seed = random.SystemRandom().randrange(2**31)
    started = time.monotonic()
    loop = KillLoop(tmp_path, seed, markers=markers)
    try:
        loop.run(kills=12 if markers else 10, seconds=35)
        loop.settle(timeout=40)
        verdicts = loop.verdicts()
        kept = report(loop, verdicts, time.monotonic() - started)
    finally:
        loop.close()
    printed = capsys.readouterr().out
    if markers:
        assert kept, f"seed={seed}\n{printed}"
        assert loop.tally.kills >= 4, f"seed={seed}: too few kills in the time\n{printed}"
    else:
        assert any(v.doubled for v in verdicts), f"seed={seed}: no doubles seen\n{printed}"
        assert not any(v.lost for v in verdicts), f"seed={seed}\n{printed}"


@pytest.mark.slow
@pytest.mark.backend("omnisci")
@pytest.mark.timeout(300)
def test_loads_that_nobody_waits_for(tmp_path: Path) -> None:
    """Connections to OmniSci break while it works on long loads: no row is doubled or lost."""
    seed = random.SystemRandom().randrange(2**31)
    loop = KillLoop(tmp_path, seed, targets=["omnisci"])
    try:
        (target,) = loop.targets
        assert isinstance(target, OmnisciTarget)
        loop.daemon.start("cuts")
        assert wait_until(lambda: target.proxy.cuts["sent"] >= 10, 100), f"seed={seed}"
        loop.daemon.kill()
        loop.settle(timeout=90)
        (verdict,) = loop.verdicts()
        assert verdict.clean and not loop.tally.faults, f"seed={seed}\n{verdict}"
    finally:
        loop.close()
