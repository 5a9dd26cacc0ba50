"""Log lines: structured, on stderr, with every secret taken out."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Collection

    from structlog.typing import EventDict, Processor, WrappedLogger

#: Libraries that log each request or query.
_CHATTY = ("httpx", "httpx2", "httpcore", "httpcore2", "uvicorn", "asyncio", "tzlocal")


def configure(secrets: Collection[str], *, stream: TextIO | None = None, level: str = "INFO") -> None:
    """
    Send all log lines to *stream* (default: stderr): readable on a terminal, else JSON.

    Only the program calls this; the packages below log through `logging` alone.

    Args:
        secrets: Texts that appear nowhere, not even in a traceback.
    """
    out = stream or sys.stderr
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=True)
        if out.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        _Redacting(
            secrets,
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.stdlib.ExtraAdder(),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _exceptions if not out.isatty() else _keep,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Redacting(structlog.stdlib.ProcessorFormatter):
    """Takes the secrets out of the finished line, whatever part of it they came from."""

    def __init__(self, secrets: Collection[str], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self._secrets = sorted(secrets, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._secrets)


def redact(line: str, secrets: Collection[str]) -> str:
    """Return *line* with each of *secrets* replaced by ``***``."""
    for secret in secrets:
        line = line.replace(secret, "***")
    return line


def _keep(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return event


def _exceptions(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    return structlog.processors.format_exc_info(logger, name, event)
