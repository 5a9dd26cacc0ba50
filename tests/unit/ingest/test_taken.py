"""Rows at the watermark."""

from __future__ import annotations

import logging

import pytest

from api2db.ingest import taken
from api2db.ingest.taken import Taken

A, B = b"a" * 16, b"b" * 16


def test_counts_matter() -> None:
    """Two equal rows that were taken hide two, not three."""
    rows = Taken()
    rows.add(5, A)
    rows.add(5, A)
    assert [rows.take(5, A) for _ in range(3)] == [True, True, False]


def test_value_and_hash_must_both_agree() -> None:
    """A row with another value or other content was not taken."""
    rows = Taken()
    rows.add(5, A)
    assert not rows.take(6, A)
    assert not rows.take(5, B)


def test_prune_keeps_the_boundary_and_null() -> None:
    """Pruning lets go of values below the lowest, not of the lowest, nor of null rows."""
    rows = Taken()
    for value in (4, 5, 6, None):
        rows.add(value, A)
    rows.prune(5)
    assert [value in rows for value in (4, 5, 6, None)] == [False, True, True, True]


def test_json_round_trip() -> None:
    """Values keep their types; what was used up is left out."""
    rows = Taken()
    for value in (1, 2.5, "2024-01-01T00:00:00Z", None):
        rows.add(value, A)
    rows.take(1, A)
    again = Taken.from_json(rows.to_json())
    assert again.to_json() == rows.to_json()
    assert 1 not in again
    assert all(value in again for value in (2.5, "2024-01-01T00:00:00Z", None))


def test_overflow_is_loud_and_drops_the_lowest(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond the capacity the rows with the lowest values go, and an error says so."""
    monkeypatch.setattr(taken, "CAPACITY", 2)
    rows = Taken()
    for value in (1, 2, 3):
        rows.add(value, A)
    with caplog.at_level(logging.ERROR):
        rows.prune(None)
    assert [value in rows for value in (1, 2, 3)] == [False, True, True]
    assert "taken_overflow" in caplog.text
