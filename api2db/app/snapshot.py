"""What `status`, `/api/status` and `/metrics` show: one picture of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from api2db.app.line import FORM
from api2db.files.atomic import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.daemon import Daemon
    from api2db.app.line import Line

#: Raised when a key changes its meaning or goes.
VERSION = 1


def snapshot(daemon: Daemon, *, running: bool, url: str | None = None) -> dict[str, Any]:
    """
    Return the state of every collector and stream; times are epoch seconds, ages seconds.

    ``removed_streams`` of a collector and ``removed_collectors`` are what waits for names that the
    configuration does not have, stream -> batches; it is kept, and is no fault.
    ``healthy`` is whether nothing needs a person: no collector fails, no stream is paused,
    late, spilling or has dead letters, nothing in a spool or shard is damaged, no thread hangs.
    """
    now = daemon.clock.now()
    hung = daemon.hung()
    collectors = {name: _collector(line, daemon, now) for name, line in daemon.lines.items()}
    return {
        "version": VERSION,
        "running": running,
        "url": url,
        "at": now,
        "healthy": not hung and all(found["healthy"] for found in collectors.values()),
        "hung": hung,
        "collectors": collectors,
        "removed_collectors": {
            name: waiting for name, waiting in daemon.leftover.items() if name not in collectors
        },
    }


def _collector(line: Line, daemon: Daemon, now: float) -> dict[str, Any]:
    counts = line.poller.counts
    failing, due = counts.failing_since, counts.next_due
    streams = {name: _stream(line, name, daemon) for name in line.workers}
    damage = [daemon.hide(str(found)) for found in line.spool.damage]
    if line.store is not None and (count := line.store.shards.unreadable):
        damage.append(f"{count} shards in {line.store.shards.path} cannot be read")
    dead = line.dead[FORM] + counts.dead
    return {
        "healthy": not (counts.error or damage or dead)
        and all(stream["healthy"] for stream in streams.values()),
        "state": "failing" if counts.error else "ok",
        "error": daemon.hide(counts.error),
        "failing_for": None if failing is None else daemon.clock.monotonic() - failing,
        "last_poll_at": counts.last_poll_at,
        "last_result": counts.last_result,
        "next_poll_at": None if due is None else now + due - daemon.clock.monotonic(),
        "polls": dict(counts.polls),
        "poll_seconds": counts.seconds,
        "lateness_seconds": counts.lateness,
        "rows_collected": counts.rows,
        "dead_rows": dead,
        "spool_bytes": line.spool.bytes,
        "damage": damage,
        "streams": streams,
        "removed_streams": daemon.leftover.get(line.config.name, {}),
    }


def _stream(line: Line, name: str, daemon: Daemon) -> dict[str, Any]:
    clock, progress = daemon.clock, line.workers[name].progress
    spilled = line.workers[name].backlog.spilled
    depth = line.spool.depth(name)
    since = spilled.oldest_at or depth.oldest_at
    oldest = 0.0 if since is None else max(0.0, clock.now() - since)
    retry = max(0.0, progress.retry_due - clock.monotonic()) if progress.error else None
    error = "; ".join(filter(None, (progress.error, progress.spill_error)))
    dead = line.dead[name] + progress.dead
    late = oldest > line.config.max_age
    return {
        "healthy": not (error or dead or late or spilled.batches or spilled.damaged),
        "late": late,
        "state": progress.state.value,
        "error": daemon.hide(error),
        "attempt": progress.attempt,
        "retry_seconds": retry,
        "queued_batches": depth.batches,
        "queued_rows": depth.rows,
        "queued_bytes": depth.bytes,
        "oldest_unsent_seconds": oldest,
        "spilled_batches": spilled.batches,
        "spilled_bytes": spilled.bytes,
        "damaged_shards": spilled.damaged,
        "dead_rows": dead,
        "rows_landed": progress.rows,
        "duplicate_rows": line.workers[name].backlog.duplicates + _composed(line),
        "writes": progress.writes,
        "write_seconds": progress.seconds,
        "retries": dict(progress.retries or {}),
    }


def _composed(line: Line) -> int:
    """Return how many rows a store has left out of its compositions."""
    return 0 if line.store is None else line.store.duplicates


def save(picture: dict[str, Any], path: Path) -> None:
    """
    Keep *picture* for `status` while no daemon runs; on a full disk, in the old one's blocks.

    Raises:
        OSError: It could not be kept.
    """
    raw = orjson.dumps(picture, option=orjson.OPT_INDENT_2)
    try:
        with atomic_write(path) as file:
            file.write(raw)
    except OSError:
        path.write_bytes(raw)


def load(path: Path) -> dict[str, Any] | None:
    """Return the picture that `save` kept, None if there is none that can be read."""
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return value if isinstance(value, dict) and value.get("version") == VERSION else None
