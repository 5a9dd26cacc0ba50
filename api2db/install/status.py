"""`api2db status`: what the daemon does, or what it left behind."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import TYPE_CHECKING, Any

import click

from api2db.app import log, snapshot
from api2db.app.leftover import noted
from api2db.app.project import load
from api2db.core.errors import StoreLocked
from api2db.files.layout import Layout

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.settings import Config

#: How long a running daemon may take to answer, in seconds.
ANSWER = 5.0


def status(path: Path, *, as_json: bool) -> int:
    """Print the state; return 0 if healthy, 1 if not."""
    config = load(path, os.environ)
    log.configure(config.secrets, level="ERROR")
    saved = snapshot.load(Layout(config.store).status)
    picture = _ask(saved, config) or _look(config, saved)
    if as_json:
        click.echo(json.dumps(picture))
    else:
        _print(picture)
    return 0 if picture["healthy"] else 1


def alive(path: Path) -> int:
    """Return 0 if a daemon with the configuration *path* answers, 1 if none does; print nothing."""
    config = load(path, os.environ)
    saved = snapshot.load(Layout(config.store).status)
    return 0 if _fetch(saved, config, "/healthz") is not None else 1


def _fetch(saved: dict[str, Any] | None, config: Config, what: str) -> bytes | None:
    """Return what the running daemon answers at the path *what*, None if none answers."""
    if not saved or not saved["url"]:
        return None
    headers = {"Authorization": f"Bearer {config.status.token}"} if config.status.token else {}
    request = urllib.request.Request(saved["url"] + what, headers=headers)  # noqa: S310  (ours)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=ANSWER) as answer:
            return bytes(answer.read())
    except OSError:
        return None


def _ask(saved: dict[str, Any] | None, config: Config) -> dict[str, Any] | None:
    """Return what the running daemon says, None if none answers."""
    answer = _fetch(saved, config, "/api/status")
    try:
        picture = json.loads(answer) if answer else None
    except ValueError:
        return None
    return picture if isinstance(picture, dict) else None


def _look(config: Config, saved: dict[str, Any] | None) -> dict[str, Any]:
    """Return what lies on disk, with the errors that the last daemon left."""
    from api2db.app.daemon import Daemon

    try:
        daemon = Daemon(config)
    except StoreLocked:  # a `run --once`, or a daemon that is just starting
        if saved is None:
            raise
        return saved
    try:
        picture = snapshot.snapshot(daemon, running=False)
    finally:
        daemon.close()
    return _merged(picture, saved) if saved else picture


def _merged(picture: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    for name, collector in picture["collectors"].items():
        before = saved["collectors"].get(name)
        if before is None:
            continue
        for key in ("state", "error", "last_poll_at", "polls", "rows_collected"):
            collector[key] = before[key]
        for stream, state in collector["streams"].items():
            old = before["streams"].get(stream, {})
            if state["queued_batches"] or state["spilled_batches"]:
                state["error"] = old.get("error", "")
            state["rows_landed"] = old.get("rows_landed", 0)
            state["healthy"] = state["healthy"] and not state["error"]
        collector["healthy"] = (
            not (collector["error"] or collector["damage"] or collector["dead_rows"])
        ) and all(state["healthy"] for state in collector["streams"].values())
    picture["healthy"] = all(c["healthy"] for c in picture["collectors"].values())
    return picture


def _print(picture: dict[str, Any]) -> None:
    running = f"running, {picture['url'] or ''}" if picture["running"] else "not running"
    click.echo(f"api2db is {running.rstrip(', ')}")
    for name in picture.get("hung", ()):
        click.echo(f"{name} hangs")
    for note in noted(picture):
        click.echo(note)
    for name, collector in picture["collectors"].items():
        click.echo(f"{name}: {collector['state']}, collected {collector['rows_collected']} rows")
        if collector["error"]:
            click.echo(f"  {collector['error']}")
        if collector["dead_rows"]:
            click.echo(f"  {collector['dead_rows']} rows did not fit, see dead_letter/{name}/_rows")
        for damage in collector["damage"]:
            click.echo(f"  damaged: {damage}")
        for stream, state in collector["streams"].items():
            click.echo(
                f"  {stream}: {state['state']}, landed {state['rows_landed']} rows,"
                f" {state['queued_batches']} batches wait"
                f" (oldest {state['oldest_unsent_seconds']:.0f} s),"
                f" {state['spilled_batches']} spilled, {state['dead_rows']} dead"
            )
            if state["error"]:
                click.echo(f"    {state['error']}")
