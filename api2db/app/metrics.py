"""The numbers of `/metrics`, read off the daemon when a scraper asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: The text format of Prometheus.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Kinds of errors; each has its number of retries from the start, so that rates are right.
KINDS = ("transient", "data", "configuration", "unknown")

#: metric -> (help, key in the snapshot) by shape.
_COLLECTOR_COUNTERS = {
    "api2db_rows_collected": ("Rows made durable in the log.", "rows_collected"),
}
_COLLECTOR_GAUGES = {
    "api2db_spool_bytes": ("Bytes of the log on disk.", "spool_bytes"),
}
_STREAM_COUNTERS = {
    "api2db_rows_landed": ("Rows written to the target.", "rows_landed"),
    "api2db_duplicate_rows": ("Rows left out: drop_duplicates.", "duplicate_rows"),
}
_STREAM_GAUGES = {
    "api2db_spool_batches": ("Batches that wait for the target.", "queued_batches"),
    "api2db_oldest_unsent_seconds": ("Age of the oldest batch.", "oldest_unsent_seconds"),
    "api2db_spilled_batches": ("Batches in upload_failed.", "spilled_batches"),
}


class Metrics(Collector):
    """A Prometheus collector over snapshots; it keeps no numbers of its own."""

    def __init__(self, picture: Callable[[], Mapping[str, Any]]) -> None:
        self._picture = picture
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)  # memory, CPU time and open files

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format, version 0.0.4."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Name nothing in advance."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of one snapshot."""
        collectors = self._picture()["collectors"]
        yield from _of_collectors(collectors)
        yield from _of_streams(collectors)


def _of_collectors(collectors: Mapping[str, Any]) -> Iterator[Metric]:
    for kind, table in (
        (CounterMetricFamily, _COLLECTOR_COUNTERS),
        (GaugeMetricFamily, _COLLECTOR_GAUGES),
    ):
        for name, (text, key) in table.items():
            family = kind(name, text, labels=["collector"])
            for collector, state in collectors.items():
                family.add_metric([collector], state[key])
            yield family
    polls = CounterMetricFamily("api2db_polls", "Ended polls.", labels=["collector", "result"])
    took = SummaryMetricFamily("api2db_collect_seconds", "Time per poll.", labels=["collector"])
    late = SummaryMetricFamily(
        "api2db_poll_lateness_seconds", "Start of a poll after it was due.", labels=["collector"]
    )
    for collector, state in collectors.items():
        for result, count in state["polls"].items():
            polls.add_metric([collector, result], count)
        ended = sum(state["polls"].values())
        took.add_metric([collector], ended, state["poll_seconds"])
        late.add_metric([collector], ended, state["lateness_seconds"])
    yield from (polls, took, late)


def _of_streams(collectors: Mapping[str, Any]) -> Iterator[Metric]:
    labels = ["collector", "stream"]
    streams = {
        (collector, stream): picture
        for collector, state in collectors.items()
        for stream, picture in state["streams"].items()
    }
    for kind, table in (
        (CounterMetricFamily, _STREAM_COUNTERS),
        (GaugeMetricFamily, _STREAM_GAUGES),
    ):
        for name, (text, key) in table.items():
            family = kind(name, text, labels=labels)
            for where, picture in streams.items():
                family.add_metric(where, picture[key])
            yield family
    wrote = SummaryMetricFamily("api2db_write_seconds", "Time per transaction.", labels=labels)
    retries = CounterMetricFamily("api2db_retries", "Failed attempts.", labels=[*labels, "kind"])
    dead = CounterMetricFamily("api2db_dead_rows", "Rows in the dead letters.", labels=labels)
    for where, picture in streams.items():
        wrote.add_metric(where, picture["writes"], picture["write_seconds"])
        dead.add_metric(where, picture["dead_rows"])
        for kind, count in {**dict.fromkeys(KINDS, 0), **picture["retries"]}.items():
            retries.add_metric([*where, kind], count)
    for collector, state in collectors.items():
        dead.add_metric([collector, "_rows"], state["dead_rows"])
    yield from (wrote, retries, dead)
