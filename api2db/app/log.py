"""Log lines: structured, on stderr, with every secret taken out."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

if TYPE_CHECKING:
    from collections.abc import Collection

#: Libraries that log each request or query.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "uvicorn", "asyncio", "tzlocal")


def configure(
    secrets: Collection[str], *, stream: TextIO | None = None, level: str = "INFO"
) -> None:
    """
    Send all log lines to *stream* (default: stderr): one line of text on a terminal, else JSON.

    Only the program calls this; the packages below log through `logging` alone.

    Args:
        secrets: Texts that appear nowhere, not even in a traceback.
    """
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(_Redacting(_Text() if out.isatty() else _json(), secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def redact(line: str, secrets: Collection[str]) -> str:
    """Return *line* with each of *secrets* replaced by ``***``, longest first."""
    for secret in sorted(secrets, key=len, reverse=True):
        line = line.replace(secret, "***")
    return line


class _Redacting(logging.Formatter):
    """Takes the secrets out of the finished line, whatever part of it they came from."""

    def __init__(self, lines: logging.Formatter, secrets: Collection[str]) -> None:
        super().__init__()
        self._lines = lines
        # JSON escapes what a secret may hold: quotes, backslashes, control characters.
        escaped = {json.dumps(secret, ensure_ascii=False)[1:-1] for secret in secrets}
        self._secrets = {secret for secret in escaped.union(secrets) if secret}

    def format(self, record: logging.LogRecord) -> str:
        return redact(self._lines.format(record), self._secrets)


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
