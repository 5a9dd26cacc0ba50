"""What waits in the STORE for collectors and streams that the configuration names no more."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from api2db.core.errors import SpoolFailed
from api2db.files.layout import NAME
from api2db.spool.cursor import SUFFIX, stream_of
from api2db.spool.inspection import inspect
from api2db.stream.spillfolders import owned

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from api2db.app.settings import Config
    from api2db.files.layout import Layout

logger = logging.getLogger(__name__)


def leftover(config: Config, layout: Layout) -> dict[str, dict[str, int]]:
    """
    Return how many batches wait for nobody: collector -> stream -> batches in log and shards.

    Changes nothing and needs no lock. Of a collector that is configured, only the streams that
    are not are looked for; a queue that cannot be read is logged, and left out.
    """
    found = {}
    for name in sorted(_names(layout)):
        line = config.lines.get(name)
        if line is None and any((layout.store / "spool").glob(f"{name}.*")):
            continue  # a stream that a program runs alone has its shards there
        streams = frozenset(line.to if line else ())
        waiting = Counter(_queued(layout.spool(name), streams))
        for stream, shards in owned(layout.spilled(name)).items():
            if stream not in streams:
                waiting[stream] += shards
        if waiting:
            found[name] = dict(waiting)
    return found


def noted(picture: Mapping[str, Any]) -> Iterator[str]:
    """Yield `notes` of what `snapshot.snapshot` returned, perhaps in an earlier version."""
    collectors = picture["collectors"]
    removed = {name: found.get("removed_streams", {}) for name, found in collectors.items()}
    return notes({**removed, **picture.get("removed_collectors", {})}, collectors)


def notes(removed: Mapping[str, Mapping[str, int]], configured: Collection[str]) -> Iterator[str]:
    """Yield what a person is told about `leftover`."""
    for name, waiting in removed.items():
        for stream, batches in waiting.items():
            if name in configured:
                yield (
                    f"{name}: {batches} batches wait for the stream {stream!r},"
                    " which is configured no more; name it in 'to' to deliver them"
                )
            else:
                yield (
                    f"{batches} batches of the collector {name!r}, which is configured no more,"
                    f" wait for {stream!r}; put it back to deliver them"
                )


def _names(layout: Layout) -> set[str]:
    names: set[str] = set()
    for folder in (layout.store / "spool", layout.store / "upload_failed"):
        with suppress(FileNotFoundError, NotADirectoryError):
            names |= {path.name for path in folder.iterdir() if NAME.fullmatch(path.name)}
    return names


def _queued(folder: Path, streams: frozenset[str]) -> dict[str, int]:
    """Return the batches in the queue *folder* that wait for others than *streams*."""
    others = {stream_of(path.name) for path in folder.glob(f"cur/*{SUFFIX}")} - streams
    if not others:  # the log need not be read
        return {}
    try:
        picture = inspect(folder)
    except SpoolFailed as exc:
        logger.warning("queue_unreadable", extra={"folder": str(folder), "error": str(exc)})
        return {}
    waiting = {stream: picture["streams"].get(stream, {}).get("batches", 0) for stream in others}
    return {stream: batches for stream, batches in sorted(waiting.items()) if batches}
