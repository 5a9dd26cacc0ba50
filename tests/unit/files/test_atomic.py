"""A file is there in full, or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api2db.files.atomic import atomic_write, make_folder

#: Writes half of a file, then is killed.
HALF = """
import os, signal, sys
from pathlib import Path
from api2db.files.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as file:
    file.write(b"new, but only ha")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    """Return the names in *folder*."""
    return [path.name for path in folder.iterdir()]


def test_replaces(tmp_path: Path) -> None:
    """The new content replaces the old; the file is its owner's alone; nothing else is left."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["x"]


def test_error(tmp_path: Path) -> None:
    """After an error the old file is as it was, and nothing else is left."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as file:
        file.write(b"new")
        _ = 1 // 0
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_kill(tmp_path: Path) -> None:
    """kill -9 in the middle leaves the old file; the next writer is not disturbed."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", HALF, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    with atomic_write(path) as file:
        file.write(b"n")
    assert path.read_bytes() == b"n"
    assert names(tmp_path) == ["x"]


def test_synced_before_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is synced before the rename, the folder after it."""
    path = tmp_path / "x"
    seen: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        kind = "folder" if Path(f"/proc/self/fd/{fd}").is_dir() else "file"
        seen.append(f"{kind}, {'there' if path.exists() else 'not there'}")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as file:
        file.write(b"x")
    assert seen == ["file, not there", "folder, there"]


def test_sync_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot sync has not taken the file: the old one stays."""
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"), atomic_write(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


def test_no_folder(tmp_path: Path) -> None:
    """Without its folder a file cannot be written; the error is the system's."""
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a" / "x"):
        pass


def test_make_folder(tmp_path: Path) -> None:
    """A folder comes with those above it, for its owner alone; a file in its place is an error."""
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    (tmp_path / "f").write_text("")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        make_folder(tmp_path / "f")
