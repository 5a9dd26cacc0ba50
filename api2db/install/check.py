"""`api2db check`: is the configuration right, and can everything be reached?"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import click

from api2db.app.leftover import leftover, notes
from api2db.app.preflight import preflight
from api2db.app.project import load
from api2db.core.errors import Api2dbError
from api2db.files.layout import Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from api2db.app.settings import Config


def check(path: Path, *, connect: bool, as_json: bool) -> int:
    """Validate *path*, print the result, return the exit code (ConfigError passes through)."""
    config = load(path, os.environ)
    preflight(config)
    results = dict(_connect(config)) if connect else {}
    left = leftover(config, Layout(config.store))
    if as_json:
        import json

        summary = {
            "config": str(path),
            "collectors": list(config.collectors),
            "streams": list(config.streams),
            "connect": {where: error or "ok" for where, error in results.items()},
            "waiting_for_nobody": left,
        }
        click.echo(json.dumps(summary))
    else:
        click.echo(
            f"{path}: ok, {len(config.collectors)} collectors, {len(config.streams)} streams"
        )
        for note in notes(left, config.lines):
            click.echo(f"{path}: {note}", err=True)
        for where, error in results.items():
            click.echo(f"{where}: {error or 'ok'}", err=bool(error))
    return 1 if any(results.values()) else 0


def _connect(config: Config) -> Iterator[tuple[str, str]]:
    """Yield each API and each target with why it cannot be used, "" if it can."""
    from api2db.app import log

    log.configure(config.secrets, level="ERROR")
    for name, collector in config.lines.items():
        if collector.shards is None:
            yield f"collector {name}", _why(lambda c=collector: _ask(config, c))  # type: ignore[misc]
        for stream in collector.to:
            yield (
                f"stream {stream} for {name}",
                _why(lambda c=collector, s=stream: _log_in(config, c, s)),  # type: ignore[misc]
            )


def _why(attempt: Callable[[], None]) -> str:
    from api2db.app import log

    try:
        attempt()
    except Api2dbError as exc:
        return log.hidden(str(exc))
    return ""


def _ask(config: Config, collector: object) -> None:
    from api2db.app.settings import CollectorConfig
    from api2db.app.source import make_since, make_source
    from api2db.core.clock import SystemClock
    from api2db.ingest import watermark

    assert isinstance(collector, CollectorConfig)
    source = make_source(
        collector, Layout(config.store), clock=SystemClock(), stop=threading.Event()
    )
    try:
        since = make_since(collector)
        source.send(source.first(watermark.text(since.initial if since else None))).read()
    finally:
        source.close()


def _log_in(config: Config, collector: object, stream: str) -> None:
    from api2db.app.line import make_target
    from api2db.app.settings import CollectorConfig

    assert isinstance(collector, CollectorConfig)
    sink = make_target(config, collector, stream, spool="check")
    try:
        sink.open()
    finally:
        sink.close()
