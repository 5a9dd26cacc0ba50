"""`api2db init`: a project folder that runs as it stands."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING

import click

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

#: Files of the package that are templates for other commands, or have another name in a project.
_TEMPLATES = frozenset({"collector.py.template", "declared.py.template"})
_NAMES = {"gitignore": ".gitignore", "machine.py.template": "machine.py"}
#: Only their owner may read what will hold secrets.
_OWNER_ONLY = "AUTH"


def init(folder: Path, *, as_json: bool) -> int:
    """Write what is missing of a project into *folder*; nothing is overwritten."""
    wrote: list[str] = []
    kept: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in made(folder):
            name = str(path.relative_to(folder))
            (wrote if _write(path, content) else kept).append(name)
    except OSError as exc:
        hint = "name a folder that this user may write"
        raise ConfigError(f"{folder}: cannot write: {exc.strerror}", hint=hint) from exc
    if as_json:
        click.echo(json.dumps({"project": str(folder), "wrote": wrote, "kept": kept}))
        return 0
    for name in kept:
        click.echo(f"kept   {name}")
    for name in wrote:
        click.echo(f"wrote  {name}")
    click.echo(f"\nNext: cd {folder} && api2db preview machine && api2db run")
    return 0


def made(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield each file that `init` writes into *folder*, with its content."""
    yield from _files(files("api2db.install") / "project", folder)


def _files(source: Traversable, target: Path) -> Iterator[tuple[Path, bytes]]:
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.name in _TEMPLATES:
            continue
        path = target / _NAMES.get(item.name, item.name)
        if item.is_dir():
            yield from _files(item, path)
        else:
            yield path, item.read_bytes()


def _write(path: Path, content: bytes) -> bool:
    """Write a file unless it is there, with its folder; return whether it was written."""
    secret = path.parent.name == _OWNER_ONLY
    path.parent.mkdir(mode=0o700 if secret else 0o755, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644)
    except FileExistsError:
        return False
    with os.fdopen(fd, "wb") as file:
        file.write(content)
    return True
