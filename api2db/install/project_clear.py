"""The command `pclear`: takes back what `pmake` has made."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from api2db.app.config import COLLECTORS
from api2db.install.init import made

if TYPE_CHECKING:
    from collections.abc import Iterator


def pclear() -> int:
    """
    Remove the files that `pmake` and `cadd` wrote, once you agree; return 1 if they stay.

    A file that was changed since stays, and so do the STORE and all that was collected.
    """
    ours = list(_untouched())
    if not ours:
        click.echo("There is nothing here that pmake made and nobody has changed.")
        return 0
    for path in ours:
        click.echo(path)
    question = f"These {len(ours)} files will be deleted from {Path.cwd()}. Continue? (y/n) "
    if input(question).strip() != "y":
        return 1
    for path in ours:
        path.unlink()
    for folder in {path.parent for path in ours if path.parent != Path()}:
        if not any(folder.iterdir()):
            folder.rmdir()
    return 0


def _untouched() -> Iterator[Path]:
    for path, content in made(Path()):
        if path.is_file() and path.read_bytes() == content:
            yield path
    template = (
        files("api2db.install") / "project" / COLLECTORS / "declared.py.template"
    ).read_text()
    for path in sorted(Path(COLLECTORS).glob("*.py")):
        if path.read_text() == template.replace("NAME", path.stem):
            yield path


def main() -> int:
    """Run `pclear`; return the exit code."""
    return pclear()
