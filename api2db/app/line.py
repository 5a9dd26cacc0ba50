"""One collector, from its API to its targets: the one place that knows every part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from api2db.app.poller import Poller
from api2db.app.retry import half_sent_ns
from api2db.app.schedule import Cron, Interval, Schedule
from api2db.app.source import make_form, make_since, make_source, make_store, poll_class
from api2db.files.dead_letter import DeadBodies, DeadLetters
from api2db.files.layout import Layout
from api2db.ingest.heldkeys import HeldKeys
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.spool.spool import Spool
from api2db.stream.making import make_worker
from api2db.stream.spillfolders import folders

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from api2db.app.settings import CollectorConfig, Config
    from api2db.core.clock import Clock
    from api2db.core.ids import Timestamps
    from api2db.sink.base import Sink
    from api2db.store.composition import Composition
    from api2db.stream.watchdog import Watchdog
    from api2db.stream.worker import Worker

#: Where the dead letters of the form lie, beside those of the streams.
FORM = "_rows"


@dataclass(slots=True)
class Line:
    """
    The running parts of one collector.

    Attributes:
        workers: By stream name.
        dead: Rows in the dead letters when the daemon started, by stream name, and under
            `FORM` those that did not fit the form.
        store: The source, if it is a store's.
    """

    config: CollectorConfig
    spool: Spool
    poller: Poller
    workers: dict[str, Worker]
    dead: dict[str, int]
    store: Composition | None = None


def make_line(
    config: Config,
    collector: CollectorConfig,
    *,
    layout: Layout,
    timestamps: Timestamps,
    clock: Clock,
    stop: threading.Event,
    watchdog: Watchdog,
    hide: Callable[[str], str],
    unsent: Callable[[Path], float],
) -> Line:
    """
    Open a collector's spool and make its poller and workers; nothing is started.

    Args:
        unsent: As `writers.unsent_into`, of a folder; for a store.

    Raises:
        SpoolError: The spool cannot be opened.
        ConfigError: A driver is missing.
    """
    name = collector.name
    workers: dict[str, Worker] = {}
    spool = Spool.open(
        layout.spool(name),
        streams=list(collector.to),
        timestamps=timestamps,
        clock=clock,
        quota=collector.quota,
        beside=lambda: sum(worker.backlog.spilled.bytes for worker in workers.values()),
    )
    places = (FORM, *collector.to)
    letters = {place: DeadLetters(layout.dead_letter(name, place), hide) for place in places}
    dead = {place: each.count() for place, each in letters.items()}
    for stream in collector.to:
        timestamps.seen(half_sent_ns(layout.dead_letter(name, stream)))
    workers |= _workers(
        config,
        collector,
        spool,
        letters,
        layout=layout,
        timestamps=timestamps,
        clock=clock,
        watchdog=watchdog,
    )
    store = _store(collector, spool, workers, layout, clock=clock, stop=stop, unsent=unsent)
    source = store or make_source(collector, layout, clock=clock, stop=stop)
    replaced = [to.replace for to in collector.to.values()]
    poller = Poller(
        name,
        source=source,
        form=lambda checkpoint: make_form(collector, checkpoint, source),
        since=make_since(collector),
        max_pages=collector.max_pages,
        spool=spool,
        held_keys=HeldKeys(layout.spool(name) / "held.keys"),
        dead_rows=letters[FORM],
        dead_bodies=DeadBodies(layout.responses(name), hide),
        schedule=make_schedule(collector, clock),
        clock=clock,
        stop=stop,
        ends=any(replaced),
        # A store without new shards has nothing to say: its target stays as it is.
        empty_ends=collector.shards is None,
        make_poll=partial(poll_class(collector), anew=all(replaced) and collector.shards is None),
    )
    return Line(collector, spool, poller, workers, dead, store)


def _workers(
    config: Config,
    collector: CollectorConfig,
    spool: Spool,
    letters: Mapping[str, DeadLetters],
    *,
    layout: Layout,
    timestamps: Timestamps,
    clock: Clock,
    watchdog: Watchdog,
) -> dict[str, Worker]:
    """Return the worker of each stream."""
    sinks = {stream: make_target(config, collector, stream, spool.id) for stream in collector.to}
    types = {stream: collector.to[stream].type or sink.name for stream, sink in sinks.items()}
    shards = folders(layout.spilled(collector.name), types)
    return {
        stream: make_worker(
            collector.name,
            stream,
            spool=spool,
            shards=shards[stream],
            sink=sinks[stream],
            dead_letters=letters[stream],
            watchdog=watchdog,
            timestamps=timestamps,
            clock=clock,
            replace=to.replace,
            distinct=to.distinct,
            attempts=to.attempts,
            timeout=to.timeout,
        )
        for stream, to in collector.to.items()
    }


def _store(
    collector: CollectorConfig,
    spool: Spool,
    workers: Mapping[str, Worker],
    layout: Layout,
    *,
    clock: Clock,
    stop: threading.Event,
    unsent: Callable[[Path], float],
) -> Composition | None:
    """Return the source of a store, None for a collector."""
    if collector.shards is None:
        return None

    def landed() -> bool:  # pages of a poll that has not ended count, too
        return not any(
            spool.depth(stream).batches or worker.backlog.spilled.batches
            for stream, worker in workers.items()
        )

    return make_store(
        collector,
        collector.shards,
        layout.intents(collector.name),
        spool=spool,
        landed=landed,
        unsent=partial(unsent, collector.shards.path),
        clock=clock,
        stop=stop,
    )


def make_target(config: Config, collector: CollectorConfig, stream: str, spool: str) -> Sink:
    """Return the sink of one stream of a collector, not connected."""
    to = collector.to[stream]
    delivery = Delivery(
        spool,
        collector.name,
        stream,
        to.table,
        to.upsert,
        to.replace,
        collector.schema,
        Layout(config.store).ours(collector.name, stream) if to.must_be_new else None,
        to.distinct,
        to.chunk,
    )
    return make_sink(config.streams[to.stream], delivery, base=config.folder)


def make_schedule(collector: CollectorConfig, clock: Clock) -> Schedule:
    """Return when a collector is due."""
    if collector.cron is not None:
        return Cron(collector.cron, clock, jitter=collector.jitter)
    assert collector.every is not None
    return Interval(collector.every, clock, jitter=collector.jitter)
