"""`api2db dead`: rows that could not land, and what to do with them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import click

from api2db.app import log
from api2db.app.line import FORM
from api2db.app.project import load
from api2db.core.errors import ConfigError
from api2db.files.layout import Layout
from api2db.files.letters import RETRIED, folders, letters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api2db.app.daemon import Daemon
    from api2db.app.retry import Retried
    from api2db.app.settings import Config

#: Characters of a row that are shown to a person.
SHOWN = 300


def listing(path: Path, *, as_json: bool) -> int:
    """Print where rows are dead; return the exit code."""
    config = _config(path)
    found: list[dict[str, Any]] = []
    for collector, stream, folder in folders(Layout(config.store).dead_letters):
        kept = list(letters(folder))
        rows = [row for letter in kept for row in letter.rows]
        newest = {key: rows[-1].get(key) for key in ("at", "reason")} if rows else {}
        place = {"collector": collector, "stream": stream, "letters": len(kept)}
        cut_off = any(folder.glob(f"*{RETRIED}"))
        found.append({**place, "rows": len(rows), "retry_cut_off": cut_off, **newest})
    if as_json:
        click.echo(json.dumps(found))
    else:
        for each in found:
            reason = log.hidden(str(each.get("reason") or ""))
            where = f"{each['collector']}/{each['stream']}"
            click.echo(f"{where}: {each['rows']} rows, {reason}".rstrip(", "))
            if each["retry_cut_off"]:
                click.echo(f"  a retry was cut off: api2db dead retry {each['collector']}")
        if not found:
            click.echo("no row is dead")
    return 0


def show(path: Path, collector: str, stream: str | None, *, limit: int, as_json: bool) -> int:
    """Print dead rows, oldest first; return the exit code."""
    config = _config(path)
    shown = 0
    for name, folder in _chosen(config, collector, stream):
        for letter in letters(folder):
            for row in letter.rows:
                if shown == limit > 0:
                    click.echo("there are more: raise --limit", err=True)
                    return 0
                shown += 1
                if as_json:
                    click.echo(json.dumps({"stream": name, "letter": letter.name, **row}))
                else:
                    content = str(row.get("content", ""))[:SHOWN]
                    click.echo(f"{name} {letter.name}: {row.get('reason')}\n  {content}")
    return 0


def retry(path: Path, collector: str, stream: str | None, *, as_json: bool) -> int:
    """Send dead rows again; return 0 if none is left."""
    from api2db.app.daemon import Daemon

    config = _config(path)
    chosen = _chosen(config, collector, stream)
    configured = config.lines.get(collector)
    gone = [name for name, _ in chosen if not configured or name not in (FORM, *configured.to)]
    if gone:
        hint = "name another stream, or 'dead drop' them"
        raise ConfigError(f"{collector}/{gone[0]} is configured no more", hint=hint)
    daemon = Daemon(config)
    left = 0
    try:
        for name, folder in chosen:
            for done in _progress(_retried(daemon, collector, name, folder), name):
                left += done.left
                _report(collector, name, done, as_json=as_json)
    finally:
        daemon.close()
    return 1 if left else 0


def drop(path: Path, collector: str, stream: str | None, *, yes: bool, as_json: bool) -> int:
    """Remove dead rows for good; return the exit code."""
    config = _config(path)
    chosen = _chosen(config, collector, stream)
    rows = sum(len(letter.rows) for _, folder in chosen for letter in letters(folder))
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(f"this removes {rows} rows for good", hint="say --yes")
        click.confirm(f"Remove {rows} rows for good?", abort=True, err=True)
    done = list(_dropped(config, collector, chosen))
    dropped, left = sum(each.rows for each in done), sum(each.left for each in done)
    if as_json:
        click.echo(json.dumps({"dropped": dropped, "left": left}))
    else:
        click.echo(f"dropped {dropped} rows")
    for each in done:
        if each.left:
            click.echo(f"  {each.left} rows of {each.name} stay: {each.reason}", err=True)
    return 1 if left else 0


def _dropped(config: Config, collector: str, chosen: list[tuple[str, Path]]) -> Iterator[Retried]:
    from api2db.app.daemon import Daemon
    from api2db.app.retry import drop as drop_letters
    from api2db.files.lock import Lock

    configured = config.lines.get(collector)
    streams = {name for name, _ in chosen if configured and name in configured.to}
    with ExitStack() as stack:
        daemon = stack.enter_context(closing(Daemon(config))) if streams else None
        if daemon is None:
            lock = Lock(Layout(config.store).lock)
            lock.acquire()
            stack.callback(lock.release)
        for name, folder in chosen:
            line = daemon.lines[collector] if daemon and name in streams else None
            yield from drop_letters(folder, line, name)


def _config(path: Path) -> Config:
    config = load(path, os.environ)
    log.configure(config.secrets, level="ERROR")
    return config


def _chosen(config: Config, collector: str, stream: str | None) -> list[tuple[str, Path]]:
    """Return the streams, with their folders, whose dead rows are meant; ConfigError if none."""
    layout = Layout(config.store)
    found = [(s, folder) for c, s, folder in folders(layout.dead_letters) if c == collector]
    if stream is not None:
        layout.dead_letter(collector, stream)  # a name, not a path
        half_done = layout.dead_letter(collector, stream)
        found = [(stream, half_done)] if half_done.is_dir() else []
    elif collector in config.lines:
        known = {s for s, _ in found}
        for name in (FORM, *config.lines[collector].to):
            folder = layout.dead_letter(collector, name)
            if name not in known and folder.is_dir():
                found.append((name, folder))
    if not found:
        where = collector if stream is None else f"{collector}/{stream}"
        raise ConfigError(f"there are no dead rows of {where}", hint="see: api2db dead list")
    return found


def _retried(daemon: Daemon, collector: str, name: str, folder: Path) -> Iterator[Retried]:
    from api2db.app.retry import retry_form, retry_stream

    line = daemon.lines[collector]
    if name == FORM:
        return retry_form(line, folder)
    return retry_stream(line, name, folder, daemon.timestamps)


def _progress(items: Iterator[Retried], label: str) -> Iterator[Retried]:
    """Show a person that letters go by."""
    shown = sys.stderr.isatty()
    for number, item in enumerate(items, 1):
        if shown:
            click.echo(f"\r{label}: {number} letters", nl=False, err=True)
        yield item
    if shown:
        click.echo("", err=True)


def _report(collector: str, stream: str, done: Retried, *, as_json: bool) -> None:
    if as_json:
        fields = {"letter": done.name, "rows": done.rows, "left": done.left, "reason": done.reason}
        click.echo(json.dumps({"collector": collector, "stream": stream, **fields}))
        return
    click.echo(f"{collector}/{stream} {done.name}: {done.rows} rows are on their way")
    if done.left:
        click.echo(f"  {done.left} rows stay: {done.reason}", err=True)
