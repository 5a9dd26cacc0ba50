"""
Rows into SiriDB: each column a series, each value a point, once.

The server has no transactions, stores a point that comes twice twice, and removes none. So a load
goes in three steps: the ledger says which batches come, and which equal points were there before;
the points are inserted, and the server is made to write them down; they are counted. Only then
has the load landed. A batch that the ledger knows is read back first, and what is missing is
inserted: that is exact as long as nobody else writes into its series.
"""

from __future__ import annotations

import itertools
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkUnavailable, SinkUnknown
from api2db.core.faults import crash_point
from api2db.core.types import sql_type
from api2db.sink.base import Delivery, Landed, Sink
from api2db.sink.load import columns_of, filled_in, reject
from api2db.sink.newtable import check_new
from api2db.sink.siridbclient import Client
from api2db.sink.siridbdiff import Have, equal, key_of, missing
from api2db.sink.siridbledger import LEDGER, SEAL, Ledger
from api2db.sink.siridbname import column_pattern, escape, table_pattern
from api2db.sink.siridbpackage import joined
from api2db.sink.siridbpoints import Layout, Points, suffixes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from api2db.core.batch import Batch
    from api2db.sink.siridbclient import Series
    from api2db.sink.siridbledger import Base
    from api2db.sink.siridbpackage import Column
    from api2db.sink.target import Siridb

logger = logging.getLogger(__name__)


#: Seconds until a batch that is known is looked at again, while the server works.
BUSY_WAIT = 0.5


