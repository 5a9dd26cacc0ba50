"""
The state machine: what a spool may do, whatever the disk does.

Run it by hand with ``python -m tests.model.machine EXAMPLES``.
"""

from __future__ import annotations

import logging
import random
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RULE_MARKER,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from api2db.core.batch import Limit
from api2db.core.clock import SystemClock
from api2db.core.errors import SpoolError
from api2db.core.ids import Timestamps
from api2db.spool import record as fmt
from api2db.spool import segment as seg
from api2db.spool import spool as queue
from api2db.spool.spool import Record, Spool
from tests.model.crash_fs import Crash, CrashFs, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAMS = ("a", "b", "c")
COMPRESS_ABOVE = fmt.COMPRESS_ABOVE
PLAIN_BELOW = queue.PLAIN_BELOW
FOLDER = Path("/spool/orders")
ALL = Limit(10**6, 10**9, 10**9)


@dataclass(frozen=True)
class Item:
    """A record that was put, or that somebody tried to put."""

    number: int
    is_data: bool
    size: int
    hold: int
    seq: int = 0

    @property
    def state(self) -> bytes:
        """The state that it carries; no two items have the same."""
        return b"state-%d" % self.number

    def rows(self) -> pa.RecordBatch | None:
        """The rows that it carries; no two items have the same."""
        if not self.is_data:
            return None
        text = random.Random(self.number).randbytes(self.size).hex()
        n = self.number % 3 + 1
        return pa.record_batch({"v": [self.number] * n, "t": [text] * n})

    def record(self) -> Record:
        """What is put."""
        return Record(self.rows(), self.state, poll="p", hold=self.hold or None)


@dataclass(frozen=True)
class Found:
    """A record as a scan finds it."""

    path: Path
    offset: int
    end: int
    seq: int
    is_data: bool
    state: bytes
    hold: int


