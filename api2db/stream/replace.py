"""The worker of a stream that replaces what its target holds with each whole poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.stream.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from api2db.core.batch import Batch
    from api2db.sink.base import Landed
    from api2db.stream.polls import PollBacklog


class ReplaceWorker(Worker):
    """
    A worker over a `PollBacklog`.

    It never spills: part of a poll is of no use, and what waits is out of date with the next.
    """

    backlog: PollBacklog

    def _write(self, batches: Sequence[Batch], forget: Collection[str]) -> Landed:
        if not self.backlog.replaces:
            return super()._write(batches, forget)
        return self._sink.replace(_Alive(self), forget=forget)

    def _waiting(self) -> Iterable[Batch]:
        batches = super()._waiting()
        return self.backlog.pages() if batches and self.backlog.replaces else batches

    def alive(self) -> Iterator[Batch]:
        """Yield what waits, without refused rows; each batch gives the load its time again."""
        for batch in self.backlog.pages():
            self.pulse.beat(self.timeout)
            self._renew()
            yield self._refused.without(batch)


class _Alive:
    """The same, as often as the sink asks."""

    def __init__(self, worker: ReplaceWorker) -> None:
        self._worker = worker

    def __iter__(self) -> Iterator[Batch]:
        return self._worker.alive()
