"""Log lines: structured, on stderr, with every secret taken out."""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from api2db.app.secret import Redactor

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

#: Libraries that log each request or query.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "uvicorn", "asyncio", "tzlocal")

#: Takes out what `configure` was told of.
_hide = Redactor(())


def configure(
    secrets: Collection[str], *, stream: TextIO | None = None, level: str = "INFO"
) -> None:
    """
    Send all log lines to *stream* (default: stderr): one line of text on a terminal, else JSON.

    Only the program calls this; the packages below log through `logging` alone.

    Args:
        secrets: Texts that appear nowhere, not even in a traceback.
    """
    global _hide  # noqa: PLW0603 -- as global as the root logger that it belongs to
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    _hide = Redactor(secrets)
    handler.setFormatter(_Redacting(_Text() if out.isatty() else _json(), _hide))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    sys.excepthook = _crashed
    threading.excepthook = lambda args: _crashed(args.exc_type, args.exc_value, args.exc_traceback)


def get_logger(filename: str | None = None, q: object = None) -> logging.Logger:  # noqa: ARG001
    """Return the logger of a project's own code; its lines go where all others go."""
    return logging.getLogger("api2db.project")


def hidden(text: str) -> str:
    """Return *text* without the secrets that `configure` was told of."""
    return _hide(text)


class _Redacting(logging.Formatter):
    """Takes the secrets out of the finished line, whatever part of it they came from."""

    def __init__(self, lines: logging.Formatter, hide: Redactor) -> None:
        super().__init__()
        self._lines = lines
        self._redact = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._lines.format(record))


def _crashed(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Log what nobody caught: the interpreter's own report would show secrets."""
    if error is not None and not issubclass(kind, (KeyboardInterrupt, SystemExit)):
        logging.getLogger(__name__).critical("crashed", exc_info=(kind, error, trace))


def _json() -> JsonFormatter:
    lines = JsonFormatter(
        "%(asctime)s %(levelname)s %(message)s",
        rename_fields={"asctime": "at", "levelname": "level", "message": "event"},
        json_ensure_ascii=False,
        timestamp=False,
    )
    lines.converter = time.gmtime
    lines.default_time_format = "%Y-%m-%dT%H:%M:%S"
    lines.default_msec_format = "%s.%03dZ"
    return lines


class _Text(logging.Formatter):
    """Lines such as ``10:03:07 WARNING  stream_retrying  stream=orders/pg error=...``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        fields = (
            f"{key}={value}"
            for key, value in record.__dict__.items()
            if key not in RESERVED_ATTRS and not key.startswith("_")
        )
        line, *traceback = super().format(record).split("\n")
        return "\n".join(["  ".join([line, *fields]), *traceback])
