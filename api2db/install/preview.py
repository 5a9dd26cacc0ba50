"""`api2db preview`: one page of a collector, its types, and the tables it would get."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import click

from api2db.app import log
from api2db.app.line import make_target
from api2db.app.preflight import ready
from api2db.app.project import load
from api2db.app.source import make_form, make_since, make_source
from api2db.core.clock import SystemClock
from api2db.core.errors import ConfigError
from api2db.core.types import name_of
from api2db.files.layout import Layout
from api2db.ingest import watermark
from api2db.ingest.checkpoint import Checkpoint
from api2db.sink.sql import SqlSink

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.settings import CollectorConfig
    from api2db.ingest.form import Built

#: Rows that are shown.
ROWS = 10


def preview(path: Path, name: str, *, as_json: bool) -> int:
    """Fetch the first page of collector *name* and show it; return the exit code."""
    config = load(path, os.environ)
    log.configure(config.secrets, level="ERROR")
    collector = config.collectors.get(name)
    if collector is None:
        known = ", ".join(config.collectors)
        raise ConfigError(f"{path}: there is no collector {name!r}", hint=f"there are: {known}")
    ready(config, collector)
    built = _fetch(collector, Layout(config.store))
    tables = {}
    for stream in collector.to:
        sink = make_target(config, collector, stream, spool="preview")
        if isinstance(sink, SqlSink):
            tables[stream] = sink.ddl(built.rows.schema)
        elif place := getattr(sink, "place", None):
            tables[stream] = f"-- rows go to {place}"
    picture = _picture(built, tables)
    if as_json:
        _say(json.dumps(picture, default=str))
    else:
        _print(picture)
    return 0


def _fetch(collector: CollectorConfig, layout: Layout) -> Built:
    source = make_source(collector, layout, clock=SystemClock(), stop=threading.Event())
    since = make_since(collector)
    try:
        first = source.first(watermark.text(since.initial if since else None))
        body = source.send(first).read()
        form = make_form(collector, Checkpoint(), source)
    finally:
        source.close()
    return form.parse(body).build()


def _picture(built: Built, tables: dict[str, str]) -> dict[str, Any]:
    schema = built.rows.schema
    return {
        "rows": built.rows.num_rows,
        "columns": {field.name: name_of(field.type) for field in schema},
        "sample": built.rows.slice(0, ROWS).to_pylist(),
        "dead": [{"row": dead.row, "reason": dead.reason} for dead in built.dead],
        "ddl": tables,
    }


def _print(picture: dict[str, Any]) -> None:
    _say(f"{picture['rows']} rows on the first page")
    width = max((len(name) for name in picture["columns"]), default=0)
    for name, kind in picture["columns"].items():
        _say(f"  {name:<{width}}  {kind}")
    for row in picture["sample"]:
        _say(json.dumps(row, default=str, ensure_ascii=False))
    for dead in picture["dead"]:
        _say(f"row {dead['row']} does not fit: {dead['reason']}", err=True)
    for stream, ddl in picture["ddl"].items():
        _say(f"\n-- {stream}\n{ddl}")


def _say(text: str, *, err: bool = False) -> None:
    """Print *text* without the secrets that an API may have sent back."""
    click.echo(log.hidden(text), err=err)