class SiridbSink(Sink):
    """The series of one table."""

    name = "siridb"

    def __init__(self, target: Siridb, delivery: Delivery) -> None:
        _refuse(delivery, target)
        self.target = target
        self.delivery = delivery
        self._client = Client(target)
        self._ledger = Ledger(self._client, delivery)
        self._columns: set[str] = set()
        self._ignored: set[str] = set()

    @property
    def place(self) -> str:
        """The names of the series, for people."""
        tags = (f"{escape(tag)}=<{tag}>" for tag in self.target.tags)
        return "|".join((escape(self.delivery.table), *tags, "<column>"))

    # -- the sink --------------------------------------------------------------------

    def open(self) -> None:
        """Log in, and read the ledger."""
        with self._edge():
            self._client.open()
            self._ledger.read()
            self._check_new()

    def write(
        self,
        batches: Sequence[Batch],
        *,
        forget: Collection[str] = (),
        commit: bool = True,
    ) -> Landed:
        """Land *batches*; a rehearsal only looks for rows that cannot be stored."""
        with self._edge():
            full = [batch for batch in batches if batch.rows.num_rows]
            load = self._points(self._kept(full)) if full else []
            if not commit:
                return Landed(sum(points.rows for points in load))
            return self._land(batches, load, forget)

    def landed(self) -> frozenset[str]:
        """Return the ids of this delivery's batches that the ledger knows."""
        return frozenset(self._ledger.intents)

    def forget(self, ids: Collection[str]) -> None:
        """Take *ids* out of the ledger."""
        if ids:
            with self._edge():
                self._ledger.forget(ids)

    def interrupt(self) -> None:
        """Break off the request under way."""
        self._client.interrupt()

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    # -- one load --------------------------------------------------------------------

    def _land(
        self, batches: Sequence[Batch], load: Sequence[Points], forget: Collection[str]
    ) -> Landed:
        known = {batch.id for batch in batches if batch.id in self._ledger.intents}
        if known and self._client.busy():
            # The insert of a life that was killed may still go on: it must not be read half.
            text = "SiriDB may still work on an insert that was broken off"
            raise SinkUnavailable(text, retry_after=BUSY_WAIT)
        present = self._client.listed({name: None for points in load for name in points.series})
        have = self._have(load, present, again=bool(known))
        todo, base, landed = self._todo(load, have)
        crash_point("sink.before_marker")
        fresh = [batch for batch in batches if batch.id not in known]
        self._ledger.add(fresh, base, set(forget) - known)
        crash_point("sink.after_marker")
        if todo or known:  # what an earlier life inserted may not be written down either
            self._ledger.insert(todo)
        crash_point("sink.mid_load")
        crash_point("sink.before_commit")
        self._verify(todo, present)
        crash_point("sink.after_commit")
        empty = {batch.id for batch in batches if not batch.rows.num_rows}
        rows = sum(points.rows for points in load if points.id not in landed)
        return Landed(rows, frozenset(landed | (known & empty)))

    def _have(
        self, load: Sequence[Points], present: Mapping[str, Series], *, again: bool
    ) -> dict[str, Have]:
        """
        Return what the series of *load* hold in its range of ticks, where that matters.

        A series that holds nothing there is left out, unless equal points may come within the load.
        """
        low, high = _range(load)
        have: dict[str, Have] = {}
        if again or _overlap(load):
            have = {name: Have() for points in load for name in points.series}
        for name, points in self._client.points(present, low, high):
            have.setdefault(name, Have()).update(map(key_of, points))
        return have

    def _todo(
        self, load: Sequence[Points], have: Mapping[str, Have]
    ) -> tuple[dict[str, Column], dict[str, Base], set[str]]:
        """Return what is to be inserted, what equal points were there, and who has landed."""
        todo: dict[str, list[Column]] = {}
        bases: dict[str, Base] = {}
        landed = set()
        for batch in load:
            intent = self._ledger.intents.get(batch.id)
            base: Base = {}
            whole = True
            for name, points in batch.series.items():
                there = have.get(name)
                some = points
                if intent is not None:
                    assert there is not None
                    some = missing(points, there, intent.base.get(name, ()))
                elif there and (known := equal(points, there)):
                    base[name] = known
                if there is not None:
                    there.update(map(key_of, some))
                if len(some):
                    todo.setdefault(name, []).append(some)
                    whole = False
            if intent is None:
                bases[batch.id] = base
            elif whole:
                landed.add(batch.id)
        return {name: joined(some) for name, some in todo.items()}, bases, landed

    def _verify(self, todo: Mapping[str, Column], before: Mapping[str, Series]) -> None:
        """Raise `SinkUnknown` unless every point is there: the next attempt adds what is not."""
        now = self._client.listed(todo)
        lost = 0
        for name, points in todo.items():
            due = len(points) + (before[name].length if name in before else 0)
            lost += max(0, due - (now[name].length if name in now else 0))
        if lost:
            raise SinkUnknown(f"SiriDB acknowledged {lost} points that it does not have")

    # -- rows into points ------------------------------------------------------------

    def _points(self, batches: Sequence[Batch]) -> list[Points]:
        """Return the points of *batches*, each with rows; raises for rows that cannot be stored."""
        target, table = self.target, self.delivery.table
        layouts = [
            Layout(batch, table, target.tags, target.time, self._client.unit) for batch in batches
        ]
        columns = columns_of(batches)
        wanted = {name: column for one in layouts for (_, column), name in one.names.items()}
        held = {name: series.type for name, series in self._client.listed(wanted).items()}
        for name, column in wanted.items():
            if name not in held:
                held[name] = sql_type(columns[column], "siridb") if _has(columns[column]) else ""
        extra = suffixes(layouts, held)
        held |= {name: series.type for name, series in self._client.listed(extra).items()}
        evolve = self.delivery.schema == "evolve"
        load = [layout.fill(held, evolve=evolve) for layout in layouts]
        reject(batches, _numbered(load))
        return load

    def _kept(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Return *batches* without what ``schema: ignore`` leaves out; refuse what is frozen."""
        if self.delivery.schema == "evolve":
            return batches
        new = self._unknown({name for batch in batches for name in batch.rows.schema.names})
        if self.delivery.schema == "freeze":
            reject(batches, filled_in(batches, new))
        elif told := sorted(new - self._ignored):
            self._ignored |= new
            fields = {"table": self.delivery.table, "columns": told}
            logger.warning("columns_ignored", extra=fields)
        kept = []
        for batch in batches:
            names = [name for name in batch.rows.schema.names if name not in new]
            kept.append(batch.with_rows(batch.rows.select(names)))
        return kept

    def _unknown(self, names: set[str]) -> set[str]:
        """Return those of *names* that the table lacks; none, if there is no table yet."""
        table = self.delivery.table
        if not self._count(table_pattern(table)):
            self._columns = set()
            return set()
        names = names - {*self.target.tags, self.target.time} - self._columns
        new = {name for name in names if not self._count(column_pattern(table, name))}
        self._columns |= names - new
        return new

    def _count(self, pattern: str) -> int:
        found: int = self._client.query(f"count series {pattern}")["series"]
        return found

    def _check_new(self) -> None:
        """Refuse a table that was there before, where it must be new."""
        if self.delivery.must_be_new is not None:
            there = self._count(table_pattern(self.delivery.table)) > 0
            check_new(self.delivery, exists=there)

    @contextmanager
    def _edge(self) -> Iterator[None]:
        """Translate what is no error of the client: a type that has no place."""
        try:
            yield
        except ConfigError as exc:
            raise SinkMisconfigured(exc.args[0], hint=exc.hint) from exc


def _refuse(delivery: Delivery, target: Siridb) -> None:
    """Raise `ConfigError` for what SiriDB cannot do."""
    stream = f"streams.{delivery.stream}"
    if delivery.upsert or delivery.replace:
        what = "upsert" if delivery.upsert else "replace"
        raise ConfigError(
            f"{stream}: SiriDB cannot {what}: it neither changes nor removes a point",
            hint="use append; a changed row comes as a point of its own time",
        )
    if delivery.table in (LEDGER, SEAL):
        raise ConfigError(f"{stream}: {delivery.table!r} is a name of ours", hint="take another")
    if target.time in target.tags:
        raise ConfigError(f"{stream}: {target.time!r} cannot be time and tag", hint="choose one")


def _has(type_: Any) -> bool:
    return str(type_) != "null"


def _range(load: Sequence[Points]) -> tuple[int, int]:
    """Return the first and the last tick of *load*."""
    ends = [points.ticks for points in load if points.series]
    return min((low for low, _ in ends), default=0), max((high for _, high in ends), default=0)


def _overlap(load: Sequence[Points]) -> bool:
    """Return whether two batches of *load* have ticks in the same range."""
    ranges = sorted(points.ticks for points in load if points.series)
    return any(later[0] <= earlier[1] for earlier, later in itertools.pairwise(ranges))


def _numbered(load: Sequence[Points]) -> dict[int, str]:
    """Return the bad rows of *load*, numbered through."""
    bad: dict[int, str] = {}
    start = 0
    for points in load:
        bad |= {start + row: reason for row, reason in points.bad.items()}
        start += points.rows
    return bad
