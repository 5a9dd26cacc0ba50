"""What must be right before anything runs, and only the user's own code can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from api2db.app.config import Config


def preflight(config: Config) -> None:
    """
    Import the functions of all collectors; runs the code of their modules.

    Raises:
        ConfigError: One line per collector whose function cannot be had.
    """
    problems = []
    for name, collector in config.collectors.items():
        if collector.python is None:
            continue
        from api2db.ingest.function_module import load

        try:
            load(collector.python.folder, collector.python.target)
        except ConfigError as exc:
            problems.append(f"{config.path}: collectors.{name}.python: {exc}")
    if problems:
        raise ConfigError("\n".join(problems))
