"""
What streams say where nobody has set up logging: Python would show events without their fields.

The program sends all lines elsewhere; this is for streams that run in a project's own process.
"""

from __future__ import annotations

import logging
import sys

_PACKAGE = "api2db"
#: What each record has; the rest are the fields of an event.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


class LastResort(logging.Handler):
    """Warnings and errors as ``stream_paused stream=x/y error=...`` on stderr, as a last resort."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave out what another handler shows."""
        handlers = [*logging.getLogger().handlers, *logging.getLogger(_PACKAGE).handlers]
        return handlers == [self] and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and the traceback if there is one."""
        event, *traceback = self.format(record).split("\n")
        fields = (f"{key}={value}" for key, value in vars(record).items() if key not in _USUAL)
        print("\n".join(["  ".join([event, *fields]), *traceback]), file=sys.stderr)


_handler = LastResort()


def install() -> None:
    """Let the package's own logger have a last resort; again does nothing."""
    logging.getLogger(_PACKAGE).addHandler(_handler)
