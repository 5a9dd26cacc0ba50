"""
The state machine of one stream: log, shards, markers and target, whatever fails in between.

Each row must have landed once when all is well again, in order, or be dead, or was dropped by a
person. Run it by hand with ``python -m tests.model.delivery EXAMPLES``.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import pyarrow as pa
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from api2db.app.retry import drop, half_sent_ns, retry_stream
from api2db.core.backoff import Backoff
from api2db.core.batch import Batch, Limit
from api2db.core.errors import (
    Api2dbError,
    SinkMisconfigured,
    SinkUnavailable,
    SinkUnknown,
    SpoolError,
)
from api2db.core.ids import Timestamps, new_id
from api2db.files.dead_letter import DeadLetters
from api2db.files.letters import RETRIED
from api2db.files.shard import Origin
from api2db.ingest.checkpoint import Checkpoint
from api2db.spool.spool import Record, Spool
from api2db.stream import backlog as backlog_module
from api2db.stream import spill as spill_module
from api2db.stream.backlog import Backlog
from api2db.stream.spill import DAMAGED, SUFFIX, Spill
from api2db.stream.watchdog import Watchdog
from api2db.stream.worker import Worker
from tests.fixtures.fake_clock import FakeClock
from tests.model.broken_steps import BrokenSteps
from tests.model.crash_fs import Crash
from tests.model.machine import examine
from tests.unit.stream.test_worker import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Small, so that what waits is several transactions, and a group of shards is larger than one.
GROUP, BULK = Limit(2), Limit(4, 100, 2**20)
ERRORS = (SinkUnavailable("down"), SinkUnknown("broke"), SinkMisconfigured("no right"))
SYNCS = ("fsync", "fdatasync")
STATE = Checkpoint(form={"columns": {"v": "int"}}).to_bytes()
WATCHDOG = Watchdog()


class SmallTable(Table):
    """A target that takes little at a time."""

    group = GROUP


class DeliveryMachine(RuleBasedStateMachine):
    """
    Puts batches, and lets the worker of a stream try to land them, step by step.

    Attributes:
        put_in: What was put, in order.
        late: What comes out of its turn: dead rows that are sent again, mended shards.
        dropped: Dead rows that a person has removed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="delivery-"))
        self.clock = FakeClock()
        self.disk = BrokenSteps()
        self.table = SmallTable()
        self.put_in: list[int] = []
        self.late: set[int] = set()
        self.dropped: list[int] = []
        self.attempts: int | None = 1
        self._patches = [mock.patch.object(backlog_module, "BULK", BULK)]
        # What is not synced is lost in `SpoolMachine`; here it would only take time.
        self._patches += [mock.patch.object(os, name, _unsynced) for name in SYNCS]
        for patch in self._patches:
            patch.start()
        self._open()

    def _open(self) -> None:
        timestamps = self.timestamps = Timestamps(self.clock)
        self.spool = Spool.open(
            self.folder / "spool",
            streams=["t"],
            timestamps=timestamps,
            clock=self.clock,
            quota=2**20,
            segment_bytes=2000,
        )
        self.spill = Spill(self.folder / "shards", Origin(self.spool.id, "c", "t"))
        timestamps.seen(max(self.spill.newest_ns, half_sent_ns(self.folder / "dead")))
        self.worker = Worker(
            "c/t",
            backlog=Backlog(self.spool, "t", self.spill),
            sink=self.table,
            dead_letters=DeadLetters(self.folder / "dead"),
            watchdog=WATCHDOG,
            attempts=self.attempts,
            backoff=Backoff(initial=0.01, maximum=0.01),
            clock=self.clock,
        )

    def _leave(self) -> None:
        """Free what a process that is gone had; nothing is written."""
        for consumer in self.spool._consumers.values():
            consumer.cursor.close()
        self.spool._writer.close()
        self.spill.close()

    def _restart(self) -> None:
        self._leave()
        self._open()

    def teardown(self) -> None:
        try:
            self.all_is_well()
        finally:
            self._leave()
            for patch in self._patches:
                patch.stop()
            shutil.rmtree(self.folder)

    # -- what happens ----------------------------------------------------------------

    @rule(n=st.integers(1, 5), rows=st.integers(1, 2))
    def put(self, n: int, rows: int = 1) -> None:
        for _ in range(n):
            at = len(self.put_in) + 1
            values = range(at, at + rows)
            self.spool.put(Record(_rows(*values), STATE))
            self.put_in += values

    @rule()
    def attempt(self) -> None:
        if self.worker.backlog.batches:
            self.worker._attempt()

    @rule(error=st.sampled_from(ERRORS), landed=st.booleans())
    def attempt_at_a_target_that_fails(self, error: Exception, landed: bool) -> None:
        """Before or after it has committed."""
        (self.table.lost_replies if landed else self.table.failures).append(error)
        self.attempt()
        self.table.lost_replies.clear()
        self.table.failures.clear()

    kinds = st.sampled_from(["crash", "before", "after", "lasting"])

    @rule(after=st.integers(0, 12), kind=kinds, down=st.booleans())
    def attempt_on_a_broken_disk(self, after: int, kind: str, down: bool) -> None:
        if down:
            self.table.failures = [SinkUnavailable("down")]
        try:
            with self.disk.break_(after, kind):
                self.attempt()
        except Crash:
            self._restart()
        self.table.failures = []

    @rule(after=st.integers(0, 6), lasting=st.booleans())
    def attempt_on_a_disk_that_is_not_read(self, after: int, lasting: bool) -> None:
        """One read fails, of the log or of a shard, or each from there on."""
        self.disk.count(after, "lasting" if lasting else "before")
        with (
            mock.patch.object(os, "pread", self.disk.broken(os.pread)),
            mock.patch.object(spill_module, "open", self.disk.broken(open), create=True),
        ):
            self.attempt()

    @rule(attempts=st.sampled_from([1, 2, None]))
    def restart(self, attempts: int | None) -> None:
        self.attempts = attempts
        self._restart()

    @rule(after=st.integers(0, 6), kind=kinds)
    def start_on_a_broken_disk(self, after: int, kind: str) -> None:
        self._leave()
        with suppress(Crash, SpoolError, OSError), self.disk.break_(after, kind):
            self._open()
            self.attempt()
        self._restart()

    @rule()
    def idle(self) -> None:
        self.worker._idle_since = None
        self.worker._idle()

    @rule()
    def spill_all(self) -> None:
        """The target is down for long."""
        self.put(3)
        self.attempts = 1
        self._restart()
        self.attempt_at_a_target_that_fails(ERRORS[0], landed=False)

    @rule(n=st.integers(1, 5))
    def spill_without_acknowledgement(self, n: int) -> None:
        """Shards are made, and the cursor cannot be written: the log holds them as well."""
        self.put(n)
        with self.disk.break_(0, "lasting", ["pwrite"]):
            self.attempt_at_a_target_that_fails(ERRORS[0], landed=False)

    @rule(early=st.booleans())
    def send_dead_rows_again(self, early: bool) -> None:
        """They become a shard, behind all others; one that a crash has kept back, in front."""
        self._leave()
        self._open()
        if self.spool.depth("t").batches:
            return
        value = -len(self.late) - 1
        self.put_in.append(value)
        self.late.add(value)
        at = int(self.clock.now() * 1e9) - 10**15 if early else self.timestamps.next()
        self.spill.put(Batch(new_id(), 0, at + len(self.late), _rows(value)))
        self._restart()

    @rule(ahead=st.integers(-4, 4))
    def refuse(self, ahead: int) -> None:
        """The target takes one of the newest rows no more, or will not take one that comes."""
        self.table.poison.add(len(self.put_in) + ahead)

    @rule()
    def refuse_nothing(self) -> None:
        """The target takes what it refused; a dead row stays dead all the same."""
        self.table.poison.clear()

    @rule(after=st.integers(0, 12), kind=kinds)
    def retry_dead_rows(self, after: int, kind: str) -> None:
        """A person sends dead rows again, and may be cut off."""
        self._leave()
        self._open()
        self.late.update(self._dead())
        with suppress(Crash, OSError, Api2dbError), self.disk.break_(after, kind):
            list(retry_stream(self._line, "t", self.folder / "dead", self.timestamps))
        self._restart()

    @rule()
    def drop_dead_rows(self) -> None:
        """A person wants them no more."""
        self._leave()
        self._open()
        before = self._dead()
        list(drop(self.folder / "dead", self._line, "t"))
        for value in self._dead():
            before.remove(value)
        self.dropped += before
        self._restart()

    @property
    def _line(self) -> Any:
        """What the commands of a person see of the stream."""
        config = SimpleNamespace(columns=None, to={"t": SimpleNamespace(replace=False)})
        return SimpleNamespace(spool=self.spool, workers={"t": self.worker}, config=config)

    def _dead(self) -> list[int]:
        lines = [
            json.loads(line)
            for path in (self.folder / "dead").glob("[!.]*.jsonl")
            for line in path.read_text().splitlines()
        ]
        return [json.loads(line["content"])["v"] for line in lines]

    @rule(restart=st.booleans())
    def damage_a_shard(self, restart: bool) -> None:
        """It is the oldest one; a person mends it later."""
        for batch in self.spill.read(Limit(1)):
            self.late.update(batch.rows.column("v").to_pylist())
            shard = self.spill.folder / f"{batch.timestamp_ns}{SUFFIX}"
            shard.rename(shard.with_name(shard.name + DAMAGED))
        if restart:
            self._restart()

    @rule()
    def mend_shards(self) -> None:
        for path in (self.folder / "shards").glob(f"*{DAMAGED}"):
            path.rename(path.with_suffix(""))
        self._restart()

    @rule(seconds=st.integers(-(10**6), 10**6))
    def step_the_clock(self, seconds: int) -> None:
        self.clock._now += seconds

    # -- what must be ------------------------------------------------------------------

    def all_is_well(self) -> None:
        """Nothing fails any more: each row has landed once, and no marker is left."""
        for _ in range(2):  # a restart finds nothing more
            self.mend_shards()
            if any((self.folder / "dead").glob(f"*{RETRIED}")):
                self.retry_dead_rows(10**6, "before")
            for _ in range(2 * len(self.put_in) + 5):
                self.attempt()
            assert not self.worker.backlog.batches, self.worker.progress
            if self.worker._open:
                self.idle()
                assert not self.table.markers
            assert self.spill.bytes == 0
        rows, late = self.table.rows, self.late
        assert sorted(rows + self._dead() + self.dropped) == sorted(self.put_in)
        in_order = [value for value in rows if value not in late]
        assert in_order == sorted(in_order)


def _unsynced(fd: int) -> None:
    """Stand for `os.fsync`."""


def _rows(*values: int) -> pa.RecordBatch:
    return pa.record_batch({"v": pa.array(values, pa.int64())})


def run(
    examples: int, steps: int = 30, *, derandomize: bool = False, rules: Sequence[str] = ()
) -> None:
    """Run the machine; as `machine.run`."""
    examine(DeliveryMachine, examples, steps, derandomize=derandomize, rules=rules)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    run(int(sys.argv[1]))
    print(f"passed {sys.argv[1]} examples")
