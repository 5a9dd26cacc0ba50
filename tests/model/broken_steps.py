"""System calls that fail, before or after they took effect, or at which the power goes."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from tests.model.crash_fs import Crash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: What changes the disk.
CALLS = ("rename", "unlink", "fsync", "fdatasync", "pwrite", "pwritev", "mkdir")


class BrokenSteps:
    """
    Counts what the calling thread does to the real disk, and breaks one call.

    *kind* says how: ``crash`` ends everything there, also what would be done about it;
    ``before`` and ``after`` are errors, of a change that was not made, or was; ``lasting`` is
    an error of each change from there on.
    """

    def __init__(self) -> None:
        self._left = -1
        self._kind = ""
        self._thread = threading.get_ident()

    @contextmanager
    def break_(self, after: int, kind: str, calls: Sequence[str] = CALLS) -> Iterator[None]:
        """Let the change behind the next *after* ones fail, of *calls*; raises Crash if it is."""
        self.count(after, kind)
        with mock.patch.multiple(os, **{name: self.broken(getattr(os, name)) for name in calls}):
            yield

    def count(self, after: int, kind: str) -> None:
        """Begin anew to count what this thread does."""
        self._left, self._kind, self._thread = after, kind, threading.get_ident()

    def broken(self, call: Any) -> Any:
        """Return *call*, counted, and broken when it is its turn."""

        def broken(*args: Any, **more: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*args, **more)
            self._left -= 1
            over = self._left < 0 and self._kind in ("crash", "lasting")
            if over and self._kind == "crash":
                if self._left == -1 and len(str(args)) % 2:  # done or not, as it happens
                    call(*args, **more)
                raise Crash
            if over or self._left == -1:
                if self._kind == "after":
                    call(*args, **more)
                raise OSError(errno.EIO, "the disk is broken")
            return call(*args, **more)

        return broken
