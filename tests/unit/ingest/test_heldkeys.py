"""What is kept of an open poll's rows when its records have to leave the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from api2db.ingest import heldkeys
from api2db.ingest.held import HeldRows
from api2db.ingest.heldkeys import HeldKeys

if TYPE_CHECKING:
    from pathlib import Path


def rows(*values: int) -> pa.RecordBatch:
    """Return a batch with one column."""
    return pa.record_batch({"v": pa.array(values, pa.int64())})


def taken(keys: HeldKeys, first_seq: int, *values: int) -> list[bool]:
    """Return which of *values* are among the held rows of poll ``p``."""
    return HeldRows(c.keys for c in keys.of("p", first_seq)).take(rows(*values))


def test_keys_count_as_their_rows_do(tmp_path: Path) -> None:
    """Chunk by chunk, across restarts, with counts; those of another poll are none."""
    path = tmp_path / "held.keys"
    HeldKeys(path).add("p", 1, 4, [rows(1, 2), rows(2)])
    HeldKeys(path).add("p", 4, 6, [rows(3)])
    keys = HeldKeys(path)
    assert [(c.first, c.after) for c in keys.of("p", 0)] == [(1, 4), (4, 6)]
    assert taken(keys, 0, 2, 2, 2, 3, 9) == [True, True, False, True, False]
    assert path.stat().st_mode & 0o777 == 0o600
    keys.add("q", 7, 8, [rows(5)])
    assert keys.of("p", 0) == []
    keys.clear()
    assert (keys.of("q", 0), path.exists()) == ([], False)


def test_rows_before_a_polls_newest_checkpoint_are_none(tmp_path: Path) -> None:
    """A function that resumes at its checkpoint does not yield them again."""
    keys = HeldKeys(tmp_path / "held.keys")
    keys.add("p", 1, 4, [rows(1)])
    keys.add("p", 4, 6, [rows(2)])
    assert taken(keys, 4, 1, 2) == [False, True]


@pytest.mark.parametrize("cut", [1, 8, 9, 60])
def test_a_torn_chunk_is_cut_off(tmp_path: Path, cut: int) -> None:
    """A crash while a chunk was written leaves those before it, and the next one is read."""
    path = tmp_path / "held.keys"
    keys = HeldKeys(path)
    keys.add("p", 1, 4, [rows(1)])
    keys.add("p", 4, 6, [rows(2)])
    path.write_bytes(path.read_bytes()[:-cut])
    assert taken(keys, 0, 1, 2) == [True, False]
    keys.add("p", 4, 7, [rows(3)])
    assert taken(keys, 0, 1, 2, 3) == [True, False, True]


def test_a_flipped_bit_is_seen(tmp_path: Path) -> None:
    """No row is left out because of a damaged key."""
    path = tmp_path / "held.keys"
    keys = HeldKeys(path)
    keys.add("p", 1, 4, [rows(1)])
    data = bytearray(path.read_bytes())
    for at in (9, 41, len(data) - 1):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert keys.of("p", 0) == []


def test_beyond_the_capacity_only_the_place_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The records may go all the same, and it is said loudly what that may cost."""
    monkeypatch.setattr(heldkeys, "CAPACITY", 2)
    keys = HeldKeys(tmp_path / "held.keys")
    keys.add("p", 1, 4, [rows(1, 2)])
    keys.add("p", 4, 6, [rows(3)])
    assert [(c.after, len(c.keys)) for c in keys.of("p", 0)] == [(4, 2), (6, 0)]
    assert "held_rows_overflow" in caplog.text
