"""What cannot land is kept, with its reason."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from api2db.core.batch import DeadRow
from api2db.files import dead_letter
from api2db.files.dead_letter import DeadBodies, DeadLetters

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def lines(path: Path) -> list[dict[str, object]]:
    """Return the rows of a file of dead letters."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_rows(tmp_path: Path) -> None:
    """A row is kept with its reason, its content, and where it comes from; owner-only."""
    folder = tmp_path / "dead_letter" / "c" / "s"
    DeadLetters(folder).put("17", [DeadRow(3, "id: is NULL", '{"a": 1}')], batch="b", at=1.5)
    assert lines(folder / "17.jsonl") == [
        {"batch": "b", "at": 1.5, "row": 3, "reason": "id: is NULL", "content": '{"a": 1}'}
    ]
    assert (folder / "17.jsonl").stat().st_mode & 0o777 == 0o600
    for made in (folder, folder.parent, folder.parent.parent):
        assert made.stat().st_mode & 0o777 == 0o700


def test_replay(tmp_path: Path) -> None:
    """The same batch again replaces its rows: nothing is counted twice."""
    letters = DeadLetters(tmp_path / "s")
    assert letters.count() == 0
    assert letters.put("1", [DeadRow(0, "a"), DeadRow(1, "b")]) == 2
    assert letters.put("2", [DeadRow(0, "c")]) == 1
    assert letters.put("1", [DeadRow(0, "a"), DeadRow(1, "b"), DeadRow(2, "d")]) == 1
    assert letters.count() == 4


def test_any_text(tmp_path: Path) -> None:
    """Line ends, NUL, other alphabets and lone surrogates stay in their row."""
    content = 'a\n\u2028\x00é\ud800"'
    DeadLetters(tmp_path).put("1", [DeadRow(0, "odd", content), DeadRow(1, "next")])
    first, second = lines(tmp_path / "1.jsonl")
    assert first["content"] == content
    assert second["reason"] == "next"


def test_bodies(tmp_path: Path) -> None:
    """A body is kept as it came, with the reason beside it; the same body only once."""
    bodies = DeadBodies(tmp_path / "c" / "_responses")
    path = bodies.put(b"<html>\xff", "not JSON")
    assert bodies.put(b"<html>\xff", "not JSON") == path
    assert path.read_bytes() == b"<html>\xff"
    assert path.with_suffix(".reason").read_text() == "not JSON\n7 bytes\n"
    assert len(list(path.parent.iterdir())) == 2


def test_bodies_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest bodies stay, each up to a limit: a broken API cannot fill the disk."""
    monkeypatch.setattr(dead_letter, "BODIES", 3)
    monkeypatch.setattr(dead_letter, "BODY_BYTES", 4)
    bodies = DeadBodies(tmp_path)
    paths = []
    for i in range(5):
        path = bodies.put(f"{i} and more".encode(), "broken")
        os.utime(path, ns=(i, i))
        paths.append(path)
    assert sorted(tmp_path.glob("*.body")) == sorted(paths[2:])
    assert len(list(tmp_path.glob("*.reason"))) == 3
    assert paths[4].read_bytes() == b"4 an"
    assert paths[4].with_suffix(".reason").read_text() == "broken\n10 bytes\n"
