"""Named places where a test can have the process killed."""

from __future__ import annotations

import os
import signal
import threading

_spec = os.environ.get("API2DB_CRASH", "")
_lock = threading.Lock()
_left: dict[str, int] = {}
if _spec:
    for _part in _spec.split(","):
        _name, _, _nth = _part.partition(":")
        _left[_name] = int(_nth or 1)


def crash_point(name: str) -> None:
    """
    Kill the process with SIGKILL if ``API2DB_CRASH`` says so; else do nothing.

    ``API2DB_CRASH=name:n[,name:n]`` kills at the n-th time that *name* is passed.
    Costs one dict look-up on an empty dict when unset.
    """
    if not _left:
        return
    with _lock:
        if name in _left:
            _left[name] -= 1
            if _left[name] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()  # the signal ends every thread before this returns


def armed(name: str) -> bool:
    """Return whether *name* can still kill: a test wants what leads there to be done in steps."""
    return _left.get(name, 0) > 0
