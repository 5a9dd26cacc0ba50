"""SiriDB's client, called from a thread without an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from siridb.connector.lib.connection import SiriDBAsyncConnection

from api2db.core.errors import SinkMisconfigured, SinkUnavailable
from api2db.sink.siridberrors import translate
from api2db.sink.siridbname import quote

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence

    from api2db.sink.target import Siridb

T = TypeVar("T")

#: A point: its time in the database's unit, and its value.
Point = tuple[int, Any]

#: Seconds that logging in, and one request, may take.
CONNECT_TIMEOUT = 10
REQUEST_TIMEOUT = 100
#: Most points that are inserted, and read, at once; the server recommends packages below 1 MB.
INSERT_POINTS = 40_000
SELECT_POINTS = 500_000
#: Most series that one query names.
QUERY_SERIES = 1_000
#: What `show time_precision` says -> nanoseconds.
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class Series(NamedTuple):
    """
    What the server says of a series.

    Attributes:
        type: ``integer``, ``float`` or ``string``.
        end: Its last tick.
        length: How many points it has.
    """

    type: str
    end: int
    length: int


class Client:
    """
    One connection to one server, with an event loop that runs only while a call does.

    The client's own pool is not used: it sends an insert again whose outcome it does not know.

    Owned by one thread; only `interrupt` is called from another. Every error is translated.

    Attributes:
        unit: Nanoseconds of one tick of the database's clock.
    """

    def __init__(self, target: Siridb) -> None:
        self._target = target
        self._where = ", ".join(f"{host}:{port}" for host, port in target.hosts)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._connection: Any = None
        self._interrupted = False
        self.unit = 1

    def open(self) -> None:
        """Log in to the first server that answers."""
        self.close()
        with self._lock:
            self._loop = asyncio.new_event_loop()
            self._interrupted = False
        for host, port in self._target.hosts:
            try:
                self._run(self._log_in(host, port))
            except SinkUnavailable as exc:
                error = exc
            else:
                break
        else:
            raise error
        found = self.query("show time_precision")["data"]
        self.unit = UNITS[found[0]["value"]]

    async def _log_in(self, host: str, port: int) -> None:
        target = self._target
        connection = SiriDBAsyncConnection()
        try:
            await connection.connect(
                target.username,
                target.password,
                target.database,
                host=host,
                port=port,
                timeout=CONNECT_TIMEOUT,
            )
        except BaseException:
            await asyncio.sleep(0)  # its transport closes
            raise
        self._connection = connection

    def query(self, query: str) -> Any:
        """Return the answer to *query*."""
        return self._run(self._connected().query(query, timeout=REQUEST_TIMEOUT))

    def insert(self, points: Mapping[str, Sequence[Point]]) -> None:
        """Insert *points*, in their order, some thousands at a time."""
        for package in _packages(points):
            self._run(self._connected().insert(package, timeout=REQUEST_TIMEOUT))

    def listed(self, names: Iterable[str]) -> dict[str, Series]:
        """Return those of *names* that are there."""
        found: dict[str, Series] = {}
        for some in _slices(list(names), QUERY_SERIES):
            query = f"list series name, type, end, length {_quoted(some)} limit {len(some)}"
            found |= {name: Series(*rest) for name, *rest in self.query(query)["series"]}
        return found

    def busy(self) -> bool:
        """Return whether the server works on anything but this question."""
        found: int = self.query("show active_tasks")["data"][0]["value"]
        return found > 1

    def counts(self, names: Iterable[str], low: int, high: int) -> dict[str, int]:
        """Return how many points from *low* to *high* each of *names* has."""
        found: dict[str, int] = {}
        for some in _slices(list(names), QUERY_SERIES):
            query = f"select count() from {_quoted(some)} between {low} and {high + 1}"
            for name, points in self.query(query).items():
                found[name] = sum(count for _, count in points)
        return found

    def points(self, names: Sequence[str], low: int, high: int) -> Iterator[tuple[str, Any]]:
        """Yield names of series with some of their points from *low* to *high*."""
        counts = self.counts(names, low, high)
        names = [name for name in names if counts.get(name)]
        if not names:
            return
        if sum(counts[name] for name in names) <= SELECT_POINTS and len(names) <= QUERY_SERIES:
            query = f"select * from {_quoted(names)} between {low} and {high + 1}"
            yield from self.query(query).items()
        elif len(names) > 1:
            half = len(names) // 2
            yield from self.points(names[:half], low, high)
            yield from self.points(names[half:], low, high)
        elif low < high:
            middle = (low + high) // 2
            yield from self.points(names, low, middle)
            yield from self.points(names, middle + 1, high)
        else:
            raise SinkMisconfigured(
                f"the series {names[0]!r} has {counts[names[0]]} points at one instant",
                hint="give 'time' a column that tells them apart, or 'tags'",
            )

    def interrupt(self) -> None:
        """Make a call under way fail at once; never blocks, never raises."""
        with self._lock:
            self._interrupted = True
            loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed in this very moment
                loop.call_soon_threadsafe(self._cancel)

    def close(self) -> None:
        """Drop the connection. Idempotent; never raises, waits for nobody."""
        with self._lock:
            loop, self._loop = self._loop, None
        connection, self._connection = self._connection, None
        if loop is None:
            return
        with contextlib.suppress(Exception):
            if connection is not None:
                connection._protocol.transport.abort()
            loop.run_until_complete(_settled())
        loop.close()

    def _connected(self) -> Any:
        if self._connection is None:
            raise SinkUnavailable(f"SiriDB {self._where}: not connected")
        return self._connection

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run *call* to its end in the loop; translate what it raises."""
        loop = self._loop
        if loop is None or self._interrupted:
            call.close()
            raise translate(ConnectionError(), self._where, interrupted=self._interrupted)
        self._task = loop.create_task(call)
        try:
            result: T = loop.run_until_complete(self._task)
        except (Exception, asyncio.CancelledError) as exc:
            raise translate(exc, self._where, interrupted=self._interrupted) from exc
        finally:
            self._task = None
        return result


async def _settled() -> None:
    """Let callbacks and cancelled tasks of a lost connection end."""
    for _ in range(3):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(quote, names))


def _slices(names: list[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]


def _packages(points: Mapping[str, Sequence[Point]]) -> Iterator[dict[str, Sequence[Point]]]:
    package: dict[str, Sequence[Point]] = {}
    size = 0
    for name, some in points.items():
        for start in range(0, len(some), INSERT_POINTS):
            part = some[start : start + INSERT_POINTS]
            if package and size + len(part) > INSERT_POINTS:
                yield package
                package, size = {}, 0
            package[name] = part
            size += len(part)
    if package:
        yield package
