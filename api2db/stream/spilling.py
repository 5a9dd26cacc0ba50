"""When a stream spills, and that it does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from api2db.core.errors import SpoolError

if TYPE_CHECKING:
    import threading

    from api2db.stream.backlog import Backlog
    from api2db.stream.progress import Progress

logger = logging.getLogger(__name__)


class Spilling:
    """
    Counts the attempts of one worker on the batch at its head, and spills when they are used up.

    Args:
        name: Of the worker, for the log.
        attempts: Attempts in all before batches are spilled; None never spills.
    """

    def __init__(
        self, name: str, backlog: Backlog, progress: Progress, attempts: int | None
    ) -> None:
        self._name = name
        self._backlog = backlog
        self._progress = progress
        self._attempts = attempts
        self._tries = 0

    def failed(self, *, counts: bool) -> None:
        """Note a failed attempt; one that does not count spills nothing, and uses up none."""
        self._tries += counts
        used_up = self._attempts is not None and self._tries >= self._attempts
        self._progress.spilling = counts and used_up

    def overcome(self) -> None:
        """Note that an attempt succeeded."""
        self._tries = 0

    def spill(self, stop: threading.Event) -> bool:
        """
        Move what waits in the log into shards, if it is time; return whether it was, and went well.

        What cannot be moved stays in the log, loudly.
        """
        progress, first = self._progress, not self._backlog.spilled.batches
        if not progress.spilling:
            return False
        try:
            moved = self._backlog.spill(stop)
        except SpoolError as exc:
            if str(exc) != progress.spill_error:
                logger.error("spill_failed", extra={"stream": self._name, "error": str(exc)})
            progress.spill_error = str(exc)
            return False
        progress.spill_error = ""
        progress.spilled += moved
        if first and moved:
            logger.warning("stream_spilling", extra={"stream": self._name})
        return True
