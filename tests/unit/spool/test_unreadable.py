"""Bytes that cannot be read are no damage: what lies behind them waits for the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import SpoolFailed
from tests.fixtures.broken_disk import BrokenDisk
from tests.unit.spool.conftest import record, values_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from api2db.spool.spool import Spool


@pytest.mark.parametrize("behind", [0, 5, 120, 300])
def test_a_record_that_cannot_be_read_stays_where_it_is(
    open_spool: Callable[..., Spool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    behind: int,
) -> None:
    """In its header or its body: what is before it comes, then errors, then everything."""
    disk = BrokenDisk(monkeypatch)
    spool = open_spool()
    spool.put(record(0))
    end = spool.bytes
    for i in range(1, 4):
        spool.put(record(i))
    (path,) = (tmp_path / "orders" / "seg").iterdir()
    disk.break_(path, end + behind, end + behind + 1)
    assert values_of(spool, "a") == [[0]]
    spool.ack("a", spool.read("a")[-1].seq)
    for _ in range(2):
        with pytest.raises(SpoolFailed, match="cannot read the log"):
            spool.read("a")
    assert spool.depth("a").batches == 3
    spool.put(record(4))
    disk.mend()
    assert values_of(spool, "a") == [[1], [2], [3], [4]]
    assert spool.damage == []
    assert not (tmp_path / "orders" / "quarantine").exists()
