"""What the service manager is told: ready, alive, stopping (the protocol of sd_notify)."""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

#: Seconds for a manager whose queue is full to read on; what it then misses is told in the log.
PATIENCE = 1.0

#: Longest time between two looks at the threads, in seconds.
LOOK = 10.0


def notify(state: str, env: Mapping[str, str] = os.environ) -> None:
    """
    Send *state*, lines such as ``READY=1``, to the service manager, if there is one.

    Never raises, and waits `PATIENCE` at most: a daemon works as well without a manager.
    """
    address = env.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # Linux's abstract namespace: no file
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(PATIENCE)
            sender.sendto(state.encode(), address)
    except OSError as exc:
        logger.warning("notify_failed", extra={"state": state, "error": str(exc)})


def watchdog_interval(env: Mapping[str, str] = os.environ) -> float | None:
    """Return how often the manager wants to hear from this process, in seconds; None: never."""
    if env.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        microseconds = int(env.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 else None


def watch(
    hung: Callable[[], list[str]],
    stop: threading.Event,
    env: Mapping[str, str] = os.environ,
) -> None:
    """
    Look at the threads until *stop*; feed the manager's watchdog while none hangs.

    Runs in the main thread. When a thread hangs the log says which, and the manager, no longer
    fed, starts the daemon anew; nothing that was accepted is lost by that.
    """
    interval = watchdog_interval(env)
    told: list[str] = []
    while True:
        late = hung()
        if late and late != told:
            logger.error("threads_hang", extra={"threads": late})
        told = late
        if interval is not None and not late:
            notify("WATCHDOG=1", env)
        if stop.wait(min(interval or LOOK, LOOK)):
            return
