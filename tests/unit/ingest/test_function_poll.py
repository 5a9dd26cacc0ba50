"""Functions that are cut off at any point, with and without checkpoints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db import Checkpoint as Mark
from api2db.core.errors import FormError, SourceError, SourceUnavailable
from api2db.ingest import function as module
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.form import Form
from api2db.ingest.function import FunctionSource
from api2db.ingest.function_module import parameters
from api2db.ingest.function_poll import FunctionPoll
from api2db.ingest.poll import Step
from api2db.ingest.watermark import Since
from tests.fixtures.fake_clock import FakeClock


class Log:
    """What a spool would hold, and the function that fills it."""

    anew = False

    def __init__(self, function: Callable[..., Any], since: Since | None = None) -> None:
        self.records: list[tuple[str, pa.RecordBatch]] = []
        self.state = b""
        self.clock = FakeClock()
        self.since = since
        self.call(function)

    def call(self, function: Callable[..., Any]) -> None:
        """Take another function from now on."""
        self.source = FunctionSource(Path("/collectors"), "m:f", clock=self.clock)
        self.source._function = function
        self.source._takes = parameters(function, "f")

    def steps(self, poll: FunctionPoll) -> Iterator[Step]:
        for step in poll.steps():
            self.records.append((step.poll, step.rows))
            self.state = step.state
            yield step

    def poll(self) -> FunctionPoll:
        """Return the poll that goes on where the last one was cut off."""
        checkpoint = Checkpoint.from_bytes(self.state)
        return FunctionPoll(
            self.source,
            Form(
                rows=None,
                columns=None,
                since="at" if self.since else None,
                memory=checkpoint.form,
            ),
            checkpoint,
            since=self.since,
            max_pages=1,
            next_seq=lambda: len(self.records),
            held=lambda name, first: (r for n, r in self.records[first:] if n == name),
            anew=self.anew,
        )

    def run(self, steps: int = 10**6) -> bool:
        """Poll until the end or *steps* steps are stored; return whether it ended."""
        taken = self.steps(self.poll())
        for _ in range(steps):
            step = next(taken, None)
            if step is None or step.last:
                return True
        taken.close()
        return False

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for _, rows in self.records for row in rows.to_pylist()]

    @property
    def mark(self) -> Any:
        return Checkpoint.from_bytes(self.state).mark


def counted(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


CHUNKS = st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=6)


@given(CHUNKS, st.lists(st.integers(0, 5), max_size=6))
def test_a_function_without_checkpoints_begins_again(
    parts: list[list[int]], crashes: list[int]
) -> None:
    """Equal rows land as often as one whole call brings them, wherever it was cut off."""

    def function() -> Iterator[list[dict[str, int]]]:
        for part in parts:
            yield [{"n": n} for n in part]

    log = Log(function)
    for steps in crashes:
        if log.run(steps):
            log = Log(function)
    assert log.run()
    assert counted(log.rows) == counted([{"n": n} for part in parts for n in part])


def test_a_function_that_is_replaced_begins_a_new_poll() -> None:
    """What a call brought that was cut off is not in the poll that all streams take whole."""
    log = Log(lambda: iter([[{"v": "old"}], [{"v": "old"}]]))
    log.anew = True
    assert not log.run(1)
    log.call(lambda: iter([[{"v": "new"}], [{"v": "old"}]]))
    assert log.run()
    last = log.records[-1][0]
    rows = [row for poll, rows in log.records if poll == last for row in rows.to_pylist()]
    assert rows == [{"v": "new"}, {"v": "old"}]


@given(CHUNKS, st.lists(st.integers(0, 5), max_size=8), st.integers(1, 4))
def test_a_function_with_checkpoints_goes_on(
    parts: list[list[int]], crashes: list[int], gathered: int
) -> None:
    """Each row lands once, also those that were stored before the checkpoint they lead to."""

    def function(checkpoint: int | None) -> Iterator[object]:
        for i in range(checkpoint or 0, len(parts)):
            for n in parts[i]:
                yield {"n": n}
            yield Mark(i + 1)
        yield [{"n": 9}]

    before, module.GATHERED_ROWS = module.GATHERED_ROWS, gathered
    try:
        log = Log(function)
        for steps in crashes:
            if log.run(steps):
                break
        else:
            assert log.run()
    finally:
        module.GATHERED_ROWS = before
    assert log.mark == len(parts)
    assert counted(log.rows) == counted([{"n": n} for part in parts for n in part] + [{"n": 9}])


def test_rows_and_their_checkpoint_are_one_record() -> None:
    """What is yielded before a checkpoint waits for it."""

    def function(checkpoint: Any) -> Iterator[object]:
        yield {"n": 1}
        yield [{"n": 2}, {"n": 3}]
        yield Mark({"at": [1, "x"]})

    log = Log(function)
    log.run(1)
    assert [rows.num_rows for _, rows in log.records] == [3]
    assert log.mark == {"at": [1, "x"]}


def test_a_checkpoint_without_rows_is_kept() -> None:
    """The next poll gets it all the same; between polls nothing else changes."""
    log = Log(lambda checkpoint: iter([Mark((checkpoint or 0) + 1)]))
    assert log.run() and log.run()
    assert log.mark == 2


def test_a_function_is_on_disk_when_it_goes_on() -> None:
    """After `yield` its rows are stored: it may acknowledge them where they came from."""
    log: Log
    stored = []

    def function(checkpoint: Any) -> Iterator[object]:
        yield [{"n": 1}]
        yield Mark(1)
        stored.append((len(log.rows), log.mark))

    log = Log(function)
    log.run()
    assert stored == [(1, 1)]


def test_an_error_keeps_what_came_before_it() -> None:
    """The poll fails with the last line of the traceback; single rows before it are stored."""

    def function() -> Iterator[object]:
        yield {"n": 1}
        raise KeyError("gone")

    log = Log(function)
    with pytest.raises(SourceUnavailable, match=r"test_function_poll.py:\d+: KeyError: 'gone'"):
        log.run()
    assert log.rows == [{"n": 1}]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), MemoryError()])
def test_user_code_cannot_end_the_poller(error: BaseException) -> None:
    """`sys.exit` in a function is a failed poll; only a real interrupt passes."""

    def function() -> None:
        raise error

    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else SourceUnavailable
    with pytest.raises(expected):
        Log(function).run()


@pytest.mark.parametrize(
    ("result", "rows"),
    [
        (None, 0),
        ([], 0),
        ({"n": 1}, 1),
        ([{"n": 1}, {"n": 2}], 2),
        ((x for x in ({"n": 1}, {"n": 2})), 2),
        ([pa.table({"n": [1]}), pa.table({"n": [2, 3]})], 3),
    ],
)
def test_what_a_function_may_return(result: object, rows: int) -> None:
    """One set of rows, or anything to iterate over that holds such."""
    log = Log(lambda: result)
    assert log.run()
    assert len(log.rows) == rows


def test_async_functions() -> None:
    """Coroutines and asynchronous generators run in a loop of their own."""

    async def coroutine() -> list[dict[str, int]]:
        return [{"n": 1}]

    async def generator(checkpoint: Any) -> Any:
        yield {"n": 1}
        yield Mark(5)

    for function in (coroutine, generator):
        log = Log(function)
        assert log.run()
        assert log.rows == [{"n": 1}]


def test_single_rows_are_stored_together_but_not_late() -> None:
    """A thousand rows or one second: a generator need not gather, and a slow one loses nothing."""
    log: Log

    def function() -> Iterator[dict[str, int]]:
        for n in range(2500):
            yield {"n": n}
        log.clock.advance(5)
        yield {"n": 0}
        assert len(log.rows) == 2501

    log = Log(function)
    assert log.run()
    assert [rows.num_rows for _, rows in log.records] == [1000, 1000, 501, 0]


@pytest.mark.parametrize("value", [object(), float("nan"), "x" * 2**21])
def test_a_checkpoint_is_small_json(value: object) -> None:
    """Anything else fails the poll and says so."""
    with pytest.raises(FormError, match="a checkpoint is a position"):
        Log(lambda checkpoint: iter([Mark(value)])).run()


def test_a_checkpoint_needs_its_parameter() -> None:
    """A function that could never get its checkpoint back is a mistake."""
    with pytest.raises(SourceError, match="add the parameter 'checkpoint'"):
        Log(lambda: iter([Mark(1)])).run()


def test_since_leaves_out_what_was_taken_and_what_is_older() -> None:
    """The function may return everything each time; `lag` lets late rows in, once."""
    rows = [{"at": 10, "k": "a"}, {"at": 12, "k": "b"}]
    log = Log(lambda: rows, Since(lag=2.0))
    assert log.run() and log.run()
    assert log.rows == rows
    rows += [{"at": 10, "k": "late"}, {"at": 9, "k": "too late"}, {"at": 13, "k": "c"}]
    assert log.run() and log.run()
    assert [row["k"] for row in log.rows] == ["a", "b", "late", "c"]


def test_since_as_an_argument() -> None:
    """A function that takes `since` gets the value from which on rows are new."""
    got = []

    def function(since: Any) -> list[dict[str, Any]]:
        got.append(since)
        return [{"at": "2024-01-01T00:00:00Z"}]

    log = Log(function, Since(lag=60.0))
    assert log.run() and log.run()
    assert got == [None, "2023-12-31T23:59:00Z"]


def test_rows_of_a_cut_off_part_are_left_out_up_to_the_checkpoint_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a checkpoint an equal row is a new one, whatever was stored before."""
    monkeypatch.setattr(module, "GATHERED_ROWS", 1)
    log = Log(lambda checkpoint: iter([{"n": 7}, {"n": 8}]))
    assert not log.run(1)
    log.call(lambda checkpoint: iter([{"n": 1}, Mark(1), {"n": 7}]))
    assert log.run()
    assert [row["n"] for row in log.rows] == [7, 1, 7]


@pytest.mark.parametrize("gone", [False, True])
def test_rows_that_a_second_call_does_not_bring_are_told_at_the_end(
    gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those before a checkpoint of the poll, and after another start."""
    monkeypatch.setattr(module, "GATHERED_ROWS", 1)
    cut_off = True

    def function(checkpoint: Any) -> Iterator[Any]:
        if checkpoint is None:
            yield [{"n": 1}] if cut_off or not gone else [{"n": 2}]
            yield [{"n": 3}]
            yield Mark("a")
        yield [{"n": 4}]
        yield [{"n": 5}]

    log = Log(function)
    assert not log.run(1)
    cut_off = False
    assert not log.run(4)  # behind the mark
    ends = [step.mixed for step in log.steps(log.poll()) if step.last]
    assert ends == [gone]
    assert counted(log.rows) == counted([{"n": n} for n in ([1, 2] if gone else [1]) + [3, 4, 5]])
