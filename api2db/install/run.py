"""`api2db run`: the daemon, for ever or once."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import orjson

from api2db.app import log
from api2db.app.daemon import Daemon
from api2db.app.leftover import noted
from api2db.app.preflight import preflight
from api2db.app.project import load
from api2db.app.quantity import duration
from api2db.app.service import keep, serve
from api2db.install import process

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from api2db.app.settings import Config

#: How long `run --once` may take to end its threads, in seconds.
ONCE_GRACE = 10.0
#: Seconds between two lines for a person who waits.
PROGRESS = 2.0


def forever(path: Path, stop: threading.Event) -> int:
    """Run until *stop*, which a signal sets; return the exit code."""
    config = load(path, os.environ)
    log.configure(config.secrets)
    _prepare(config)
    if not stop.is_set():
        serve(config, stop, process.loaded)
    return 0


def once(
    path: Path, timeout: str, as_json: bool, stop: threading.Event, *, poll: bool = True
) -> int:
    """
    Poll once, deliver, print what happened; return the exit code. *stop* ends it early.

    Args:
        poll: False only delivers what was collected before: shards first, then the queue.
    """
    config = load(path, os.environ)
    log.configure(config.secrets, level="WARNING")
    _prepare(config)
    seconds = duration(timeout)
    daemon = Daemon(config)
    process.loaded()
    try:
        daemon.start(poll=False)
        polled = not poll or daemon.poll_once(stop)
        landed = _drain(daemon, seconds, stop)
        if poll and config.stores:  # what the collectors have just written may be their shards
            polled &= daemon.poll_once(stop, stores=True)
            landed = _drain(daemon, seconds, stop)
        daemon.stop(ONCE_GRACE, drain=False)
        picture = keep(daemon, running=False)
    finally:
        daemon.close()
    troubles = list(_troubles(picture))
    if as_json:
        click.echo(orjson.dumps({**picture, "troubles": troubles}).decode())
    else:
        _print(picture, troubles)
    return 0 if polled and landed and not troubles else 1


def _drain(daemon: Daemon, seconds: float, stop: threading.Event) -> bool:
    """Wait until all has landed, as `Daemon.drain`; a person who waits sees how far it is."""
    shown = sys.stderr.isatty()
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        until = time.monotonic() + PROGRESS
        if daemon.drain(min(left, PROGRESS), stop):
            return True
        if time.monotonic() < until:  # it gave up before its time
            break
        if shown:
            click.echo(f"{daemon.waiting()} batches wait", err=True)
    return False


def _prepare(config: Config) -> None:
    if not config.uses_pandas:
        process.spare_pandas()
    preflight(config)


def _troubles(picture: dict[str, Any]) -> list[str]:
    """Return what keeps `run --once` from exiting with 0, and where."""
    found = []
    for name, collector in picture["collectors"].items():
        if collector["error"]:
            found.append(f"{name}: poll failed: {collector['error']}")
        if collector["dead_rows"]:
            rows = collector["dead_rows"]
            found.append(f"{name}: {rows} rows do not fit, see dead_letter/{name}")
        found += [f"{name}: damaged: {damage}" for damage in collector["damage"]]
        for stream, state in collector["streams"].items():
            where = f"{name}/{stream}"
            if state["queued_batches"]:
                queued = f"{state['queued_rows']} rows in {state['queued_batches']} batches wait"
                why = f": {state['state']}: {state['error']}" if state["error"] else ""
                found.append(f"{where}: {queued}{why}")
            if state["spilled_batches"]:
                why = f": {state['error']}" if state["error"] else ""
                found.append(f"{where}: {state['spilled_batches']} batches are spilled{why}")
            if state["damaged_shards"]:
                found.append(f"{where}: {state['damaged_shards']} spilled batches are damaged")
            if state["dead_rows"]:
                found.append(
                    f"{where}: {state['dead_rows']} rows were refused, see dead_letter/{where}"
                )
    return found


def _print(picture: dict[str, Any], troubles: list[str]) -> None:
    for name, collector in picture["collectors"].items():
        click.echo(f"{name}: collected {collector['rows_collected']} rows")
        for stream, state in collector["streams"].items():
            click.echo(f"  {stream}: landed {state['rows_landed']} rows")
    for trouble in troubles:
        click.echo(f"api2db: {trouble}", err=True)
    for note in noted(picture):
        click.echo(f"api2db: {note}", err=True)
