"""Polls over an API that is cut off, refuses to resume, and sends the boundary again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.errors import PageLoop, RequestRefused, SourceError, SourceUnavailable
from api2db.ingest.checkpoint import Checkpoint
from api2db.ingest.form import Form
from api2db.ingest.poll import Poll
from api2db.ingest.source import Request, Response, Source
from api2db.ingest.watermark import Since


@dataclass
class Answer(Response):
    """What the API says when it is listened to."""

    api: Api
    request: Request

    def read(self) -> bytes:
        return self.api.answer(self.request).encode()

    def close(self) -> None:
        pass


@dataclass
class Api(Source):
    """
    Rows in the order of `at`, served in pages from an offset on; `since` is inclusive.

    Attributes:
        fail: Pages that fail, by number of the request since the beginning.
        refuse: Whether cursors of earlier polls are refused.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    size: int = 2
    fail: set[int] = field(default_factory=set)
    refuse: bool = False
    requests: int = 0
    loop: str | None = None
    issued: set[str] = field(default_factory=set)

    def first(self, since: str | None) -> Request:
        return Request("http://api/rows", () if since is None else (("since", since),))

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        if cursor is None:
            return None
        return Request(request.url, (*self.first(since).params, ("cursor", str(cursor))))

    def send(self, request: Request) -> Response:
        return Answer(self, request)

    def answer(self, request: Request) -> str:
        self.requests += 1
        if self.requests in self.fail:
            raise SourceUnavailable("cut off")
        params = dict(request.params)
        cursor = params.get("cursor")
        if cursor is not None and self.refuse and cursor not in self.issued:
            raise RequestRefused("the cursor has expired", status=410)
        since = params.get("since")
        rows = [r for r in self.rows if since is None or r["at"] is None or r["at"] >= int(since)]  # type: ignore[operator]
        start = int(cursor or 0)
        following = str(start + self.size) if start + self.size < len(rows) else None
        if self.loop is not None and following is None:
            following = self.loop
        if following is not None:
            self.issued.add(following)
        return json.dumps({"data": rows[start : start + self.size], "next": following})


class Log:
    """The records that a spool would hold."""

    def __init__(self) -> None:
        self.records: list[tuple[str, pa.RecordBatch]] = []
        self.state = b""
        self.mixed: list[bool] = []  # of each poll that has ended

    def rows(self) -> Counter[str]:
        return Counter(
            json.dumps(row, sort_keys=True) for _, rows in self.records for row in rows.to_pylist()
        )

    def held(self, poll: str, first_seq: int) -> Iterator[pa.RecordBatch]:
        return (rows for name, rows in self.records[first_seq:] if name == poll)


def run(
    api: Api,
    log: Log,
    *,
    since: Since | None = None,
    steps: int = 10**6,
    max_pages: int = 1000,
    anew: bool = False,
) -> bool:
    """Run a poll until it ends, fails, or has stored *steps* steps; return whether it ended."""
    checkpoint = Checkpoint.from_bytes(log.state)
    form = Form(
        rows="data",
        columns=None,
        next="next",
        since="at" if since else None,
        memory=checkpoint.form,
    )
    poll = Poll(
        api,
        form,
        checkpoint,
        since=since,
        max_pages=max_pages,
        next_seq=lambda: len(log.records),
        held=log.held,
        anew=anew,
    )
    for done, step in enumerate(poll.steps()):
        if done == steps:
            return False
        log.records.append((step.poll, step.rows))
        log.state = step.state
        if step.last:
            log.mixed.append(step.mixed)
            return True
        assert not step.mixed
    raise AssertionError("a poll ends with its last page or an error")


def once(rows: list[dict[str, object]]) -> Counter[str]:
    """Return what the log must hold: each row as often as the API has it."""
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


RUNS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 2), max_size=4),  # new rows: how far `at` moves on
        st.integers(0, 4),  # steps until the crash
        st.booleans(),  # a page fails
        st.booleans(),  # old cursors are refused
    ),
    max_size=8,
)


@given(runs=RUNS, size=st.integers(1, 3), lag=st.integers(0, 3))
def test_append_with_inclusive_since(
    runs: list[tuple[list[int], int, bool, bool]], size: int, lag: int
) -> None:
    """
    Whatever crashes, fails or is refused, each row of an inclusive API is taken once.

    Rows may be equal in every column; then each of them is taken once.
    """
    api, log, since = Api(size=size), Log(), Since(lag=lag)
    at = 0
    for moves, steps, fails, refuses in runs:
        for move in moves:
            at += move
            api.rows.append({"id": len(api.rows) % 3, "at": at})
        api.fail = {api.requests + steps} if fails else set()
        api.refuse, api.issued = refuses, set()
        with suppress(SourceError):
            run(api, log, since=since, steps=steps)
    api.fail, api.refuse = set(), False
    run(api, log, since=since)
    run(api, log, since=since)
    assert log.rows() == once(api.rows)


def test_a_page_does_not_wait_for_the_next_one() -> None:
    """The answer to the next request is awaited when the step before it is stored."""
    api, log = Api(rows=[{"id": i} for i in range(4)], size=2, fail={2}), Log()
    poll = Poll(
        api,
        Form(rows="data", columns=None, next="next"),
        Checkpoint.from_bytes(b""),
        since=None,
        max_pages=9,
        next_seq=lambda: 0,
        held=log.held,
    )
    steps = poll.steps()
    assert next(steps).rows.num_rows == 2
    assert api.requests == 1
    with pytest.raises(SourceUnavailable):
        next(steps)


