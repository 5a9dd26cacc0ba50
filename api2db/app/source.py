"""What a collector asks, and how it reads the answers: its source, form and `since`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.form import Column, Form
from api2db.ingest.form_path import Path as JmesPath
from api2db.ingest.poll import Poll
from api2db.ingest.watermark import Since

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from api2db.app.settings import CollectorConfig, DatabaseConfig, FolderConfig
    from api2db.core.clock import Clock
    from api2db.files.layout import Layout
    from api2db.ingest.source import Source
    from api2db.spool.spool import Spool
    from api2db.store.composition import Composition


def make_source(
    collector: CollectorConfig, layout: Layout, *, clock: Clock, stop: threading.Event
) -> Source:
    """
    Return the source of a collector; nothing is asked yet, no user code runs.

    Each kind of source is imported where it is needed: all of them take time to load.

    Args:
        layout: Of the STORE, in which credentials that change are kept.
    """
    if collector.python is not None:
        from api2db.ingest.function import FunctionSource

        function = collector.python
        return FunctionSource(function.folder, function.target, clock=clock, call=function.call)
    if collector.sql is not None:
        return _database(collector, collector.sql, clock=clock, stop=stop)
    assert collector.get is not None
    from api2db.ingest.http import HttpSource

    return HttpSource(
        collector.get,
        auth=collector.auth,
        pages=collector.pages,
        since_param=collector.since.param if collector.since else None,
        since_format=collector.since.format if collector.since else "{}",
        params=collector.params,
        headers=collector.headers,
        timeout=collector.timeout,
        max_bytes=collector.max_bytes,
        retries=collector.retries,
        tokens=layout.tokens,
        clock=clock,
        stop=stop,
    )


def make_store(
    collector: CollectorConfig,
    shards: FolderConfig,
    intents: Path,
    *,
    spool: Spool,
    landed: Callable[[], bool],
    unsent: Callable[[], float],
    clock: Clock,
    stop: threading.Event,
) -> Composition:
    """Return the source of a store; its folder is not looked at yet."""
    from api2db.store.composition import Composition
    from api2db.store.folder import Folder
    from api2db.store.intents import Intents

    return Composition(
        collector.name,
        Folder(shards.path, shards.fmt, clock, unsent),
        Intents(intents),
        drop_duplicates=shards.drop_duplicates,
        ignored=shards.ignored,
        keep_shards=shards.keep_shards,
        keep_composed=shards.keep_composed,
        recorded=lambda: Checkpoint.from_bytes(spool.state).mark,
        landed=landed,
        clock=clock,
        stop=stop,
    )


def poll_class(collector: CollectorConfig) -> type[Poll]:
    """Return what runs a poll of a collector."""
    if collector.python is None and collector.shards is None:
        return Poll
    from api2db.ingest.function_poll import FunctionPoll

    return FunctionPoll


def _database(
    collector: CollectorConfig, database: DatabaseConfig, *, clock: Clock, stop: threading.Event
) -> Source:
    from api2db.ingest.sql import SqlSource

    cursor = None
    if collector.since is not None:
        steps = JmesPath(collector.since.field).steps
        if steps is None or len(steps) != 1 or not isinstance(steps[0], str):
            hint = "name a column, in double quotes if it is no plain word"
            raise ConfigError(f"{collector.name}: since.field is no column", hint=hint)
        cursor = steps[0]
    return SqlSource(
        database.url,
        folder=database.folder,
        table=database.table,
        query=database.query,
        key=database.key,
        cursor=cursor,
        page_size=database.page_size,
        timeout=collector.timeout,
        retries=collector.retries,
        clock=clock,
        stop=stop,
    )


def make_form(
    collector: CollectorConfig, checkpoint: Checkpoint, source: Source | None = None
) -> Form:
    """
    Return the form of a collector, with the types that *checkpoint* remembers.

    At first these are the types that *source* declares.
    """
    columns, memory = collector.columns, checkpoint.form
    if source is not None and not memory and columns is None:
        memory = {"columns": source.types()}
    return Form(
        rows=collector.rows,
        columns=None
        if columns is None
        else [Column(c.name, c.type, c.path, c.default, c.required) for c in columns],
        next=collector.pages.path if collector.pages else None,
        since=collector.since.field if collector.since else None,
        schema=collector.schema,
        memory=memory,
    )


def make_since(collector: CollectorConfig) -> Since | None:
    """Return how a collector asks for what is new, None if it always asks for all."""
    since = collector.since
    return None if since is None else Since(since.initial, since.lag or 0.0)
