"""Takes a target away every few seconds, and gives it back."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Outages(threading.Thread):
    """
    Alternates between service and outage until `heal`.

    Attributes:
        longest: Longest outage, in seconds; the first one is that long.
    """

    def __init__(self, begin: Callable[[], None], end: Callable[[], None], seed: int) -> None:
        super().__init__(daemon=True)
        self._begin = begin
        self._end = end
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self.longest = 2.0
        self.count = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Stop and start."""
        try:
            while not self._over.wait(self._rng.uniform(4, 10)):
                self._begin()
                self.count += 1
                long = self.longest if self.count == 1 else self._rng.uniform(0.3, self.longest)
                self._over.wait(long)
                self._end()
        except BaseException as exc:
            self.failure = exc
            raise

    def heal(self) -> None:
        """Return when the target serves again and will go on to."""
        self._over.set()
        if self.ident is not None:
            self.join(90)
        if self.failure is not None:
            raise RuntimeError("the target did not come back") from self.failure


#: Waits for the path, then for its lock, and keeps it.
HOLD = """
import fcntl, os, signal, sys, time
how, path = sys.argv[1:]
while not os.path.exists(path):
    time.sleep(0.05)
fd = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
(fcntl.flock if how == "flock" else fcntl.lockf)(fd, fcntl.LOCK_EX)
signal.pause()
"""


class Holder:
    """
    Another process that wants a file or folder for itself: writers meanwhile are refused.

    If a daemon has it, it gets it when that is killed.

    Args:
        how: ``flock`` (folders), or ``lockf``: what a DuckDB file is locked with.
    """

    def __init__(self, how: str, path: Path) -> None:
        self._command = [sys.executable, "-c", HOLD, how, str(path)]
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)

    def end(self) -> None:
        """
        End it.

        Raises:
            RuntimeError: It had ended by itself, and held nothing.
        """
        if self._process is None:
            return
        self._process.kill()
        if (code := self._process.wait()) != -signal.SIGKILL:
            raise RuntimeError(f"the process that holds the lock ended with {code}")
        self._process = None