@given(n=st.integers(1, 9), crashes=st.lists(st.tuples(st.integers(0, 4), st.booleans())))
def test_one_poll_without_since(n: int, crashes: list[tuple[int, bool]]) -> None:
    """A full poll that is broken off any number of times takes each row once."""
    api, log = Api(rows=[{"id": i % 3} for i in range(n)], size=2), Log()
    for steps, refuses in [*crashes, (10**6, False)]:
        api.refuse, api.issued = refuses, set()
        if run(api, log, steps=steps):
            break
    assert log.rows() == once(api.rows)


def test_since_moves_with_the_last_page_only() -> None:
    """A poll that fails on its second page leaves `since` where it was."""
    api, log = Api(rows=[{"id": i, "at": i} for i in range(4)], fail={2}), Log()
    with pytest.raises(SourceUnavailable):
        run(api, log, since=Since())
    assert Checkpoint.from_bytes(log.state).since is None
    assert len(log.records) == 1
    assert run(api, log, since=Since())
    assert Checkpoint.from_bytes(log.state).since == 3


def test_the_page_before_a_failed_request_is_kept() -> None:
    """The rows of a page land even if the next page cannot be asked for."""
    api, log = Api(rows=[{"id": i} for i in range(4)], fail={2}), Log()
    with pytest.raises(SourceUnavailable):
        run(api, log)
    assert log.rows() == once(api.rows[:2])


@pytest.mark.parametrize("loop", ["2", "0"])
def test_a_loop_fails_the_poll_and_doubles_nothing(loop: str) -> None:
    """A cursor that comes again fails each poll; the rows of the pages before land once."""
    api, log = Api(rows=[{"id": i} for i in range(6)], loop=loop), Log()
    for _ in range(3):
        with pytest.raises(PageLoop):
            run(api, log)
    assert log.rows() == once(api.rows)
    api.loop = None
    api.rows.append({"id": 99})
    assert run(api, log)
    assert log.rows() == once(api.rows)


def test_endless_pages_stop_at_the_cap() -> None:
    """A poll ends at `max_pages` with an error that names the option."""
    api, log = Api(rows=[{"id": i} for i in range(50)]), Log()
    with pytest.raises(PageLoop, match="max_pages"):
        run(api, log, max_pages=5)
    assert log.rows() == once(api.rows[:10])


def test_rows_without_a_value_are_taken_once() -> None:
    """An API that sends rows whose `since` field is null in every poll doubles nothing."""
    api, log = Api(rows=[{"id": 1, "at": None}, {"id": 2, "at": 5}], size=9), Log()
    for _ in range(3):
        run(api, log, since=Since())
    assert log.rows() == once(api.rows)


@pytest.mark.parametrize("taken", [0, 1])
def test_no_content_is_a_page_without_rows(taken: int) -> None:
    """A 204 ends the poll well, as its only page or its last; `since` and rows stay."""

    class NoContent(Api):
        def answer(self, request: Request) -> str:
            page = super().answer(request)
            return "" if self.requests > taken else page

    rows: list[dict[str, object]] = [{"id": i, "at": i} for i in range(4)]
    log = Log()
    assert run(NoContent(rows=rows), log, since=Since(initial=0))
    assert log.rows() == once(rows[: 2 * taken])
    checkpoint = Checkpoint.from_bytes(log.state)
    assert checkpoint.poll is None
    assert checkpoint.since == (1 if taken else None)
    assert run(Api(rows=rows), log, since=Since(initial=0))
    assert log.rows() == once(rows)


def test_a_poll_that_is_replaced_begins_anew() -> None:
    """If the API refuses to go on, a poll of which nothing is kept brings no row of before."""
    api, log = Api(rows=[{"id": i, "v": "old"} for i in range(5)]), Log()
    run(api, log, steps=2, anew=True)
    api.rows = [{"id": i, "v": "new"} for i in range(3)] + [{"id": 0, "v": "old"}]
    api.refuse, api.issued = True, set()
    assert run(api, log, anew=True)
    (abandoned, _), (last, _) = log.records[0], log.records[-1]
    assert abandoned != last
    log.records = [record for record in log.records if record[0] == last]
    assert log.rows() == once(api.rows)


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("gone", [0, 1, 3])
def test_a_poll_that_begins_again_says_if_rows_are_gone(gone: int, crash: bool) -> None:
    """What it holds and the API has no more, counted, is of another state than the rest."""
    rows: list[dict[str, object]] = [{"id": 0}, *({"id": i // 2} for i in range(7))]
    api, log = Api(rows=rows, size=3), Log()
    run(api, log, steps=2)
    api.rows, api.refuse, api.issued = [*rows[gone:], {"id": 9}], True, set()
    if crash:  # in the second run: the third finds the rows of both
        run(api, log, steps=1)
        api.issued = set()
    assert run(api, log)
    assert log.rows() == once([*rows, {"id": 9}])
    assert run(api, log)
    assert log.mixed == [gone > 0, False]  # of the next one nothing is held


def test_a_wrong_credential_does_not_restart_a_poll() -> None:
    """401 while resuming fails the poll; it resumes at the same request."""

    class Expired(Api):
        def answer(self, request: Request) -> str:
            raise RequestRefused("token expired", status=401)

    api, log = Api(rows=[{"id": i} for i in range(4)]), Log()
    run(api, log, steps=1)
    before = log.state
    with pytest.raises(RequestRefused):
        run(Expired(), log)
    assert log.state == before
