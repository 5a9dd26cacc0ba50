"""One daemon per STORE, shown with a second process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import ConfigError, StoreLocked
from api2db.files.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Takes the lock, says so, and holds it until its stdin ends; in a thread that does not matter.
HOLDER = """
import sys
from pathlib import Path
from api2db.files.lock import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock *path*."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_second_process(tmp_path: Path) -> None:
    """A second process is refused; the error names the first one and the folder."""
    path = tmp_path / "STORE" / "LOCK"
    with holder(path) as process:
        with pytest.raises(StoreLocked) as caught:
            Lock(path).acquire()
        assert f"pid {process.pid}, since 20" in str(caught.value)
        assert str(tmp_path / "STORE") in str(caught.value)


def test_kill(tmp_path: Path) -> None:
    """kill -9 frees the lock at once; what the file says of the dead one hinders nobody."""
    path = tmp_path / "LOCK"
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        lock = Lock(path)
        lock.acquire()
        assert f"pid {os.getpid()}," in path.read_text()
        lock.release()


def test_same_process(tmp_path: Path) -> None:
    """The same process cannot have it twice; after `release` it can."""
    path = tmp_path / "LOCK"
    first, second = Lock(path), Lock(path)
    first.acquire()
    with pytest.raises(StoreLocked, match=f"pid {os.getpid()}"):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()


def test_children_do_not_inherit(tmp_path: Path) -> None:
    """A child that outlives the daemon does not keep its lock."""
    path = tmp_path / "LOCK"
    lock = Lock(path)
    lock.acquire()
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        lock.release()
        again = Lock(path)
        again.acquire()
        again.release()
        assert child.poll() is None
        child.kill()


def test_owner_only(tmp_path: Path) -> None:
    """The folder and the file are for their owner alone."""
    path = tmp_path / "STORE" / "LOCK"
    lock = Lock(path)
    lock.acquire()
    lock.release()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_impossible_folder(tmp_path: Path) -> None:
    """A STORE that cannot be made is a mistake in the configuration."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use .*file.*; set 'store' to a folder"):
        Lock(tmp_path / "file" / "LOCK").acquire()
