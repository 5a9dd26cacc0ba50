"""`api2db list`, `add`, `remove`: the collectors of a project."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from api2db.app import document
from api2db.app.config import COLLECTORS
from api2db.app.project import load
from api2db.app.quantity import duration
from api2db.core.errors import ConfigError
from api2db.files.layout import NAME, Layout
from api2db.install import edit

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.settings import CollectorConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """What `add` was told; without *get* the collector is a function."""

    name: str
    get: str | None
    rows: str | None
    every: str
    to: tuple[str, ...]


def listing(path: Path, *, as_json: bool) -> int:
    """Print the collectors; return the exit code."""
    config = load(path, os.environ)
    found = [_picture(collector) for collector in config.collectors.values()]
    if as_json:
        disabled = [{"name": name, "disabled": True} for name in config.disabled]
        click.echo(json.dumps([*found, *disabled]))
        return 0
    for each in found:
        targets = ", ".join(f"{stream}.{table}" for stream, table in each["to"].items())
        click.echo(f"{each['name']}: {each['source']}, {each['schedule']}, to {targets}")
    for name in config.disabled:
        click.echo(f"{name}: disabled, its seconds are 0")
    return 0


def _picture(collector: CollectorConfig) -> dict[str, Any]:
    every = f"every {collector.every:g} s" if collector.every is not None else ""
    return {
        "name": collector.name,
        "source": _source(collector),
        "schedule": every or f"cron {collector.cron}",
        "to": {stream: to.table for stream, to in collector.to.items()},
    }


def _source(collector: CollectorConfig) -> str:
    """Return what a collector asks, without a secret: no user, no query."""
    if collector.python is not None:
        return f"python {collector.python.target}"
    if collector.sql is not None:
        return f"sql {_shown(collector.sql.url)} {collector.sql.table or 'query'}"
    return f"get {_shown(collector.get or '')}"


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def add(path: Path, entry: Entry, *, as_json: bool) -> int:
    """Add a collector to *path*, and its module where it is a function; return the exit code."""
    if NAME.fullmatch(entry.name) is None:
        hint = "use 1 to 63 of a-z, 0-9, '_' and '-', beginning with a letter"
        raise ConfigError(f"{entry.name!r} cannot be a name", hint=hint)
    try:
        duration(entry.every)
    except ValueError as exc:
        raise ConfigError(f"--every: {exc}") from exc
    value = document.read(path).value
    streams = list((value or {}).get("streams") or {}) if isinstance(value, dict) else []
    if unknown := [stream for stream in entry.to if stream not in streams]:
        hint = f"there are: {', '.join(streams)}" if streams else "add one to 'streams'"
        raise ConfigError(f"there is no stream {unknown[0]!r}", hint=hint)
    if not streams:
        raise ConfigError(f"{path}: there is no stream to add to", hint="add one to 'streams'")
    lines = [f"every: {entry.every}"]
    module = None
    if entry.get is None:
        module = path.absolute().parent / COLLECTORS / f"{entry.name.replace('-', '_')}.py"
        lines.append(f"python: {module.stem}:collect")
    else:
        lines.append(f"get: {json.dumps(entry.get)}")
        lines += [f"rows: {json.dumps(entry.rows)}"] if entry.rows else []
    lines += ["to:", *(f"  {stream}: {{}}" for stream in entry.to or streams)]
    edit.add(path, entry.name, lines)
    wrote = module is not None and _write_module(module, entry.name)
    if as_json:
        click.echo(json.dumps({"added": entry.name, "module": str(module) if wrote else None}))
    else:
        click.echo(f"added {entry.name} to {path}")
        if module is not None:
            verb = "wrote" if wrote else "kept"
            click.echo(f"{verb} {module.relative_to(path.absolute().parent)}")
        click.echo(f"next: api2db preview {entry.name}")
    return 0


def _write_module(module: Path, name: str) -> bool:
    """Write a function to start from, unless the file is there; return whether it was written."""
    template = files("api2db.install") / "project" / COLLECTORS / "collector.py.template"
    module.parent.mkdir(exist_ok=True)
    try:
        with module.open("x") as file:
            file.write(template.read_text().replace("NAME", name))
    except FileExistsError:
        return False
    return True


def remove(path: Path, name: str, *, as_json: bool) -> int:
    """Take a collector out of *path*; return the exit code."""
    value = document.read(path).value
    store = str((value or {}).get("store") or "STORE") if isinstance(value, dict) else "STORE"
    edit.remove(path, name)
    waiting = _waiting(Layout(path.absolute().parent / store), name)
    if as_json:
        click.echo(json.dumps({"removed": name, "waiting_batches": waiting}))
        return 0
    click.echo(f"removed {name} from {path}")
    if waiting:
        click.echo(f"{waiting} of its batches have not landed: they stay in {store}", err=True)
    return 0


def _waiting(layout: Layout, name: str) -> int:
    """Return how many batches of a collector wait in its queue and in shards."""
    from api2db.core.errors import SpoolFailed
    from api2db.spool.inspection import inspect

    shards = sum(1 for _ in layout.spilled(name).glob("*/*.parquet"))
    if not layout.spool(name).is_dir():
        return shards
    try:
        picture = inspect(layout.spool(name))
    except SpoolFailed:
        return shards
    return shards + max((cursor["batches"] for cursor in picture["streams"].values()), default=0)
