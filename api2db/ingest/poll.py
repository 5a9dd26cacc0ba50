"""
One poll: page after page, each with the checkpoint that makes it resumable.

The rules (CONTRACT, Semantics):

- Each page's step carries the next page's request and the running maximum of `since`.
  After a crash or a failed page the poll resumes at that request with the same `since`.
- If the API refuses that request, or pages loop, the poll begins again at its first page
  and leaves out the rows that its records hold. A crash in such a second run begins it
  again, too: only a run from the first page can count equal rows rightly. Where every stream
  replaces, such a run is a new poll, with all its rows: what a poll brought must not be mixed
  with what was there earlier, and nothing is doubled.
- `since` moves with the last page only. Rows at or above the value sent were perhaps taken
  by an earlier poll: they are compared by raw-row hash, with counts.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from api2db.core.batch import NO_ROWS
from api2db.core.errors import PageLoop, RequestRefused, SourceError
from api2db.core.ids import new_id
from api2db.ingest import watermark
from api2db.ingest.checkpoint import OpenPoll
from api2db.ingest.held import HeldRows
from api2db.ingest.loops import Loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from api2db.core.batch import DeadRow
    from api2db.ingest.checkpoint import Checkpoint
    from api2db.ingest.form import Built, Form, Page
    from api2db.ingest.held import Keys
    from api2db.ingest.source import Body, Request, Response, Source
    from api2db.ingest.watermark import Since, Value

logger = logging.getLogger(__name__)

#: Refusals that say nothing about the request itself: a wrong or expired credential.
_CREDENTIAL = (401, 403)


@dataclass(frozen=True, slots=True)
class Step:
    """
    One page, ready for the log.

    Attributes:
        poll: Id of the poll.
        page: Zero-based number of the page in this run of the poll.
        rows: New rows (n >= 0 rows x k columns).
        state: The collector's checkpoint once this step is durable, as bytes.
        first_seq: Lowest sequence number that the poll's records can have.
        dead: Rows that do not fit the form.
        last: Whether the poll ends with this step.
        mixed: Whether the records of the poll, which ends, hold rows that its last run did not
            bring: they are of two states of the API.
    """

    poll: str
    page: int
    rows: pa.RecordBatch
    state: bytes
    first_seq: int
    dead: tuple[DeadRow, ...] = ()
    last: bool = False
    mixed: bool = False


class Poll:
    """
    One run of a poll, fresh or resumed; used by one thread.

    Args:
        next_seq: Returns the sequence number that the log will give to its next record.
        held: Returns an open poll's rows, or their keys: called with its id and `first_seq`.
        anew: Where a poll must begin again, abandon it and begin another: no stream takes
            anything but whole polls.
    """

    def __init__(
        self,
        source: Source,
        form: Form,
        checkpoint: Checkpoint,
        *,
        since: Since | None,
        max_pages: int,
        next_seq: Callable[[], int],
        held: Callable[[str, int], Iterable[pa.RecordBatch | Keys]],
        anew: bool = False,
    ) -> None:
        self._source = source
        self._form = form
        self._before = checkpoint
        self._since = since
        self._held = held
        self._anew = anew
        self._held_rows: HeldRows | None = None
        self._loops = Loops(max_pages)
        self._next_seq = next_seq
        self._open = checkpoint.poll or self._begin()

    def steps(self) -> Iterator[Step]:
        """
        Fetch the pages and yield each as a step, in order, with at most one page in memory.

        The next page's request is sent before a step is built, and read when the caller asks
        for the step after: the API works while we do, and what goes wrong there is raised then.

        Raises:
            SourceError: This run ends here; what was yielded stays. The next run resumes.
        """
        if self._open.restart:
            self._restart()
        answer: Response | None = None
        try:
            body = self._first()
            while body:
                page = self._form.parse(body)
                repeated = self._loops.repeated(body, self._open.page)
                following, failure = (None, repeated) if repeated else self._follow(page)
                answer = None if following is None else self._source.send(following)
                known = set(range(page.n_rows)) if repeated else self._known(page)
                yield self._step(page, following, known, looped=failure is not None)
                if failure is not None:
                    raise failure
                if answer is None:
                    return
                body = answer.read()
            yield self._nothing()
        finally:
            if answer is not None:
                answer.close()

    # -- requests ------------------------------------------------------------------

    def _begin(self) -> OpenPoll:
        sent = self._since.after(self._before.since) if self._since else None
        left = self._before.taken.copy()
        kept = self._before.taken.copy()
        kept.forget_null()
        first = self._source.first(watermark.text(sent))
        return OpenPoll(
            new_id(),
            first,
            self._next_seq(),
            sent=sent,
            high=self._before.since,
            left=left,
            kept=kept,
        )

    def _first(self) -> Body:
        """Return the page at which this run begins; if its request is refused, begin again."""
        try:
            return self._source.send(self._open.next).read()
        except RequestRefused as exc:
            if self._open.page == 0 or exc.status in _CREDENTIAL:
                raise
            logger.warning(
                "poll_restarted",
                extra={"poll": self._open.id, "page": self._open.page, "status": exc.status},
            )
            self._restart()
            return self._source.send(self._open.next).read()

    def _restart(self) -> None:
        poll = self._open
        # What a function's mark stands behind is done, and would not come again.
        if self._anew and self._before.mark is None:
            self._open = self._begin()
            return
        self._held_rows = HeldRows(self._held(poll.id, poll.first_seq))
        first = self._source.first(watermark.text(poll.sent))
        left = self._before.taken.copy()
        poll.kept.forget_null()  # this run meets them all again
        self._open = replace(poll, next=first, page=0, left=left, restart=True)

    def _follow(self, page: Page) -> tuple[Request | None, SourceError | None]:
        """Return the next page's request, or why there can be none."""
        request = self._open.next
        try:
            cursor = page.n_rows if self._source.counts else page.next
            following = self._source.follow(request, cursor, since=watermark.text(self._open.sent))
        except PageLoop as exc:
            return None, exc
        loop = self._loops.endless(request, following, self._open.page)
        return (None, loop) if loop else (following, None)

    # -- rows ----------------------------------------------------------------------

    def _step(
        self, page: Page, following: Request | None, known: set[int], *, looped: bool
    ) -> Step:
        """Build the columns and the checkpoint of one page, without its *known* rows."""
        poll = self._open
        rows, dead, high = self._new(page, known)
        last = following is None and not looped
        if not last:
            self._open = replace(
                poll,
                next=following or poll.next,
                page=poll.page + 1,
                high=high,
                restart=poll.restart or looped,
            )
        return self._done(poll, rows, dead, high, last=last)

    def _nothing(self) -> Step:
        """Return the last step of a poll whose page is a 204: it has no rows, and no next."""
        return self._done(self._open, NO_ROWS, (), self._open.high, last=True)

    def _done(
        self,
        page: OpenPoll,
        rows: pa.RecordBatch,
        dead: tuple[DeadRow, ...],
        high: Value,
        *,
        last: bool,
    ) -> Step:
        """Return the step of the page at which the poll was *page*; with the last, it ends."""
        memory = self._form.memory
        if last:
            after = replace(self._before, since=high, taken=self._open.kept, form=memory, poll=None)
        else:
            after = self._before.with_poll(self._open, memory)
        state = after.to_bytes()
        mixed = last and self._is_mixed()
        return Step(page.id, page.page, rows, state, page.first_seq, dead, last, mixed)

    def _is_mixed(self) -> bool:
        """Return whether what the poll has brought so far is not what one run would bring."""
        return self._open.mixed or (self._held_rows is not None and self._held_rows.left)

    def _new(
        self, page: Page, known: set[int]
    ) -> tuple[pa.RecordBatch, tuple[DeadRow, ...], Value]:
        """Return what a page brings without its *known* rows: new, dead, and the maximum."""
        built = page.build(known)
        rows, held = self._leave_out_held(page, built, known)
        return rows, tuple(built.dead), self._keep(page, known, held)

    def _known(self, page: Page) -> set[int]:
        """Return the rows of *page* that earlier polls took."""
        if page.since is None:
            return set()
        left = self._open.left
        return {
            i
            for i, value in enumerate(page.since)
            if value in left and left.take(value, page.row_hash(i))
        }

    def _leave_out_held(
        self, page: Page, built: Built, known: set[int]
    ) -> tuple[pa.RecordBatch, set[int]]:
        """Leave out the rows that this poll's records hold; return also which these are."""
        if self._held_rows is None or built.rows.num_rows == 0:
            return built.rows, set()
        dead = {row.row for row in built.dead}
        order = [i for i in range(page.n_rows) if i not in known and i not in dead]
        is_held = self._held_rows.take(built.rows)
        new = pa.array([not held for held in is_held], pa.bool_())
        held = {i for i, is_known in zip(order, is_held, strict=True) if is_known}
        return built.rows.filter(new), held

    def _keep(self, page: Page, known: set[int], held: set[int]) -> Value:
        """Remember new rows at or above the next value to send; return the new maximum."""
        poll = self._open
        if self._since is None or page.since is None:
            return poll.high
        values = set(page.since)
        if values == {None}:
            logger.warning("since_field_missing", extra={"poll": poll.id, "page": poll.page})
        high = poll.high
        for value in values:
            high = watermark.later(high, value)
        lowest = watermark.minus(high, self._since.lag)
        limit = watermark.key(lowest)
        reached = {value for value in values if _reaches(value, limit)}
        for i, value in enumerate(page.since):
            # A row without a value is met in every poll, if the API always sends it.
            if value in reached and (value is None or (i not in known and i not in held)):
                poll.kept.add(value, page.row_hash(i))
        poll.kept.prune(lowest)
        return high


def _reaches(value: Value, limit: watermark.Key | None) -> bool:
    place = watermark.key(value)
    return place is None or limit is None or place >= limit
