"""That a load happens once whatever becomes of its answers; against a stand-in for the REST API."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pyarrow as pa
import pytest
from google.cloud.bigquery import Table

from api2db.core.batch import Batch
from api2db.core.errors import SinkMisconfigured, SinkUnavailable, SinkUnknown
from api2db.sink.base import Delivery
from api2db.sink.bigquery import BigquerySink
from api2db.sink.bigqueryjobs import Jobs
from api2db.sink.target import Bigquery
from tests.fixtures.bigquery_standin import StandIn

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = ("a" * 32, "b" * 32, "c" * 32)
MARKERS = [f"{id_}/s" for id_ in IDS]


@pytest.fixture
def service() -> Iterator[StandIn]:
    """A project with a table and the markers' table."""
    with StandIn() as service:
        for name, fields in {"t": ["id"], "_api2db_batches": ["batch_id", "job"]}.items():
            service.tables[name] = {
                "type": "TABLE",
                "tableReference": {"projectId": "p", "datasetId": "d", "tableId": name},
                "schema": {"fields": [{"name": field, "type": "INTEGER"} for field in fields]},
            }
        yield service


def sink(service: StandIn, key: tuple[str, ...] = ()) -> BigquerySink:
    """Return an open sink, as a new life of the program has it; with a key it needs stages."""
    delivery = Delivery("0" * 32, "c", "s", "t", key)
    made = BigquerySink(Bigquery("p", "d", endpoint=service.url), delivery)
    made.open()
    return made


def staged(service: StandIn) -> BigquerySink:
    """Return an open sink that needs a stage for each load."""
    return sink(service, ("id",))


def batches(*ids: str) -> list[Batch]:
    """Return batches of one row each."""
    rows = pa.record_batch({"id": pa.array([1], pa.int64())})
    return [Batch(id_, i, i, rows) for i, id_ in enumerate(ids)]


@pytest.mark.parametrize("part", ["^api2db_load", "_load_0$", "_script_0$"])
@pytest.mark.parametrize("fault", ["accept", "drop", "refuse", "slow", "fail"])
def test_an_answer_that_is_lost(service: StandIn, part: str, fault: str) -> None:
    """The next attempt finds the job, or begins it: the rows take effect once."""
    service.faults = [(part, fault)]
    made = sink(service) if part[0] == "^" else staged(service)
    for _ in range(3):
        try:
            made.write(batches(*IDS[:2]))
            break
        except (SinkUnavailable, SinkUnknown):
            made.close()
            made.open()
    assert service.effects == MARKERS[:2]
    assert not service.faults
    assert service.tables.keys() == {"t", "_api2db_batches"}  # no stage is left


def outlived(service: StandIn, fault: str) -> None:
    """Let a life of the program begin a load of the first batch, and end before it knows more."""
    service.faults = [("^api2db_load", fault)]
    first = sink(service)
    if fault == "slow":
        first._db._cut.set()  # what `interrupt` does while the job runs
    with pytest.raises((SinkUnavailable, SinkUnknown)):
        first.write(batches(IDS[0]))
    assert list(service.ledger) == MARKERS[:1]


@pytest.mark.parametrize("fault", ["slow", "accept", "drop"])
def test_a_load_that_outlives_its_client(service: StandIn, fault: str) -> None:
    """The next life waits for it, and leaves its batch out of another group."""
    outlived(service, fault)
    landed = sink(service).write(batches(*IDS))
    assert landed.repeated == {IDS[0]}
    assert service.effects == MARKERS
    assert service.ledger[MARKERS[0]] is None  # nobody will ask for that job again


def test_a_load_that_arrives_late(service: StandIn) -> None:
    """If the next life has begun, its id is taken: BigQuery refuses it."""
    outlived(service, "refuse")
    second = sink(service)
    assert second.landed() == frozenset()
    with pytest.raises(HTTPError, match="409"):
        service.arrive_late()
    second.write(batches(*IDS[:2]))
    assert service.effects == MARKERS[:2]


def test_a_load_that_nobody_knows_yet(service: StandIn) -> None:
    """Neither there nor to be taken: it has just begun, and the stream asks again later."""
    outlived(service, "lost")
    second = sink(service)
    with pytest.raises(SinkUnavailable, match="has just begun"):
        second.landed()
    assert second.landed() == {IDS[0]}
    assert service.effects == MARKERS[:1]


def test_an_intent_that_arrives_late(service: StandIn) -> None:
    """A marker that appears behind our back names a load that never was; it is taken back."""
    made = sink(service)
    made.landed()
    service.ledger[MARKERS[0]] = "api2db_load_late"
    made.write(batches(*IDS[:2]))
    assert service.effects == MARKERS[:2]


def test_a_load_that_is_refused(service: StandIn) -> None:
    """Its rows are staged, where it shows what is wrong with them; here nothing is."""
    service.error = {"reason": "invalid", "message": "no"}
    service.faults = [("^api2db_load", "fail")]
    sink(service).write(batches(IDS[0]))
    assert service.effects == MARKERS[:1]
    assert any("_script_" in id_ for id_ in service.inserted)


