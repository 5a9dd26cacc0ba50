"""What must be right before anything runs, and only user code and drivers can tell."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from api2db.app.line import make_target
from api2db.app.source import make_source
from api2db.core.clock import SystemClock
from api2db.core.errors import ConfigError
from api2db.files.layout import Layout

if TYPE_CHECKING:
    from api2db.app.settings import CollectorConfig, Config


def preflight(config: Config) -> None:
    """
    Make the sources that are no URL, and the sinks, not opened; import functions.

    That runs the code of their modules.

    Raises:
        ConfigError: One line per collector whose function, or driver, cannot be had, and per
            stream whose driver cannot, or whose target does not take what is asked of it.
    """
    problems: dict[str, None] = {}  # a target that serves many is named once
    for collector in config.collectors.values():
        try:
            ready(config, collector)
        except ConfigError as exc:
            problems[str(exc)] = None
    for line in config.lines.values():
        for stream in line.to:
            try:
                make_target(config, line, stream, spool="check").close()
            except ConfigError as exc:
                problems[str(exc)] = None
    if problems:
        raise ConfigError("\n".join(problems))


def ready(config: Config, collector: CollectorConfig) -> None:
    """
    Do the same for one collector.

    Raises:
        ConfigError: Begins with the line of the configuration that names the source.
    """
    if collector.get is not None:
        return
    try:
        source = make_source(
            collector, Layout(config.store), clock=SystemClock(), stop=threading.Event()
        )
        source.prepare()
        source.close()
    except ConfigError as exc:
        raise ConfigError(f"{collector.place}: {exc}") from exc
