"""The command `crem NAME`: removes a collector, wherever it is declared."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from api2db.app import document
from api2db.app.project import load
from api2db.core.errors import Api2dbError, ConfigError
from api2db.install import collectors

_CONFIG = Path("config.yaml")


def crem(rem: str | None) -> None:
    """
    Remove a collector: its lines of config.yaml, or, once you agree, the file that declares it.

    What it has in the STORE stays.

    Raises:
        ConfigError: There is no such collector.
    """
    if rem is None:
        raise ConfigError("no collector is named", hint="crem NAME")
    value = document.read(_CONFIG).value if _CONFIG.exists() else None
    if isinstance(value, dict) and rem in (value.get("collectors") or {}):
        collectors.remove(_CONFIG, rem, as_json=False)
        return
    path = _file(rem)
    if input(f"{path} declares {rem} and will be deleted. Continue? (y/n) ").strip() == "y":
        path.unlink()
        click.echo(f"removed {path}")


def _file(name: str) -> Path:
    """Return the file that declares a collector; a disabled one is in the file of its name."""
    config = load(_CONFIG, os.environ)
    found = config.collectors.get(name)
    if found is not None and found.python is not None and found.python.call is not None:
        return found.python.folder / f"{found.python.target.partition(':')[0]}.py"
    path = config.folder / "collectors" / f"{name}.py"
    if name in config.disabled and path.exists():
        return path
    raise ConfigError(f"there is no collector {name!r}", hint="clist shows those there are")


def main() -> int:
    """Run `crem` on the command line's argument; return the exit code."""
    from api2db.install.cli import failed

    try:
        crem(sys.argv[1] if len(sys.argv) == 2 else None)
    except Api2dbError as exc:
        return failed(exc)
    return 0
