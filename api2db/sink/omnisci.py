"""
Rows into OmniSci, which is called HeavyDB today.

It has no transactions, but one call loads an Arrow batch as a whole or not at all. So the marker
is part of each row: the column `MARK` says which batch it is of, and before a load is sent, the
table is asked how many rows of its batches it has. Those are left out. Before it is asked for the
first time over a connection, the loads of connections before end: the count would miss theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from heavydb.thrift.ttypes import TDBException

from api2db.core.errors import ConfigError, SinkError, SinkUnavailable
from api2db.core.faults import crash_point
from api2db.sink import omniscicolumn as column_of
from api2db.sink.omnisciclient import Session
from api2db.sink.omniscierrors import translate
from api2db.sink.sql import SqlSink
from api2db.sink.table import Stale

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from api2db.core import types
    from api2db.core.batch import Batch
    from api2db.sink.base import Delivery
    from api2db.sink.table import Target
    from api2db.sink.target import Omnisci

#: Its stubs do not know all of it.
_arrow: Any = pa

#: The column that says which batch a row is of, and for which stream: no other column has its name.
MARK = "_api2db_batch"
_MARK_TYPE = "TEXT ENCODING DICT(32)"
#: Most bytes of Arrow data in one call; Thrift's own limit for a message is 100 MB, HeavyDB's 2 GB.
REQUEST = 48 * 2**20


class OmnisciSink(SqlSink):
    """
    One table of a database.

    Args:
        target: Where, and as whom.
        delivery: Without `upsert` and `replace`: neither can be done as a whole.

    Raises:
        ConfigError: It asks for one of them, or its table has a name that OmniSci has not.
    """

    dialect: ClassVar[types.Dialect] = "omnisci"
    name_limit: ClassVar[int] = column_of.NAME_LIMIT

    def __init__(self, target: Omnisci, delivery: Delivery) -> None:
        refused = "upsert" if delivery.upsert else "replace" if delivery.replace else ""
        if refused:
            raise ConfigError(
                f"streams.{delivery.stream}: OmniSci takes no {refused}: it has no transactions",
                hint="use append",
            )
        super().__init__(delivery)
        self.name = "omnisci"
        self._whole = target
        self._session: Session | None = None
        self._earlier = ""  # the session before, of which the server may still have a load
        self._settled = False  # whether there is none, since this connection was made
        self._marks: list[tuple[str, int]] = []  # of the rows that are loaded, in their order
        self._there: dict[str, int] = {}  # marker -> rows that the table has
        self._parts: list[pa.Table] = []

    # -- connection ----------------------------------------------------------------

    def _connect(self) -> None:
        self._settled = False
        self._session = Session(self._whole)
        self._session.open()
        if self._earlier:
            self._session.end(self._earlier)
        self._earlier = self._session.id

    @property
    def _db(self) -> Session:
        if self._session is None:
            raise SinkUnavailable("not connected")
        return self._session

    def interrupt(self) -> None:
        """Break the connection."""
        session = self._session
        if session is not None:
            session.interrupt()

    def close(self) -> None:
        """Log out."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    # -- markers: they are part of the rows ------------------------------------------

    def _make_ledger(self) -> None:
        """There is none."""

    def _markers(self) -> list[str]:
        return []  # none that could be removed

    def _unmark(self, markers: Sequence[str]) -> None:
        """They stay with their rows."""

    def _insert_markers(self, rows: Mapping[str, int]) -> list[str]:
        if self._known is not None:
            if not self._settled:
                self._db.settle(self.table)
                self._settled = True
            among = ", ".join(f"'{marker.replace(chr(39), chr(39) * 2)}'" for marker in rows)
            query = f"select {MARK}, count(*) from {self.table} where {MARK} in ({among})"
            self._there = dict(self._db.query(f"{query} group by {MARK}"))
        return [marker for marker, n in rows.items() if self._there.get(marker, -1) < n]

    # -- the table -----------------------------------------------------------------

    def _table_parts(self, table: str) -> list[str]:
        if not column_of.is_name(table):
            raise ConfigError(
                f"streams.{self.delivery.stream}: {table!r} cannot be the name of a table",
                hint="write 'table' with small letters, digits and _",
            )
        return [table]

    def _quote(self, name: str) -> str:
        return name  # it needs none, or was refused

    def _idents(self, columns: Iterable[str], known: Collection[str]) -> dict[str, str]:
        return column_of.idents(columns, known)

    def _create(self, columns: Mapping[str, pa.DataType]) -> str:
        columns = {n: t for n, t in columns.items() if not pa.types.is_null(t)}
        idents = self._idents(columns, ())
        lines = [f"  {idents[name]} {self._natural(type_)}" for name, type_ in columns.items()]
        body = ",\n".join([*lines, f"  {MARK} {_MARK_TYPE}"])
        return f"create table if not exists {self.table} (\n{body}\n)"

    def _plan(self, batches: Iterable[Batch]) -> list[Target]:
        targets = super()._plan(batches)
        if self._known is not None and MARK not in self._known:
            self._execute_ddl(f"alter table {self.table} add column {MARK} {_MARK_TYPE}")
            self._known = self._reflected()
        return targets

    def _columns(self) -> dict[str, str] | None:
        return self._db.columns(self.table)

    def _unique_keys(self) -> list[set[str]]:
        return []

    def _kind(self, sql: str, coming: pa.DataType) -> str | None:
        return column_of.kind_of(sql)

    def _any(self, condition: str) -> bool:
        return True

    def _alterable(self) -> bool:
        return False  # a column keeps its type

    def _alter(self, ident: str, kind: str, wider: pa.DataType) -> None:
        raise NotImplementedError(ident)

    def _execute_ddl(self, statement: str) -> None:
        try:
            self._db.query(statement)
        except TDBException as exc:
            if self._known is None or self._columns() == self._known:
                raise
            raise Stale(str(exc.error_msg)) from exc

    # -- the load --------------------------------------------------------------------

    def _begin(self) -> None:
        self._parts, self._there = [], {}

    def _rollback(self) -> None:
        self._parts = []

    def _load(self, batches: Sequence[Batch], targets: Sequence[Target]) -> int:
        self._marks = [(self._marker(batch.id), batch.rows.num_rows) for batch in batches]
        rows = super()._load(batches, targets)
        return rows - sum(self._there.get(marker, 0) for marker, _ in self._marks)

    def _unfit(self, column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
        return column_of.unfit(column, target)

    def _append(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        marks = _arrow.concat_arrays([_arrow.repeat(mark, n) for mark, n in self._marks])
        marks = marks.slice(sum(part.num_rows for part in self._parts))
        n = max(map(len, columns.values()), default=len(marks))
        sent: dict[str, Any] = {
            target.ident: column_of.sent(columns[target.name], target.sql)
            for target in targets
            if target.natural  # the others hold nothing
        }
        self._parts.append(pa.table({**sent, MARK: marks.slice(0, n)}))

    def _upsert(
        self, columns: Mapping[str, pa.ChunkedArray[Any]], targets: Sequence[Target]
    ) -> None:
        raise NotImplementedError

    def _commit(self) -> None:
        """Send what the table has not yet, a piece at a time."""
        if not self._parts:
            return
        left = _left(pa.concat_tables(self._parts), self._marks, self._there)
        for piece in _pieces(left, self.delivery.chunk):
            self._db.load(self.table, piece)
            crash_point("sink.mid_load")

    # -- errors ----------------------------------------------------------------------

    def _translate(self, exc: Exception) -> SinkError:
        where = f"{self._whole.host}:{self._whole.port}"
        interrupted = self._session is not None and self._session.interrupted
        return translate(exc, where, interrupted=interrupted)


def _left(rows: pa.Table, marks: Sequence[tuple[str, int]], there: Mapping[str, int]) -> pa.Table:
    """Return the rows of each batch behind those that are there."""
    if not any(there.get(mark) for mark, _ in marks):
        return rows  # in one piece as they are: they need not be copied
    found, start = [], 0
    for mark, n in marks:
        skipped = there.get(mark, 0)
        found.append(rows.slice(start + skipped, n - skipped))
        start += n
    return pa.concat_tables(found)


def _pieces(rows: pa.Table, chunk: int) -> Iterable[memoryview]:
    """Yield *rows* in streams of one batch each, of at most *chunk* rows and `REQUEST` bytes."""
    n = rows.num_rows
    each = max(1, min(n, chunk or n, int(n * REQUEST / max(1, rows.nbytes))))
    for start in range(0, n, each):
        (batch,) = rows.slice(start, each).combine_chunks().to_batches()
        # Its size is asked for first: a buffer that grows is copied again and again.
        size = pa.MockOutputStream()
        _write(batch, size)
        stream = pa.allocate_buffer(size.size())
        _write(batch, pa.FixedSizeBufferWriter(stream))
        yield memoryview(stream)


def _write(batch: pa.RecordBatch, out: pa.NativeFile) -> None:
    with pa.ipc.new_stream(out, batch.schema) as writer:
        writer.write_batch(batch)
