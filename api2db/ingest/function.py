"""A Python function as a source: what it returns or yields are rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core.errors import FormError, SourceError, SourceUnavailable
from api2db.core.types import names_of
from api2db.ingest.chunk import Chunk
from api2db.ingest.function_module import load, parameters, place, summary
from api2db.ingest.function_result import results
from api2db.ingest.native import chunks
from api2db.ingest.source import Request, Response, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.ingest.watermark import Value

logger = logging.getLogger(__name__)

_END = object()

#: Rows that are yielded one by one are stored together: so many, or those of so many seconds.
SINGLES, SINGLES_SECONDS = 1_000, 1.0
#: Rows, and bytes as JSON, that wait in memory for the `Checkpoint` that follows them.
GATHERED_ROWS, GATHERED_BYTES = 100_000, 64 * 2**20
#: Bytes that a `Checkpoint` may have as JSON: it is stored with every record.
CHECKPOINT_BYTES = 2**20


class Checkpoint:
    """
    How far a function has come; yielded after the rows that lead there.

    ::

        def orders(checkpoint):
            page = checkpoint or 0
            while rows := fetch(page):
                page += 1
                yield rows
                yield Checkpoint(page)

    When the function goes on after the ``yield``, the rows and the checkpoint are on disk,
    together. The next call gets the last one as its argument *checkpoint*, None at first.

    Args:
        value: Any JSON value, small: a position, not data.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Checkpoint({self.value!r})"


@dataclass(frozen=True, slots=True)
class Part:
    """
    Rows that are stored together.

    Attributes:
        mark: The checkpoint that they lead to, None for none.
        last: Whether the function has ended.
    """

    rows: Chunk
    mark: Checkpoint | None = None
    last: bool = False


class FunctionSource(Source):
    """
    One function in a project's ``collectors``. Used by one thread at a time.

    Args:
        folder: The project's ``collectors``.
        target: ``module:name``.
        call: The function, where it is at hand: that of a `Collector`. It takes nothing and
            returns an iterator; what it brings last ends the poll in the same part.
    """

    def __init__(
        self,
        folder: Path,
        target: str,
        *,
        clock: Clock,
        call: Callable[[], Iterable[Any]] | None = None,
    ) -> None:
        self._folder = folder
        self._target = target
        self._clock = clock
        self._ends = call is not None
        self._function: Callable[..., Any] | None = call
        self._takes: frozenset[str] = frozenset()

    def prepare(self) -> None:
        """Import the function; raises as `load`."""
        self.load()

    def load(self) -> Callable[..., Any]:
        """Import the function, once; raises ConfigError with file and line."""
        if self._function is None:
            self._function = load(self._folder, self._target)
            self._takes = parameters(self._function, self._target)
        return self._function

    def parts(self, mark: Any, since: Value) -> Generator[Part, None, None]:
        """
        Call the function; yield what it brings, in parts, the last one marked as such.

        A function that takes ``checkpoint``: all rows up to a `Checkpoint` are one part,
        unless they are very many. Other functions: each list or table is a part.

        Args:
            mark: The value of its last checkpoint.
            since: The value from which on rows are new.

        Raises:
            SourceUnavailable: The function failed; says where.
            FormError: It brought what are no rows.
        """
        items = self._items(self.load(), mark, since)
        try:
            if "checkpoint" in self._takes:
                yield from _gathered(items)
            elif self._ends:
                yield from _ended(self._single(items))
            else:
                yield from self._single(items)
        finally:
            items.close()

    # -- the call ----------------------------------------------------------------------

    def _items(
        self, function: Callable[..., Any], mark: Any, since: Value
    ) -> Generator[Any, None, None]:
        """Yield what the function yields; its errors become ours."""
        given = {"checkpoint": mark, "since": since}
        try:
            yield from results(function, {name: given[name] for name in self._takes})
        except (SourceError, GeneratorExit):
            raise
        except (Exception, SystemExit) as exc:
            where = place(exc, self._folder)
            logger.info("function_failed", extra={"function": self._target}, exc_info=exc)
            raise SourceUnavailable(f"{where}: {summary(exc)}") from exc

    def _single(self, items: Iterator[Any]) -> Iterator[Part]:
        """Yield each table as a part, and dicts that come one by one in larger parts."""
        singles, failure = Chunk([]), None
        stored = self._clock.monotonic()
        while True:
            try:
                item = next(items, _END)
            except SourceError as exc:
                item, failure = _END, exc  # once the rows before it are stored
            if isinstance(item, Mapping):
                singles.extend(next(chunks(item)))
                old = self._clock.monotonic() - stored > SINGLES_SECONDS
                if len(singles.values) < SINGLES and not old:
                    continue
            if singles.values and (item is not _END or failure):
                yield Part(singles)
                singles = Chunk([])
            if failure is not None:
                raise failure
            if item is _END:
                break
            if not isinstance(item, Mapping):
                yield from self._table(item)
            stored = self._clock.monotonic()
        yield Part(singles, last=True)

    def _table(self, item: object) -> Iterator[Part]:
        if isinstance(item, Checkpoint):
            raise FormError(
                f"{self._target} yields a Checkpoint but does not take one",
                hint="add the parameter 'checkpoint'",
            )
        types = names_of(item.schema) if self._ends and isinstance(item, pa.Table) else {}
        for chunk in chunks(item):
            chunk.types = types
            yield Part(chunk)

    # -- as any source, for `preview` and `check` -----------------------------------------

    def first(self, since: str | None) -> Request:
        """Return the only request there is."""
        return Request(f"python:{self._target}")

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        """Return None: a function brings all pages itself."""
        return None

    def send(self, request: Request) -> Response:
        """Import the function; it is called when the answer is read."""
        self.load()
        return _Call(self)


class _Call(Response):
    """A call whose first rows are enough."""

    def __init__(self, source: FunctionSource) -> None:
        self._source = source

    def read(self) -> Chunk:
        """Return the first rows that the function brings."""
        parts = self._source.parts(None, None)
        try:
            return next(parts).rows
        finally:
            parts.close()

    def close(self) -> None:
        """Nothing is open."""


def _ended(parts: Iterator[Part]) -> Iterator[Part]:
    """Yield *parts* without the empty one at the end: the one before it is marked as last."""
    held: Part | None = None
    for part in parts:
        if part.last and not part.rows.values and held is not None:
            yield replace(held, last=True)
            return
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held


def _gathered(items: Iterator[Any]) -> Iterator[Part]:
    """Yield all rows up to a checkpoint as one part; in parts if there are very many."""
    rows, size = Chunk([]), 0
    for item in items:
        if isinstance(item, Checkpoint):
            yield Part(rows, _checked(item))
            rows, size = Chunk([]), 0
            continue
        for chunk in chunks(item):
            rows.extend(chunk)
            size += sum(map(len, chunk.raws))
            if len(rows.values) >= GATHERED_ROWS or size >= GATHERED_BYTES:
                yield Part(rows)
                rows, size = Chunk([]), 0
    yield Part(rows, last=True)


def _checked(mark: Checkpoint) -> Checkpoint:
    """Return *mark* with its value as JSON has it."""
    hint = "a checkpoint is a position: a number, a text, or a small dict or list of them"
    try:
        text = json.dumps(mark.value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise FormError(f"the value of a Checkpoint is no JSON: {exc}", hint=hint) from exc
    if len(text) > CHECKPOINT_BYTES:
        raise FormError(f"a Checkpoint has {len(text):,} bytes as JSON", hint=hint)
    return Checkpoint(json.loads(text))
