"""A log that is full: what is kept for the open poll alone goes, for the rest it waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.app.room import PATIENCE, Room
from api2db.core.errors import SpoolFull
from api2db.core.ids import Timestamps
from api2db.core.pulse import Pulse
from api2db.ingest.heldkeys import HeldKeys
from api2db.spool.spool import Record, Spool
from tests.fixtures.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUOTA = 40_000


class Collector:
    """A spool with little room for one stream, and a poll of pages that are large for it."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.stop = threading.Event()
        self.spool = Spool.open(
            folder,
            streams=("a",),
            timestamps=Timestamps(self.clock),
            clock=self.clock,
            quota=QUOTA,
        )
        self.keys = HeldKeys(folder / "held.keys")
        pulse = Pulse("poller", self.clock)
        self.room = Room("c", self.spool, self.keys, clock=self.clock, stop=self.stop, pulse=pulse)

    def put(self, number: int, **more: Any) -> None:
        """Put one page of the poll, one row of 3 kB."""
        rows = pa.record_batch({"n": [number], "text": ["x" * 3000]})
        self.room.put(Record(rows, b"%d" % number, poll="p", **more))

    def fill(self) -> int:
        """Put until there is no room; return how many pages fitted."""
        for number in range(100):
            try:
                self.put(number, hold=1)
            except SpoolFull:
                return number
        raise AssertionError("the quota does not bound the log")

    def deliver(self) -> list[int]:
        """Acknowledge all that waits."""
        found = []
        while batches := self.spool.read("a"):
            found += [batch.rows["n"][0].as_py() for batch in batches]
            self.spool.ack("a", batches[-1].seq)
        return found

    def held(self) -> int:
        """Return how many rows are known of the open poll."""
        return sum(
            len(h) if not isinstance(h, pa.RecordBatch) else h.num_rows
            for h in self.room.held("p", 1)
        )


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """Open a spool on a clock that only a wait moves."""
    collector = Collector(tmp_path / "c")
    yield collector
    collector.spool.close()


def test_pages_that_all_have_make_room_for_the_next(collector: Collector) -> None:
    """Nothing waits, but the open poll keeps it: only the keys of its rows stay."""
    for number in range(100):
        collector.put(number, hold=1)
        assert collector.deliver() == [number]
        assert collector.spool.bytes <= QUOTA
    assert collector.held() == 100
    collector.put(100, last=True)
    assert not collector.keys.of("p", 0)


def test_a_restart_keeps_what_the_keys_stand_for(collector: Collector, tmp_path: Path) -> None:
    """A process that knows nothing of what was let go finds it in the file."""
    for number in range(30):
        collector.put(number, hold=1)
        collector.deliver()
    collector.spool.close()
    again = Collector(tmp_path / "c")
    assert again.held() == 30
    for number in range(30, 60):
        again.put(number, hold=1)
        again.deliver()
    assert again.held() == 60
    again.spool.close()


def test_a_stream_that_takes_nothing_ends_the_wait(collector: Collector) -> None:
    """The page is refused after a while; nothing of what waits is touched."""
    pages = collector.fill()
    began = collector.clock.monotonic()
    with pytest.raises(SpoolFull, match="quota"):
        collector.put(pages, hold=1)
    assert PATIENCE <= collector.clock.monotonic() - began < PATIENCE + 1
    assert collector.spool.depth("a").batches == pages
    assert collector.deliver() == list(range(pages))
    collector.put(pages, hold=1)
    assert collector.deliver() == [pages]


def test_a_stop_ends_the_wait(collector: Collector) -> None:
    """SIGTERM is not held up by a target that is down."""
    pages = collector.fill()
    collector.stop.set()
    began = collector.clock.monotonic()
    with pytest.raises(SpoolFull):
        collector.put(pages, hold=1)
    assert collector.clock.monotonic() == began


def test_it_waits_as_long_as_a_stream_delivers(collector: Collector) -> None:
    """However slow it is, if only something lands before the patience ends."""
    pages = collector.fill()
    looks = []

    def wait(event: threading.Event, timeout: float) -> bool:
        collector.clock.advance(timeout)
        looks.append(timeout)
        if len(looks) % 400 == 0:  # 20 seconds
            batch, *_ = collector.spool.read("a")
            collector.spool.ack("a", batch.seq)
        return event.is_set()

    collector.clock.wait = wait  # type: ignore[method-assign]
    collector.put(pages, hold=1)
    assert sum(looks) > PATIENCE
    assert collector.held() == pages + 1
