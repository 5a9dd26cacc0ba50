"""The command `cadd NAME`: adds a collector that is declared in Python."""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import click

from api2db.app.config import COLLECTORS
from api2db.core.errors import Api2dbError, ConfigError


def cadd(ad: str | None) -> None:
    """
    Write ``collectors/<ad>.py``, a collector to fill in. It is disabled: its ``seconds`` are 0.

    Raises:
        ConfigError: There is no name, it is no name of Python's, or the file is there.
    """
    if ad is None or not ad.isidentifier() or not ad.isascii():
        raise ConfigError(f"{ad!r} cannot be the name of a module", hint="cadd NAME")
    path = Path(COLLECTORS) / f"{ad}.py"
    template = files("api2db.install") / "project" / COLLECTORS / "declared.py.template"
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(template.read_text().replace("NAME", ad))
    except FileExistsError as exc:
        raise ConfigError(f"there is a {path}", hint="choose another name") from exc
    click.echo(f"wrote {path}")


def main() -> int:
    """Run `cadd` on the command line's argument; return the exit code."""
    from api2db.install.cli import failed

    try:
        cadd(sys.argv[1] if len(sys.argv) == 2 else None)
    except Api2dbError as exc:
        return failed(exc)
    return 0
