"""
One run of a Python function: what it brings, part after part.

A function cannot be asked for its fifth chunk, so a poll that was cut off calls it again:

- A part that ends with a `Checkpoint` is one record with it. The next call gets that
  checkpoint; all before it is done.
- Parts behind the last checkpoint, or of a function without any, are records of the open
  poll. The function is expected to bring their rows again; they are left out, typed row
  against typed row, with counts, until the poll ends or reaches a checkpoint.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from api2db.ingest import watermark
from api2db.ingest.function import FunctionSource
from api2db.ingest.poll import Poll, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api2db.ingest.form import Page
    from api2db.ingest.function import Part


class FunctionPoll(Poll):
    """As `Poll`, of a `FunctionSource`; who takes a step makes it durable before the next."""

    def steps(self) -> Iterator[Step]:
        """
        Call the function and yield each part as a step, in order.

        Raises:
            SourceError: The function failed; what was yielded stays, the next run resumes.
        """
        assert isinstance(self._source, FunctionSource)
        self._begin_leg()
        parts = self._source.parts(self._before.mark, self._open.sent)
        try:
            for part in parts:
                yield self._part(part)
                if part.mark is not None:
                    self._begin_leg()
        finally:
            parts.close()

    def _begin_leg(self) -> None:
        """Start what the next checkpoint ends; if it was begun before, leave out its rows."""
        if self._open.restart:
            page = self._open.page  # names of dead letters go on
            self._restart()
            self._open = replace(self._open, page=page)
        else:
            self._held_rows = None
            self._open = replace(self._open, first_seq=self._next_seq())

    def _part(self, part: Part) -> Step:
        poll = self._open
        page = self._form.parse(part.rows)
        rows, dead, high = self._new(page, self._known(page))
        if part.mark is not None:
            self._before = replace(self._before, mark=part.mark.value)
        if not part.last:
            begins = part.mark is not None
            mixed = self._is_mixed() if begins else poll.mixed
            self._open = replace(
                poll, page=poll.page + 1, high=high, restart=not begins, mixed=mixed
            )
        return self._done(poll, rows, dead, high, last=part.last)

    def _known(self, page: Page) -> set[int]:
        """Return the rows of *page* that earlier polls took, or that are older than these."""
        known = super()._known(page)
        lowest = watermark.key(self._open.sent)
        if page.since is None or lowest is None:
            return known
        places = map(watermark.key, page.since)
        return known | {i for i, at in enumerate(places) if at is not None and at < lowest}