class SpoolMachine(RuleBasedStateMachine):
    """
    Puts, reads, acknowledges, breaks and restarts a spool, and knows what must be in it.

    Attributes:
        items: Accepted records, oldest first, that a stream or a hold may still need.
        limbo: Records whose put failed or was cut off since the last that succeeded: they
            may turn up after a crash, in this order.
        acked: What each stream has acknowledged.
        maybe: Acknowledgements that failed: durable or not.
        lost: Seqs of records that were damaged.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fs = CrashFs()
        self.items: list[Item] = []
        self.limbo: list[Item] = []
        self.acked = dict.fromkeys(STREAMS, 0)
        self.maybe: dict[str, set[int]] = {stream: set() for stream in STREAMS}
        self.lost: set[int] = set()
        self.number = 0
        self.state: bytes | None = b""
        self.hold = 0
        self.greatest_timestamp = 0
        self.flipped = False

    @initialize(
        seed=st.integers(0, 2**32),
        segment_bytes=st.sampled_from([400, 2000, 10**6]),
        compress_above=st.sampled_from([400, 10**6]),
    )
    def start(self, seed: int, segment_bytes: int, compress_above: int) -> None:
        self.fs = CrashFs(seed)
        self.segment_bytes = segment_bytes
        fmt.COMPRESS_ABOVE = compress_above
        queue.PLAIN_BELOW = 0 if compress_above < COMPRESS_ABOVE else PLAIN_BELOW
        self._open()

    def teardown(self) -> None:
        fmt.COMPRESS_ABOVE = COMPRESS_ABOVE
        queue.PLAIN_BELOW = PLAIN_BELOW

    def _open(self) -> None:
        self.timestamps = Timestamps(SystemClock())
        self.spool = Spool.open(
            FOLDER,
            streams=STREAMS,
            timestamps=self.timestamps,
            clock=SystemClock(),
            fs=self.fs,
            quota=10**8,
            segment_bytes=self.segment_bytes,
        )

    # -- puts ----------------------------------------------------------------------

    def _items(self, sizes: list[int | None], holding: str) -> list[Item]:
        found = []
        for size in sizes:
            self.number += 1
            hold = {"none": 0, "same": self.hold, "new": self.spool.next_seq}[holding]
            found.append(Item(self.number, size is not None, size or 0, hold))
        return found

    def _put(self, items: list[Item]) -> None:
        """Put items as one group, as a leader does for threads that wait."""
        bodies = [fmt.encode(item.record()) for item in items]
        results = self.spool._writer.write(bodies)
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Exception):
                assert isinstance(result, SpoolError), result
                self.limbo.append(item)
                continue
            assert result.timestamp_ns > self.greatest_timestamp
            self.greatest_timestamp = result.timestamp_ns
            assert not self.items or result.seq > self.items[-1].seq
            self._accept(item, result.seq)
            self.limbo.clear()

    def _accept(self, item: Item, seq: int) -> None:
        known = Item(item.number, item.is_data, item.size, item.hold, seq)
        self.items.append(known)
        self.state, self.hold = known.state, known.hold

    # Equal sizes often, so that a new record can end where an old one did.
    sizes = st.lists(
        st.one_of(st.none(), st.sampled_from([0, 60]), st.integers(0, 400)), min_size=1, max_size=4
    )
    # Three in a row have three lengths, and the fourth that of the first.
    same_size = st.sampled_from([None, 0, 60])
    holding = st.sampled_from(["none", "none", "same", "new"])

    @rule(sizes=sizes, holding=holding)
    def put(self, sizes: list[int | None], holding: str) -> None:
        before = len(self.limbo)
        self._put(self._items(sizes, holding))
        assert len(self.limbo) in (0, before), "a put failed on a good disk"

    @rule(sizes=sizes, holding=holding, room=st.integers(0, 2500))
    def put_on_full_disk(self, sizes: list[int | None], holding: str, room: int) -> None:
        before = list(self.limbo)
        self.fs.capacity = self.fs.used() + room
        self._put(self._items(sizes, holding))
        # What is refused for want of room is gone for good; it never turns up.
        self.limbo = [item for item in self.limbo if item in before]
        self._nothing_failed_but_puts()
        self.fs.capacity = None

    @rule(sizes=sizes, holding=holding, after=st.integers(0, 8))
    def put_on_broken_disk(self, sizes: list[int | None], holding: str, after: int) -> None:
        self.fs.fault = Fault(after, "eio")
        self._put(self._items(sizes, holding))
        self.fs.fault = None

    @rule(sizes=sizes, holding=holding)
    def put_with_a_failed_sync(self, sizes: list[int | None], holding: str) -> None:
        self.fs.fault = Fault(0, "sync")
        self._put(self._items(sizes, holding))
        self.fs.fault = None

    @rule(sizes=sizes, holding=holding, after=st.integers(0, 8))
    def crash_in_put(self, sizes: list[int | None], holding: str, after: int) -> None:
        items = self._items(sizes, holding)
        self.fs.fault = Fault(after, "crash")
        try:
            self._put(items)
        except Crash:
            self.limbo += items
        self._crash()

    @rule(size=same_size, holding=holding, times=st.integers(1, 4))
    def write_over_a_torn_group(self, size: int | None, holding: str, times: int) -> None:
        """A record of the same size ends where the torn one did; what lay behind it is gone."""
        for _ in range(times):
            self.put([size], "none")
            self.crash_in_put([size] * 3, holding, after=1)
        self.put([size], "none")
        self._crash()

    @rule(size=same_size, holding=holding, restarts=st.lists(st.booleans(), max_size=4))
    def go_on_after_a_failed_sync(
        self, size: int | None, holding: str, restarts: list[bool]
    ) -> None:
        """What the failed sync left of a group is not in the log, whatever comes after it."""
        for restart in restarts:
            self.put([size], "none")
            self.put_with_a_failed_sync([size] * 3, holding)
            if restart:  # it can still be read, and is not on the disk
                self.close_and_open()
            self.put([size], "none")
            self._crash()

    @rule(size=same_size, rooms=st.lists(st.integers(100, 1500), min_size=1, max_size=4))
    def crash_after_a_short_write(self, size: int | None, rooms: list[int]) -> None:
        """What fitted on the disk of a group is not in the log."""
        for room in rooms:
            self.put([size], "none")
            self.put_on_full_disk([size] * 3, "none", room)
            self._crash()

    def _nothing_failed_but_puts(self) -> None:
        """Acknowledging works on a full disk."""
        for stream in STREAMS:
            pending = self._pending(stream)
            if pending and not self.lost:
                self.spool.ack(stream, pending[0].seq)
                self._has_acked(stream, pending[0].seq)
                return

    # -- reading and acknowledging ---------------------------------------------------

    def _pending(self, stream: str) -> list[Item]:
        acked = self.acked[stream]
        return [i for i in self.items if i.is_data and i.seq > acked and i.seq not in self.lost]

    def _check(self, batches: list[Any], expected: list[Item]) -> None:
        assert [b.seq for b in batches] == [i.seq for i in expected]
        for batch, item in zip(batches, expected, strict=True):
            assert batch.rows.equals(item.rows())
            assert batch.poll == "p"

    @rule(stream=st.sampled_from(STREAMS), n=st.integers(1, 5), twice=st.booleans())
    def read(self, stream: str, n: int, twice: bool) -> None:
        for _ in range(1 + twice):
            self._check(self.spool.read(stream, Limit(n)), self._pending(stream)[:n])

    @rule(stream=st.sampled_from(STREAMS), n=st.integers(1, 9), back=st.integers(0, 3))
    def read_and_ack(self, stream: str, n: int, back: int) -> None:
        batches = self.spool.read(stream, Limit(n))
        self._check(batches, self._pending(stream)[:n])
        if batches:
            seq = batches[max(0, len(batches) - 1 - back)].seq
            self.spool.ack(stream, seq)
            self._has_acked(stream, seq)
            self._nothing_is_kept_for_nobody()

    @rule()
    def all_catch_up(self) -> None:
        """Only holds keep segments now."""
        for stream in STREAMS:
            self.read_and_ack(stream, n=10**6, back=0)

    @rule(sizes=sizes, pages=st.integers(0, 4), after=st.integers(0, 8))
    def hold_what_all_have(self, sizes: list[int | None], pages: int, after: int) -> None:
        """An open poll keeps its records, across segments, though no stream needs them."""
        self.put(sizes, "new")
        for _ in range(pages):
            self.all_catch_up()
            self.put(sizes, "same")
        self.all_catch_up()
        self.crash_in_put(sizes, "same", after)

    @rule(stream=st.sampled_from(STREAMS), n=st.integers(1, 5))
    def ack_unread(self, stream: str, n: int) -> None:
        if pending := self._pending(stream)[:n]:
            self.spool.ack(stream, pending[-1].seq)
            self._has_acked(stream, pending[-1].seq)

    @rule(stream=st.sampled_from(STREAMS), n=st.integers(1, 5), after=st.integers(0, 4))
    def ack_unread_on_broken_disk(self, stream: str, n: int, after: int) -> None:
        pending = self._pending(stream)[:n]
        if not pending:
            return
        self.fs.fault = Fault(after, "eio")
        try:
            self.spool.ack(stream, pending[-1].seq)
        except SpoolError:
            self.maybe[stream].add(pending[-1].seq)
        else:
            self._has_acked(stream, pending[-1].seq)
        self.fs.fault = None

    @rule(stream=st.sampled_from(STREAMS), n=st.integers(1, 5), after=st.integers(0, 4))
    def crash_in_ack(self, stream: str, n: int, after: int) -> None:
        pending = self._pending(stream)[:n]
        if not pending:
            return
        self.fs.fault = Fault(after, "crash")
        try:
            self.spool.ack(stream, pending[-1].seq)
        except Crash:
            self.maybe[stream].add(pending[-1].seq)
        else:
            self._has_acked(stream, pending[-1].seq)
        self._crash()

    @rule(stream=st.sampled_from(STREAMS), times=st.integers(1, 4))
    def tear_a_cursor(self, stream: str, times: int) -> None:
        """The slot that is written holds what was true two acknowledgements ago."""
        for _ in range(times):
            self.put([0, 0], "none")
            self.ack_unread(stream, n=1)
            self.crash_in_ack(stream, n=1, after=1)

    def _has_acked(self, stream: str, seq: int) -> None:
        self.acked[stream] = seq
        self.maybe[stream] = set()

    def _nothing_is_kept_for_nobody(self) -> None:
        if self.flipped or self.limbo:
            return
        for stream in STREAMS:  # a reader finds out that only states follow
            self.spool.read(stream, Limit(1))
        self.spool._log.collect()
        needed = [p[0].seq for s in STREAMS if (p := self._pending(s))]
        needed += [self.hold] if self.hold else []
        segments = self.spool._log.segments
        if len(segments) > 1:
            assert needed, "segments are kept though nobody needs them"
            assert segments[1].base > min(needed), "a segment is kept that nobody needs"

    # -- restarts --------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        self._crash()

    def _crash(self) -> None:
        self.fs.restart()
        self._restart()

    @rule()
    def close_and_open(self) -> None:
        self.spool.close()
        self._restart()

    @rule(after=st.integers(0, 12), kind=st.sampled_from(["crash", "eio"]))
    def break_the_start(self, after: int, kind: str) -> None:
        self.fs.restart()
        self.fs.fault = Fault(after, kind)
        with suppress(Crash, SpoolError):
            self._open()
        self._crash()

    def _restart(self) -> None:
        self._open()
        for stream in STREAMS:
            acked = self.spool._consumers[stream].cursor.mark.acked
            assert acked in {self.acked[stream], *self.maybe[stream]}, "a cursor is wrong"
            self.acked[stream] = acked
            self.maybe[stream] = set()
        self._take_over_limbo()
        if not self.flipped:
            assert not self.spool.damage, self.spool.damage
        if self.state is None:  # a segment that could not be removed may still know an older one
            self.state = self.spool.state
        assert self.spool.state == self.state
        self.greatest_timestamp = max(self.greatest_timestamp, 0)
        for stream in STREAMS:
            self._check(self.spool.read(stream, ALL), self._pending(stream))

    def _take_over_limbo(self) -> None:
        """Records in limbo may have become durable: any of them, in order, whole."""
        newest = self.items[-1].seq if self.items else 0
        new = [f for f in self._scan() if f.seq > newest]
        limbo = {item.state: item for item in self.limbo}
        order = [item.state for item in self.limbo]
        for found in new:
            if found.state == self.state or found.seq in self.lost:
                continue
            assert found.state in limbo, "a record that nobody put"
            item = limbo[found.state]
            assert order.index(item.state) >= 0
            order = order[order.index(item.state) + 1 :]
            self._accept(item, found.seq)
        self.limbo.clear()

    def _scan(self) -> list[Found]:
        """Return every good record on disk."""
        log, found = self.spool._log, []
        for segment, got in log.scan(0, seg.HEADER.size, verify=True):
            if isinstance(got, seg.Good):
                header = got.header
                assert got.body is not None
                state = fmt.state_of(header, got.body)
                is_data = header.kind == fmt.DATA
                found.append(
                    Found(
                        segment.path, got.offset, got.end, header.seq, is_data, state, header.hold
                    )
                )
        return found

    # -- damage ----------------------------------------------------------------------

    @rule(pick=st.integers(0, 10**6), place=st.floats(0, 0.999), bit=st.integers(0, 7))
    def flip_a_bit(self, pick: int, place: float, bit: int) -> None:
        """Damage one record while the spool is closed; exactly that one is lost."""
        self.spool.close()
        self._restart()
        found = self._scan()
        self.spool.close()
        if not found:
            self._restart()
            return
        hit = found[pick % len(found)]
        inode = self.fs.names[hit.path]
        offset = hit.offset + int((hit.end - hit.offset) * place)
        inode.view[offset] ^= 1 << bit
        inode.durable[offset] ^= 1 << bit
        left = [f for f in found if f != hit]
        self.flipped = True
        self.lost.add(hit.seq)
        self.state = left[-1].state if left else None
        self.hold = left[-1].hold if left else 0
        if hit == found[-1]:  # an older hold is in force again; what it held may be gone
            there = {f.seq for f in left}
            acked = min(self.acked.values())
            self.items = [i for i in self.items if i.seq in there or i.seq > acked]
        needed = hit.is_data and any(self.acked[s] < hit.seq for s in STREAMS)
        self._restart()
        newest = hit == found[-1]
        if needed or newest:
            assert self.spool.damage, "damage was not reported"
        if needed and not newest:
            assert sum(d.batches for d in self.spool.damage) >= 1
        assert all(d.saved for d in self.spool.damage if d.kind == "record")

    @rule(sizes=sizes, place=st.floats(0, 0.999), bit=st.integers(0, 7))
    def flip_a_bit_in_the_newest_group(
        self, sizes: list[int | None], place: float, bit: int
    ) -> None:
        """What was synced with the damaged record, behind it, is kept."""
        self.put([0, *sizes], "none")
        self.flip_a_bit(pick=-2, place=place, bit=bit)

    @rule(sizes=sizes)
    def lose_the_newest(self, sizes: list[int | None]) -> None:
        """Its seq is given to no other record, whatever was acknowledged since."""
        self.put([0, *sizes, 0], "none")
        self.flip_a_bit(pick=-1, place=0.5, bit=0)
        for each in STREAMS:
            self.ack_unread(each, n=1)
        self._crash()
        self.put(sizes, "none")

    # -- always ----------------------------------------------------------------------

    @invariant()
    def depth_is_right(self) -> None:
        if not hasattr(self, "spool"):
            return
        for stream in STREAMS:
            pending, depth = self._pending(stream), self.spool.depth(stream)
            rows = sum(item.number % 3 + 1 for item in pending)
            if not self.lost:
                assert (depth.batches, depth.rows) == (len(pending), rows)
                assert (depth.oldest_at is None) == (not pending)
            else:
                assert depth.batches >= len(pending)

    @invariant()
    def state_is_the_newest(self) -> None:
        if hasattr(self, "spool"):
            assert self.spool.state == self.state

    @invariant()
    def held_records_are_there(self) -> None:
        if not hasattr(self, "spool") or not self.hold:
            return
        held = [
            i for i in self.items if i.is_data and i.seq >= self.hold and i.seq not in self.lost
        ]
        self._check(list(self.spool.poll("p", self.hold)), held)


def directed(
    machine: type[RuleBasedStateMachine], names: Sequence[str]
) -> type[RuleBasedStateMachine]:
    """Return a *machine* that does nothing by itself but the rules *names*."""

    def plain(name: str) -> Any:
        def call(self: RuleBasedStateMachine, *args: Any, **more: Any) -> None:
            getattr(machine, name)(self, *args, **more)

        return call

    others = {
        name: plain(name)
        for name, value in vars(machine).items()
        if hasattr(value, RULE_MARKER) and name not in names
    }
    assert all(hasattr(getattr(machine, name), RULE_MARKER) for name in names)
    return type("Directed", (machine,), others)


def run(
    examples: int, steps: int = 30, *, derandomize: bool = False, rules: Sequence[str] = ()
) -> None:
    """
    Run the machine; raise if it finds a fault.

    Args:
        derandomize: Take the same examples each time.
        rules: Names of the only rules to use; none for all.
    """
    examine(SpoolMachine, examples, steps, derandomize=derandomize, rules=rules)


def examine(
    machine: type[RuleBasedStateMachine],
    examples: int,
    steps: int,
    *,
    derandomize: bool,
    rules: Sequence[str],
) -> None:
    """Run *machine*, as `run` does."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        directed(machine, rules) if rules else machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),
        ),
    )


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    run(int(sys.argv[1]))
    print(f"passed {sys.argv[1]} examples")
