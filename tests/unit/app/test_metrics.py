"""The metrics, read as Prometheus reads them."""

from __future__ import annotations

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from api2db.app.metrics import Metrics
from tests.fixtures.picture import picture, troubled

#: name in the contract -> type, and labels.
CONTRACT = {
    "api2db_rows_collected_total": ("counter", {"collector"}),
    "api2db_rows_landed_total": ("counter", {"collector", "stream"}),
    "api2db_duplicate_rows_total": ("counter", {"collector", "stream"}),
    "api2db_spool_batches": ("gauge", {"collector", "stream"}),
    "api2db_spool_bytes": ("gauge", {"collector"}),
    "api2db_oldest_unsent_seconds": ("gauge", {"collector", "stream"}),
    "api2db_collect_seconds": ("summary", {"collector"}),
    "api2db_write_seconds": ("summary", {"collector", "stream"}),
    "api2db_retries_total": ("counter", {"collector", "stream", "kind"}),
    "api2db_spilled_batches": ("gauge", {"collector", "stream"}),
    "api2db_dead_rows_total": ("counter", {"collector", "stream"}),
    "api2db_polls_total": ("counter", {"collector", "result"}),
    "api2db_poll_lateness_seconds": ("summary", {"collector"}),
}
ORDERS_PG = {"collector": "orders", "stream": "pg"}


def scrape(seen: dict[str, object]) -> dict[str, Metric]:
    """Return what a scrape of the snapshot *seen* gives, by the name in the contract."""
    text = Metrics(lambda: seen).text().decode()
    for line in text.splitlines():  # each family has both lines, once, before its samples
        assert line.startswith(("# HELP ", "# TYPE ")) or line.rsplit(" ", 1)[1]
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    helped = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP ")]
    assert names == helped
    assert len(set(names)) == len(names)
    families = text_string_to_metric_families(text)
    return {
        family.name + ("_total" if family.type == "counter" else ""): family for family in families
    }


def value(found: dict[str, Metric], name: str, labels: dict[str, str], suffix: str = "") -> float:
    """Return the one sample of *name* with *labels*."""
    samples = found[name].samples
    (sample,) = (s for s in samples if s.labels == labels and s.name == name + suffix)
    return sample.value


def test_every_metric_of_the_contract() -> None:
    """Each has its type, its help and exactly its labels."""
    found = scrape(troubled())
    for name, (kind, labels) in CONTRACT.items():
        assert found[name].type == kind, name
        assert found[name].documentation, name
        assert found[name].samples, name
        assert all(set(sample.labels) == labels for sample in found[name].samples), name
    ours = {name for name in found if name.startswith("api2db_")}
    assert ours == set(CONTRACT)


def test_values() -> None:
    """The numbers are those of the snapshot; kinds of error and results begin at zero."""
    found = scrape(troubled())
    assert value(found, "api2db_spool_batches", ORDERS_PG) == 1_200
    assert value(found, "api2db_oldest_unsent_seconds", ORDERS_PG) == 5_025
    assert value(found, "api2db_spilled_batches", ORDERS_PG) == 310
    assert value(found, "api2db_dead_rows_total", ORDERS_PG) == 2
    form = {"collector": "orders", "stream": "_rows"}
    assert value(found, "api2db_dead_rows_total", form) == 17
    assert value(found, "api2db_retries_total", {**ORDERS_PG, "kind": "transient"}) == 7
    assert value(found, "api2db_retries_total", {**ORDERS_PG, "kind": "unknown"}) == 0
    orders = {"collector": "orders"}
    assert value(found, "api2db_polls_total", {**orders, "result": "failed"}) == 31
    assert value(found, "api2db_collect_seconds", orders, "_count") == 2_913
    assert value(found, "api2db_collect_seconds", orders, "_sum") == 3.5


def test_hostile_names() -> None:
    """A label holds any text; the lines stay lines."""
    name = 'a"b\\c\nd{e="f"}'
    orders = troubled()["collectors"]["orders"]
    found = scrape(picture({name: orders}))
    assert value(found, "api2db_spool_bytes", {"collector": name}) == 81_920


def test_the_process() -> None:
    """Memory and open files of the process are told, too."""
    found = scrape(picture({}))
    assert value(found, "process_resident_memory_bytes", {}) > 1e6
    assert value(found, "process_open_fds", {}) > 2
