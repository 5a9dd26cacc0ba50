"""`api2db spool`: what lies in the durable queues; reads only, beside a daemon too."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from api2db.app.project import load
from api2db.core.errors import ConfigError
from api2db.files.layout import Layout
from api2db.spool.inspection import inspect as look
from api2db.spool.inspection import silent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def inspect(path: Path, collector: str | None, *, as_json: bool, verify: bool = False) -> int:
    """Print the state of the queues; return 1 if *verify* finds damage."""
    config = load(path, os.environ)
    layout = Layout(config.store)
    root = layout.spool("a").parent
    there = sorted(each.name for each in root.iterdir()) if root.is_dir() else []
    if collector is not None and collector not in there:
        hint = f"there are: {', '.join(there)}" if there else "nothing was collected yet"
        raise ConfigError(f"there is no queue of {collector!r}", hint=hint)
    pictures: dict[str, dict[str, Any]] = {}
    for name in there if collector is None else [collector]:
        pictures[name] = look(layout.spool(name), verify=verify, progress=_progress(name))
    if as_json:
        click.echo(json.dumps(pictures))
    else:
        for name, picture in pictures.items():
            _print(name, picture)
    return 1 if any(picture["damage"] for picture in pictures.values()) else 0


def _progress(name: str) -> Callable[[int, int], None]:
    """Return what shows a person how many bytes were read."""
    if not sys.stderr.isatty():
        return silent
    end = {True: "\n", False: ""}
    return lambda done, of: click.echo(
        f"\r{name}: {done >> 20} of {of >> 20} MB{end[done >= of]}", nl=False, err=True
    )


def _print(name: str, picture: dict[str, Any]) -> None:
    records = f"{picture['batches']} batches, {picture['rows']} rows, {picture['states']} states"
    size = f"{picture['bytes']} bytes in {len(picture['segments'])} segments"
    click.echo(f"{name}: {size}, {records}")
    for stream, cursor in picture["streams"].items():
        waiting = f"{cursor['batches']} batches ({cursor['rows']} rows) wait"
        click.echo(f"  {stream}: read up to {cursor['acked']}, {waiting}")
    for damage in picture["damage"]:
        click.echo(f"  damaged: {damage}", err=True)
