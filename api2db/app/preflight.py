"""What must be right before anything runs, and only user code and drivers can tell."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from api2db.app.source import make_source
from api2db.core.clock import SystemClock
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from api2db.app.settings import Config


def preflight(config: Config) -> None:
    """
    Make the sources that are no URL, and import functions: runs the code of their modules.

    Raises:
        ConfigError: One line per collector whose function, or driver, cannot be had.
    """
    problems = []
    for name, collector in config.collectors.items():
        try:
            if collector.get is None:
                source = make_source(collector, clock=SystemClock(), stop=threading.Event())
                source.prepare()
                source.close()
        except ConfigError as exc:
            problems.append(f"{config.path}: collectors.{name}: {exc}")
    if problems:
        raise ConfigError("\n".join(problems))
