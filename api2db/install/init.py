"""`api2db init`: a project folder that runs as it stands."""

from __future__ import annotations

import json
import os
from importlib.resources import files
from typing import TYPE_CHECKING

import click

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

#: Files of the package that are templates for other commands, or have another name in a project.
_TEMPLATES = frozenset({"collector.py.template"})
_NAMES = {"gitignore": ".gitignore", "machine.py.template": "machine.py"}
#: Only their owner may read what will hold secrets.
_OWNER_ONLY = "AUTH"


def init(folder: Path, *, as_json: bool) -> int:
    """Write what is missing of a project into *folder*; nothing is overwritten."""
    wrote: list[str] = []
    kept: list[str] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy(files("api2db.install") / "project", folder, folder, wrote, kept)
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


def _copy(source: Traversable, target: Path, root: Path, wrote: list[str], kept: list[str]) -> None:
    for item in sorted(source.iterdir(), key=lambda item: item.name):
        if item.name in _TEMPLATES:
            continue
        path = target / _NAMES.get(item.name, item.name)
        if item.is_dir():
            path.mkdir(mode=0o700 if item.name == _OWNER_ONLY else 0o755, exist_ok=True)
            _copy(item, path, root, wrote, kept)
            continue
        mode = 0o600 if target.name == _OWNER_ONLY else 0o644
        name = str(path.relative_to(root))
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            kept.append(name)
            continue
        with os.fdopen(fd, "wb") as file:
            file.write(item.read_bytes())
        wrote.append(name)
