"""Files that are done with."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from api2db.files import trash as trash_module
from api2db.files.trash import Trash


def test_files_are_gone_at_once_and_removed_soon(tmp_path: Path) -> None:
    """They leave their folder when `take` returns; one that is gone already does no harm."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    trash = Trash(tmp_path / ".trash")
    trash.take(folder, ["a", "missing", "b"])
    assert [path.name for path in folder.iterdir()] == ["c"]
    trash.close(timeout=10)
    assert list((tmp_path / ".trash").iterdir()) == []


def test_what_a_crash_left_goes_with_the_next_sweep(tmp_path: Path) -> None:
    """The folder may be full at start, or not be there at all."""
    trash = Trash(tmp_path / ".trash")
    trash.sweep()
    (tmp_path / ".trash").mkdir()
    (tmp_path / ".trash" / "left").write_text("x")
    trash.sweep()
    trash.close(timeout=10)
    assert not (tmp_path / ".trash" / "left").exists()


def test_what_cannot_be_moved_is_said(tmp_path: Path) -> None:
    """Then it is still there, for the caller to try again."""
    (tmp_path / ".trash").write_text("a file has its name")
    (tmp_path / "a").write_text("a")
    with pytest.raises(OSError, match="File exists"):
        Trash(tmp_path / ".trash").take(tmp_path, ["a"])
    assert (tmp_path / "a").exists()


def test_a_disk_without_room_for_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a full disk has no block for the folder the files go at once: that makes room."""

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trash_module, "make_folder", full)
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text("x")
    Trash(tmp_path / ".trash").take(tmp_path, ["a", "gone", "b"])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