def test_markers_go_with_the_next_load(service: StandIn) -> None:
    """Those that are forgotten are removed; of the others it is noted that they landed."""
    made = sink(service)
    made.write(batches(*IDS[:2]))
    assert None not in service.ledger.values()
    made.write(batches(IDS[2]), forget=[IDS[0]])
    assert list(service.ledger) == MARKERS[1:]
    assert service.ledger[MARKERS[1]] is None
    assert made.landed() == set(IDS[1:])


def test_the_number_of_an_id_is_raised_only_after_an_error(service: StandIn) -> None:
    """409 says that a job is there: if it ended well it is the one, else the next one begins."""
    made = staged(service)
    service.faults = [("_script_0$", "fail"), ("_script_1$", "accept")]
    for _ in range(2):
        with pytest.raises((SinkUnavailable, SinkUnknown)):
            made.write(batches(IDS[0]))
    made.write(batches(IDS[0]))
    asked = [id_[-9:] for id_ in service.inserted if "_script_" in id_]
    assert asked == ["_script_0", "_script_0", "_script_1"]
    assert service.effects == MARKERS[:1]


def test_a_lost_answer_and_another_group_after_a_crash(service: StandIn) -> None:
    """A script of an earlier life is waited for; its batches are known by their markers."""
    service.faults = [("_script_0$", "slow")]
    first = staged(service)
    first._db._cut.set()  # what `interrupt` does while the script runs
    with pytest.raises((SinkUnavailable, SinkUnknown)):
        first.write(batches(IDS[0]))
    assert service.effects == []
    landed = staged(service).write(batches(*IDS))
    assert landed.repeated == {IDS[0]}
    assert service.effects == MARKERS


def test_a_script_that_arrives_late(service: StandIn) -> None:
    """If the rows were staged by a life that is over, it finds nothing, and does nothing."""
    service.faults = [("_script_0$", "refuse")]
    with pytest.raises((SinkUnavailable, SinkUnknown)):
        staged(service).write(batches(IDS[0]))
    second = staged(service)
    assert "Not found" in service.arrive_late()["status"]["errorResult"]["message"]
    assert service.effects == []
    second.write(batches(*IDS[:2]))
    assert service.effects == MARKERS[:2]


def test_a_job_that_nobody_knows_yet(service: StandIn) -> None:
    """409, and yet no such job: the stream tries again later, under the same id."""
    service.faults = [("_load_0$", "lost")]
    made = staged(service)
    with pytest.raises(SinkUnavailable):
        made.write(batches(IDS[0]))
    made._stages.clear()  # as after a crash: the stage stays, and is found again
    with pytest.raises(SinkMisconfigured, match="Not found: Job"):
        made.write(batches(IDS[0]))
    made.write(batches(IDS[0]))
    assert service.effects == MARKERS[:1]


@pytest.mark.parametrize("key", [(), ("id",)])
def test_very_many_markers_go(service: StandIn, key: tuple[str, ...]) -> None:
    """As after a damaged shard that lay there for long: more than one statement may name."""
    old = [f"{i:032x}" for i in range(60_000)]
    service.ledger = dict.fromkeys(f"{id_}/s" for id_ in old)
    made = sink(service, key)
    made.write(batches(IDS[0]), forget=old[:30_000])
    assert len(service.ledger) == 30_001
    made.forget(old[30_000:])
    assert list(service.ledger) == MARKERS[:1]
    assert made.landed() == {IDS[0]}
    assert service.effects == MARKERS[:1]


def test_a_missing_right(service: StandIn) -> None:
    """Whatever the account may not do, the error names the roles that it needs."""
    service.forbidden = "POST jobs"
    with pytest.raises(SinkMisconfigured, match="BigQuery Job User"):
        sink(service).landed()
    service.forbidden = "GET datasets/d"
    with pytest.raises(SinkMisconfigured, match="BigQuery Data Editor"):
        sink(service)


def test_a_hung_call_is_cut_off(service: StandIn) -> None:
    """`interrupt`, from another thread, makes a call fail that waits for an answer."""
    made = sink(service)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            made.landed()
        except SinkUnavailable as exc:
            failed.append(exc)

    with service._lock:  # nobody answers
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.2)
        made.interrupt()
        asking.join(10)
    assert not asking.is_alive()
    assert failed


def test_a_job_that_ended_well_is_the_one(service: StandIn) -> None:
    """Asked for again under its id it is found, unless what it did is gone."""
    jobs = Jobs(Bigquery("p", "d", endpoint=service.url))
    for _ in range(2):
        jobs.execute("select 1", "q")
    assert service.inserted == ["q_0", "q_0"]
    service.inserted.clear()
    table = Table("p.d.t")
    for anew in (True, False, True):
        jobs.load(b"", table, "l", anew=anew)
    assert service.inserted == ["l_0", "l_0", "l_0", "l_1"]
    jobs.close()
