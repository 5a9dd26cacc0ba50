"""The durable queue of one collector: put once, read and acknowledged by every stream."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from api2db.core.batch import GROUP
from api2db.core.errors import SpoolFailed
from api2db.core.faults import crash_point
from api2db.files.fs import Fs
from api2db.spool import record as fmt
from api2db.spool.commit import GroupCommit
from api2db.spool.consumer import Depth, batches_of
from api2db.spool.opening import open_parts
from api2db.spool.quarantine import Damage
from api2db.spool.record import Body, Record
from api2db.spool.writer import Receipt

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from api2db.core.batch import Batch, Limit
    from api2db.core.clock import Clock
    from api2db.core.ids import Timestamps
    from api2db.spool.opening import Parts

__all__ = ["Damage", "Depth", "Receipt", "Record", "Spool"]

#: Bytes that one group of records has at most, but for a single record.
GROUP_BYTES = 64 * 2**20
#: Bytes of log up to which, and to an eighth of the quota, rows are plain: zstd costs time.
PLAIN_BELOW = 256 * 2**20


class Spool:
    """
    The queue. All methods are thread-safe; each stream is read and acknowledged by one thread.

    Attributes:
        id: 32 hex digits, fixed when the queue was made.
        streams: The configured streams.
        ballast: For what lets batches leave the log, and needs room.
    """

    def __init__(self, folder: Path, parts: Parts, streams: Sequence[str], quota: int) -> None:
        self.id = parts.queue.hex()
        self.streams = tuple(streams)
        self._folder = folder
        self._log = parts.log
        self._writer = parts.writer
        self._consumers = parts.consumers
        self.ballast = parts.ballast
        self._quarantine = parts.quarantine
        self._closed = False
        self._plain_below = min(PLAIN_BELOW, quota // 8)
        self._log.keep_from = self._keep_from
        self._log.collect()
        self.ballast.restore()
        self._group: GroupCommit[Body, Receipt] = GroupCommit(
            self._writer.write, weigh=lambda body: body.length, limit=GROUP_BYTES
        )

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        streams: Sequence[str],
        timestamps: Timestamps,
        clock: Clock,
        fs: Fs | None = None,
        quota: int = 10 * 2**30,
        beside: Callable[[], int] = lambda: 0,
        segment_bytes: int = 16 * 2**20,
    ) -> Spool:
        """
        Open the queue in *folder*, or make it; the owner of the STORE's lock calls this.

        A stream that is new begins at the lowest cursor there is, so that a renamed stream
        inherits the backlog. A stream that is configured no more keeps its cursor, and what
        waits for it, while anything does.

        Args:
            quota: Bytes that the segments may have; beyond it `put` raises SpoolFull.
            beside: Returns the bytes elsewhere that count against the quota; any thread.
            segment_bytes: Length at which a new segment begins.

        Raises:
            SpoolFailed: The disk fails, or a newer version wrote the queue; nothing changed.
        """
        try:
            parts = open_parts(
                fs or Fs(),
                folder,
                streams,
                timestamps=timestamps,
                clock=clock,
                quota=quota,
                beside=beside,
                segment_bytes=segment_bytes,
            )
            return cls(folder, parts, streams, quota)
        except OSError as exc:
            hint = "check the disk and the owner of the folder"
            raise SpoolFailed(f"cannot open the queue in {folder}: {exc}", hint=hint) from exc

    def close(self) -> None:
        """Note in every cursor where the log ends, and close the files. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.wake()
        for consumer in self._consumers.values():
            with suppress(OSError):
                consumer.seal()
            consumer.cursor.close()
        self._writer.close()

    # -- put -----------------------------------------------------------------------

    @property
    def state(self) -> bytes:
        """The state of the newest record, b"" if there is none."""
        return self._log.tip.state

    @property
    def next_seq(self) -> int:
        """A seq that no record has yet; the next record gets it or a greater one."""
        return self._writer.next_seq

    def put(self, record: Record) -> Receipt:
        """
        Append *record*; it is durable when this returns.

        Many threads may put at once; they share the sync.

        Raises:
            SpoolFull: The quota or the disk is full. Nothing was taken.
            SpoolFailed: The disk failed, or the spool is closed. Nothing was taken.
        """
        if self._closed:
            raise SpoolFailed(f"the queue in {self._folder} is closed")
        receipt = self._group.put(fmt.encode(record, plain=self._log.size < self._plain_below))
        self.wake()
        return receipt

    # -- read and acknowledge ------------------------------------------------------

    def wait(
        self, stream: str, stop: threading.Event, timeout: float, *, ahead: bool = False
    ) -> bool:
        """
        Block until something waits for *stream*, *stop* is set and `wake` called, or the end.

        Args:
            timeout: Seconds.
            ahead: Only what `read_ahead` has not yet returned counts.

        Returns:
            Whether something waits.
        """
        return self._consumers[stream].wait(self._over(stop), timeout, ahead=ahead)

    def gather(self, stream: str, stop: threading.Event, *, batches: int, timeout: float) -> None:
        """
        Block while more is about to come, so that it can be read at one go.

        That is until *batches* wait for *stream*, the poll under way has put its last page,
        *stop* is set and `wake` called, or *timeout* seconds have passed.
        """
        self._consumers[stream].gather(self._over(stop), batches, timeout)

    def _over(self, stop: threading.Event) -> Callable[[], bool]:
        """Return what says that a wait, once woken, has nothing more to wait for."""
        return lambda: stop.is_set() or self._closed

    def wake(self) -> None:
        """Make every `wait` return."""
        for consumer in self._consumers.values():
            consumer.ready.set()

    def read(self, stream: str, limit: Limit = GROUP) -> list[Batch]:
        """
        Return what waits for *stream*, oldest first, up to *limit*; [] if nothing does.

        The answer begins with the same batch until that is acknowledged.

        Raises:
            SpoolFailed: The disk cannot be read.
        """
        with self._readable():
            return self._consumers[stream].read(limit)

    def read_ahead(self, stream: str, limit: Limit = GROUP) -> list[tuple[Batch, bool]]:
        """
        Return what *stream* was not yet given by this, acknowledged or not; [] if nothing.

        With each batch comes whether nothing is missing between it and the one before it.
        Limit and errors as of `read`.
        """
        with self._readable():
            return self._consumers[stream].read_ahead(limit)

    def unseen(self, stream: str) -> int:
        """Return how many batches `read_ahead` has not yet come to. Any thread."""
        with self._log.lock:
            return self._consumers[stream].n_unseen()

    def ack(self, stream: str, seq: int) -> None:
        """
        Say that everything up to and with *seq* is done for *stream*; durable on return.

        What no stream and no open poll needs any more is removed.

        Raises:
            SpoolFailed: It may or may not be durable; the batches will be read again.
        """
        consumer = self._consumers[stream]
        crash_point("spool.before_ack")
        try:
            news = self.ballast.spare(lambda: consumer.ack(seq))
        except OSError as exc:
            where = f"cannot acknowledge in {self._folder}: {exc}"
            raise SpoolFailed(where, hint="check the disk") from exc
        crash_point("spool.after_ack")
        if news:
            self._log.collect()
            self.ballast.restore()

    def poll(self, poll: str, first_seq: int) -> Iterator[Batch]:
        """
        Yield the batches of a poll that are still in the log, from *first_seq* on.

        All are there while the newest record holds *first_seq* (`Record.hold`), but those
        that are damaged, and those that `let_go` gave up.

        Raises:
            SpoolFailed: The disk cannot be read.
        """
        with self._readable():
            yield from batches_of(self._log, poll, first_seq)

    @property
    def hold(self) -> int:
        """Lowest seq that is kept for the open poll, 0 for none."""
        with self._log.lock:
            return self._log.hold

    def let_go(self, seq: int) -> None:
        """
        Keep nothing below *seq* for the open poll, whatever its records hold.

        Its owner has what it needs of them in another place, durably. Forgotten by a restart,
        which only keeps what is left.
        """
        self._log.let_go(seq)

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            where = f"cannot read the log in {self._folder}: {exc}"
            raise SpoolFailed(where, hint="check the disk; nothing was removed") from exc

    # -- for the status page -------------------------------------------------------

    @property
    def damage(self) -> list[Damage]:
        """What this process has found and set aside."""
        return list(self._quarantine.found)

    @property
    def bytes(self) -> int:
        """Bytes of the segments on disk, which the quota bounds."""
        return self._log.size

    @property
    def room(self) -> int:
        """Bytes that the quota leaves, below 0 for none."""
        return self._writer.room()

    def depth(self, stream: str) -> Depth:
        """Return what waits for *stream*, configured or not. Cheap."""
        return self._consumers[stream].depth()

    def _keep_from(self) -> int:
        """Return the base of the oldest segment that a stream needs; see `Log.keep_from`."""
        needs = [need for c in self._consumers.values() if (need := c.needs()) is not None]
        return min(needs, default=self._log.tip.seq + 1)
