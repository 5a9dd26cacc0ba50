"""What a worker asks of a target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from api2db.core.batch import GROUP
from api2db.core.errors import SinkMisconfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from api2db.core.batch import Batch, Limit
    from api2db.core.distinct import Keys


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    Which rows go where.

    Attributes:
        spool: Id of the durable queue (32 hex digits); part of each marker row, so
            that two installations that share a database never prune each other's.
        collector: Name of the collector that the rows come from.
        stream: Name of the stream, as in ``config.yaml``.
        table: Name of the target table or folder, as the user wrote it.
        upsert: Key columns; empty means append.
        replace: Whether each complete poll takes the place of all that is there.
        schema: What becomes of columns that an existing table lacks: it gets them, and widens
            others (``evolve``), the rows that fill them are refused (``freeze``), or they are
            left out (``ignore``).
        must_be_new: Where it is noted that the table is ours, if it must be; see `newtable`.
        distinct: Whether a file that grows holds equal rows once, or the columns that tell
            rows apart. Within a batch they are distinct already.
        chunk: Most rows that are sent to a database at a time, 0 for no limit; all of a
            load are one transaction all the same.
    """

    spool: str
    collector: str
    stream: str
    table: str
    upsert: tuple[str, ...] = ()
    replace: bool = False
    schema: Literal["evolve", "freeze", "ignore"] = "evolve"
    must_be_new: Path | None = None
    distinct: Keys = False
    chunk: int = 0


@dataclass(frozen=True, slots=True)
class Landed:
    """
    What one `Sink.write` did.

    Attributes:
        rows: Rows that this load wrote.
        repeated: Ids of batches whose marker was there already: nothing was written.
    """

    rows: int
    repeated: frozenset[str] = frozenset()


class Sink(ABC):
    """
    A target in which the batches of one collector land.

    One worker thread owns a sink; only `interrupt` is called from another thread.
    A sink neither retries, sleeps nor logs failures: it translates every error of its
    driver into one of the four kinds, once, and raises; the worker decides.

    Attributes:
        name: ``<kind>`` or ``<kind>.<dialect>``, such as ``sql.postgresql``.
        group: How much one `write` takes at most.
        pace: Least seconds between two writes, unless a whole group waits.
    """

    name: str
    group: ClassVar[Limit] = GROUP
    pace: float = 0.0

    @abstractmethod
    def open(self) -> None:
        """
        Connect, and create what api2db itself needs there (the marker table).

        Called before the first `write` and again after every `close`.

        Raises:
            SinkUnavailable: Try again later.
            SinkMisconfigured: Pause; try again later.
        """

    @abstractmethod
    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """
        Make *batches* take effect once, all in one transaction, each with its marker.

        Batches come in the order of the log; a batch whose marker exists is skipped.
        A batch may hold zero rows (all were dead letters): its marker is still written.
        With upsert the last arrival per key wins across the whole call. Tables and
        columns are created or widened before the transaction. Returning means durable.

        Args:
            forget: Ids of batches that can never be sent again; their markers go, in
                the same transaction.
            commit: False rolls back at the end: a rehearsal, by which the worker finds
                the rows that the target refuses. Markers are ignored then, and so is what
                `replace` would remove.

        Raises:
            SinkUnavailable: Close, wait, open, write the same batches again.
            SinkRejected: Nothing was committed. Dead-letter the rows (bisect if they are
                not named), then write again without them.
            SinkMisconfigured: Pause; close, open, write again later.
            SinkUnknown: Close, open, write again: the markers decide.
        """

    def replace(self, batches: Iterable[Batch], *, forget: Collection[str] = ()) -> Landed:
        """
        Make the rows of *batches* all that the target holds, in one transaction, each marked.

        Nothing is written if the last batch has its marker. No rows at all empty the target.
        Only called for a `Delivery` with `replace`; the default refuses.

        Args:
            batches: Whole polls, in order, of any length: iterated more than once, one batch
                in memory at a time. Those of polls that are out of date hold no rows.
            forget: As of `write`. Raises as `write`, too.
        """
        raise SinkMisconfigured(f"{self.name} cannot replace what it holds")

    @abstractmethod
    def landed(self) -> frozenset[str]:
        """Return the ids of this delivery's batches that have a marker. Same errors."""

    @abstractmethod
    def forget(self, ids: Collection[str]) -> None:
        """Remove the markers of batches that can never be sent again. Same errors."""

    @abstractmethod
    def interrupt(self) -> None:
        """
        Make a hung driver call of the owning thread fail at once; never blocks, never raises.

        Called by the watchdog, from another thread, at any time.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection. Idempotent; never raises; must not wait for the server."""
