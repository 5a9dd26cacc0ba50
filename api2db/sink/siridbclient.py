"""SiriDB's client, called from a thread without an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from siridb.connector.lib.connection import SiriDBAsyncConnection
from siridb.connector.lib.protomap import CPROTO_REQ_INSERT

from api2db.core.errors import SinkMisconfigured, SinkUnavailable
from api2db.sink.siridberrors import translate
from api2db.sink.siridbname import quote
from api2db.sink.siridbpackage import Column, packages, packed

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence

    from api2db.sink.target import Siridb

T = TypeVar("T")

#: Seconds that logging in, and one request, may take.
CONNECT_TIMEOUT = 10
REQUEST_TIMEOUT = 100
#: Most points that are read at once.
SELECT_POINTS = 500_000
#: Texts behind a range that are read without a look at how many lie before it.
SELECT_TEXTS = 20_000
#: Most series that one query names.
QUERY_SERIES = 1_000
#: What `show time_precision` says -> nanoseconds.
UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

#: Rights that nothing asks for before there are rows -> what the server calls them, or more.
RIGHTS = {"insert": {"insert", "write", "modify", "full"}, "drop": {"drop", "modify", "full"}}


class Series(NamedTuple):
    """
    What the server says of a series.

    Attributes:
        type: ``integer``, ``float`` or ``string``.
        start: Its first tick. What the server says of its last one is wrong at times: starting,
            it overlooks a chunk that begins before the others and ends behind them.
        length: How many points it has.
    """

    type: str
    start: int
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
        hosts = ", ".join(f"{host}:{port}" for host, port in target.hosts)
        self._where = f"{hosts}/{target.database}"
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._connection: Any = None
        self._interrupted = False
        self.unit = 1

    def open(self) -> None:
        """Log in to the first server that answers; raises for a right that is missing."""
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
        self._check_rights()

    def _check_rights(self) -> None:
        """Raise for a right that would be missed only with the first rows, or once they are in."""
        user = self._target.username
        query = f"list users access where name == {quote(user)}"
        for (access,) in self.query(query)["users"]:
            granted = set(re.findall(r"\w+", access))
            if lacks := [right for right, given in RIGHTS.items() if not granted & given]:
                raise SinkMisconfigured(
                    f"SiriDB {self._where}: the user {user!r} may not {' and '.join(lacks)}",
                    hint=f"grant {', '.join(lacks)} to user {quote(user)}",
                )

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

    def insert(self, points: Mapping[str, Column], last: Mapping[str, Column]) -> None:
        """
        Insert *points*, and behind them *last*, which has no meaning.

        The server writes down what it did to the buffer of one series with that of the next, but
        a shard at once: killed between, it has lost points, or has those of the buffer twice.
        """
        for package in packages(points, last):
            self._run(self._insert(packed(package)))

    async def _insert(self, data: bytes) -> None:
        send = self._connected()._protocol.send_package
        await send(CPROTO_REQ_INSERT, data, is_binary=True, timeout=REQUEST_TIMEOUT)

    def listed(self, names: Iterable[str]) -> dict[str, Series]:
        """Return those of *names* that are there."""
        found: dict[str, Series] = {}
        for some in _slices(list(names), QUERY_SERIES):
            query = f"list series name, type, start, length {_quoted(some)} limit {len(some)}"
            found |= {name: Series(*rest) for name, *rest in self.query(query)["series"]}
        return found

    def busy(self) -> bool:
        """Return whether the server works on anything but this question."""
        found: int = self.query("show active_tasks")["data"][0]["value"]
        return found > 1

    def all(self, name: str) -> Sequence[Any]:
        """Return all points of a series that is there."""
        found: Sequence[Any] = self.query(f"select * from {quote(name)}")[name]
        return found

    def points(
        self, present: Mapping[str, Series], low: int, high: int
    ) -> Iterator[tuple[str, Iterable[Sequence[Any]]]]:
        """Yield names of *present* with some of their points from *low* to *high*."""
        begun = {name: series for name, series in present.items() if series.start <= high}
        texts = {name: series for name, series in begun.items() if series.type == "string"}
        yield from self._numbers([name for name in begun if name not in texts], low, high)
        yield from self._texts(texts, low, high)

    def _counts(self, names: Iterable[str], where: str) -> dict[str, int]:
        """Return how many points *where* each of *names* has, if any."""
        found: dict[str, int] = {}
        for some in _slices(list(names), QUERY_SERIES):
            counts = self.query(f"select count() from {_quoted(some)} {where}")
            found |= {name: sum(n for _, n in points) for name, points in counts.items() if points}
        return found

    def _numbers(self, names: Sequence[str], low: int, high: int) -> Iterator[tuple[str, Any]]:
        where = f"between {low} and {high + 1}"
        counts = self._counts(names, where)
        names = list(counts)
        if not names:
            return
        if sum(counts.values()) <= SELECT_POINTS and len(names) <= QUERY_SERIES:
            yield from self.query(f"select * from {_quoted(names)} {where}").items()
        elif len(names) > 1:
            half = len(names) // 2
            yield from self._numbers(names[:half], low, high)
            yield from self._numbers(names[half:], low, high)
        elif low < high:
            middle = (low + high) // 2
            yield from self._numbers(names, low, middle)
            yield from self._numbers(names, middle + 1, high)
        else:
            raise _too_many(names[0], counts[names[0]], "at one instant")

    def _texts(
        self, present: Mapping[str, Series], low: int, high: int
    ) -> Iterator[tuple[str, Any]]:
        """
        Do the same with ranges that are open at one end.

        A range within a chunk of texts that holds none of them makes the server crash (2.0.52).
        """
        for name, count in self._counts(present, f"after {low}").items():
            sides = {f"after {low}": count}
            if count > SELECT_TEXTS:
                before = f"before {high + 1}"
                sides[before] = self._counts([name], before).get(name, 0)
                if sum(sides.values()) == present[name].length:
                    continue  # none lies on both sides
            where = min(sides, key=sides.__getitem__)
            if sides[where] > SELECT_POINTS:
                raise _too_many(name, sides[where], where)
            found = self.query(f"select * from {quote(name)} {where}")
            yield name, [point for point in found[name] if low <= point[0] <= high]

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
        # The client would wait for an answer on a connection that was lost between two requests.
        if self._connection is None or not self._connection.connected:
            raise SinkUnavailable(f"SiriDB {self._where}: the connection is lost")
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


def _too_many(name: str, count: int, where: str) -> SinkMisconfigured:
    return SinkMisconfigured(
        f"the series {name!r} has {count} points {where}",
        hint="give 'time' a column that tells them apart, or 'tags'",
    )
