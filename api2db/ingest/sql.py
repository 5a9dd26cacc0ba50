"""
A database as a source: pages of a table or query, in the order of (cursor column, key).

Each page is a statement of its own, ``where (cursor, key) > (last row of the page before)
order by cursor, key limit page_size``, in a read-only transaction: rows that are inserted or
deleted meanwhile move no page, and a poll that was cut off goes on behind its last row.

Rows that commit later than rows with a greater cursor value are seen as long as they are
within `since.lag`: that much is read again, and what was taken before is left out.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from api2db.core.backoff import Backoff
from api2db.core.errors import FormError, SourceError, SourceUnavailable
from api2db.ingest import sql_engine, sql_table, sql_value
from api2db.ingest.chunk import Chunk
from api2db.ingest.native_value import native
from api2db.ingest.source import Request, Response, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from api2db.core.clock import Clock
    from api2db.ingest.sql_table import Origin

logger = logging.getLogger(__name__)

#: Bytes of texts that end a page early: very long rows come in smaller pages.
PAGE_BYTES = 64 * 2**20
#: Rows that the driver fetches at a time.
FETCH = 1_000


class SqlSource(Source):
    """
    One table, view or query. Used by one thread at a time; `close` may come from another.

    Args:
        url: SQLAlchemy URL.
        folder: Where relative paths begin.
        table: Name, perhaps with a schema before a dot; or else
        query: A ``select``.
        key: Columns that are together unique and never NULL; none: the primary key.
        cursor: The column by which rows are new, None to read all in each poll.
        page_size: Rows of a page, at most.
        timeout: For one page, in seconds.
        retries: Tries after the first, per page, where the connection broke.
        stop: Ends every wait.
    """

    def __init__(
        self,
        url: str,
        *,
        folder: Path,
        clock: Clock,
        stop: threading.Event,
        table: str | None = None,
        query: str | None = None,
        key: Sequence[str] = (),
        cursor: str | None = None,
        page_size: int = 10_000,
        timeout: float = 30.0,
        retries: int = 5,
        backoff: Backoff | None = None,
    ) -> None:
        self._backoff = backoff or Backoff()
        self._engine = sql_engine.make_engine(url, folder, timeout=timeout)
        self._where = sql_engine.shown(self._engine)
        self._table = table
        self._query = query
        self._key = tuple(key)
        self._cursor = cursor
        self._page_size = page_size
        self._timeout = timeout
        self._retries = retries
        tries = 2 * (timeout + sql_engine.GRACE + sql_engine.CONNECT) * (retries + 1)
        self.patience = tries + self._backoff.maximum * retries
        self._clock = clock
        self._stop = stop
        self._origin: Origin | None = None
        self._busy: Connection | None = None
        self._closed = False
        self._told_of_null = False

    def first(self, since: str | None) -> Request:
        """Return the request of the first page."""
        return Request("sql:", () if since is None else (("since", since),))

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        """Return the request of the page behind the row that *cursor* names."""
        if cursor is None:
            return None
        return Request("sql:", (*self.first(since).params, ("after", str(cursor))))

    def send(self, request: Request) -> Response:
        """Connect and reflect, if that is due; the page is read by `Response.read`."""
        if self._origin is None or "after" not in dict(request.params):
            self._tried(self._reflect)
        return _Page(self, request)

    def types(self) -> dict[str, str]:
        """Return the types of the columns as the database describes them; {} for a query."""
        if self._origin is None:
            self._tried(self._reflect)
        assert self._origin is not None
        return dict(self._origin.types)

    def close(self) -> None:
        """Break off what is under way, and close the connection."""
        self._closed = True
        if (busy := self._busy) is not None:
            sql_engine.interrupt(busy)
        else:
            self._engine.dispose()

    # -- one statement -----------------------------------------------------------------

    def _tried(self, work: Callable[[Connection], Any]) -> Any:
        """Do *work* in a read-only transaction; again if the connection breaks."""
        tries = 0
        while True:
            tries += 1
            try:
                with self._connected() as connection:
                    return work(connection)
            except SourceError as exc:
                error, again = exc, False
            except SQLAlchemyError as exc:
                error = sql_engine.unavailable(self._where, exc, self._timeout)
                error.__cause__ = exc
                again = sql_engine.passing(exc)
            delay = self._backoff.delay(tries)
            if not again or self._closed or tries > self._retries:
                raise error
            fields = {"error": str(error), "try": tries, "delay": round(delay, 3)}
            logger.info("request_retried", extra=fields)
            if self._clock.wait(self._stop, delay):
                raise error

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        """Connect, with a watch on the time: a stopped server would never answer."""
        if self._closed:
            raise SourceUnavailable(f"{self._where}: the source is closed")
        sql_engine.present(self._engine)
        with self._engine.connect() as connection:
            self._busy = connection
            longest = self._timeout + sql_engine.GRACE
            watch = threading.Timer(longest, sql_engine.interrupt, [connection])
            watch.daemon = True
            watch.start()
            try:
                sql_engine.limit(connection, self._timeout)
                yield connection
            except SQLAlchemyError:
                connection.invalidate()
                raise
            finally:
                watch.cancel()
                self._busy = None

    def _reflect(self, connection: Connection) -> None:
        if self._table is not None:
            origin = sql_table.reflect_table(connection, self._table, self._key, self._cursor)
        else:
            assert self._query is not None
            origin = sql_table.wrap_query(connection, self._query, self._key, self._cursor)
        self._origin = origin

    def _no_nulls(self, connection: Connection, origin: Origin) -> None:
        """See to it that NULL hides no row: neither key nor cursor column may be NULL."""
        for name in origin.nullable:
            if name == self._cursor and self._told_of_null:
                continue
            if connection.execute(sql_table.any_null(origin, name)).first() is None:
                continue
            if name != self._cursor or name in self._key:
                hint = "name columns without NULL as 'key'"
                raise FormError(f"{self._where}: the key {name!r} is NULL somewhere", hint=hint)
            self._told_of_null = True
            fields = {
                "column": name,
                "consequence": "rows whose value is NULL are not read",
                "hint": "fill the column, or use 'query' with coalesce(...)",
            }
            logger.error("since_field_null", extra=fields)

    # -- one page ----------------------------------------------------------------------

    def _page(self, connection: Connection, request: Request) -> Chunk:
        origin, asked = self._origin, dict(request.params)
        assert origin is not None
        after = sql_value.load(asked["after"]) if "after" in asked else None
        if after is None:
            self._no_nulls(connection, origin)
        since = None if after else self._lowest(connection, origin, asked.get("since"))
        statement = sql_table.page(origin, since=since, after=after, limit=self._page_size + 1)
        result = connection.execution_options(yield_per=FETCH).execute(statement)
        width = len(origin.keyset)
        names = list(result.keys())[:-width]
        if len(set(names)) < len(names):
            hint = "give each column of 'query' a name of its own"
            raise FormError(f"{self._where}: two columns have one name", hint=hint)
        rows: list[dict[str, Any]] = []
        keysets: list[tuple[Any, ...]] = []
        size, more = 0, False
        for record in result:
            values, keyset = record[:-width], tuple(record[-width:])
            if keysets and keyset == keysets[-1]:
                key = ", ".join(origin.keyset)
                hint = "name a unique 'key': the primary key, or several columns"
                raise FormError(f"{self._where}: rows have the same ({key})", hint=hint)
            more = len(rows) == self._page_size or size >= PAGE_BYTES
            if more:
                break
            rows.append(self._row(names, values, origin))
            keysets.append(keyset)
            size += sum(len(v) for v in values if isinstance(v, (str, bytes)))
        result.close()
        since_values = None
        if self._cursor is not None:
            since_values = [self._ordered(keyset[0], connection) for keyset in keysets]
        following = sql_value.dump(keysets[-1]) if more else None
        return Chunk(rows, since_values, following)

    def _lowest(self, connection: Connection, origin: Origin, since: str | None) -> Any:
        """Return *since* in the type of the cursor column; None to read all."""
        if since is None or self._cursor is None:
            return None
        like = connection.execute(sql_table.any_value(origin, self._cursor)).scalar()
        return None if like is None else sql_value.for_database(since, like)

    def _ordered(self, value: Any, connection: Connection) -> Any:
        if isinstance(value, str) and connection.dialect.name != "sqlite":
            raise FormError(
                f"{self._where}: since: {self._cursor!r} is text, whose order is not ours",
                hint="name a column of whole numbers, dates or times",
            )
        return sql_value.since_of(value)

    def _row(self, names: list[str], values: Sequence[Any], origin: Origin) -> dict[str, Any]:
        if origin.raw:
            types = origin.types
            values = [
                sql_value.from_sqlite(value, types[name])
                for name, value in zip(names, values, strict=True)
            ]
        return {name: _value(value) for name, value in zip(names, values, strict=True)}


def _value(value: Any) -> Any:
    """Return what a database holds as `Chunk` has it; what has no better form, as text."""
    try:
        return native(value)
    except TypeError:
        return str(value)


class _Page(Response):
    """A page that is read when it is needed."""

    def __init__(self, source: SqlSource, request: Request) -> None:
        self._source = source
        self._request = request

    def read(self) -> Chunk:
        """Run the statement and return its rows."""
        page: Chunk = self._source._tried(lambda c: self._source._page(c, self._request))
        return page

    def close(self) -> None:
        """Nothing is open between pages."""
