"""Rows as points: which series each value goes to, at which tick, as which type."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.errors import SinkMisconfigured
from api2db.core.values import instant_us
from api2db.sink.load import as_kind, as_text, where
from api2db.sink.siridbname import LONGEST, beside, series_name
from api2db.sink.siridbpackage import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from api2db.core.batch import Batch

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Type of a series -> the kind as which its values are sent.
_KINDS = {"integer": "int", "float": "float", "string": "str"}
#: The last tick, but for the one behind it, which the end of a range needs.
LAST = 2**63 - 2
_DAY = 86_400_000_000  # microseconds

#: Values of the tag columns, by column; a tag that is NULL is no part of a name.
Tags = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Group:
    """
    Rows of a batch with the same tags.

    Attributes:
        rows: Their numbers, None for all rows of the batch.
    """

    tags: Tags
    rows: list[int] | None = None


@dataclass(slots=True)
class Points:
    """
    The points of one batch.

    Attributes:
        rows: How many rows they were.
        ticks: The first and the last one.
        series: Name -> points, in the order of the rows; a series has at least one.
        bad: Row -> why it cannot be stored.
    """

    id: str
    rows: int
    ticks: tuple[int, int] = (0, 0)
    series: dict[str, Column] = field(default_factory=dict)
    bad: dict[int, str] = field(default_factory=dict)


class Layout:
    """
    Where the values of one batch go: its ticks, its groups, and the names of its series.

    Args:
        unit: Nanoseconds of one tick.
        time: The column of the ticks; None takes the batch's timestamp and the row's number.
    """

    def __init__(
        self, batch: Batch, table: str, tags: tuple[str, ...], time: str | None, unit: int
    ) -> None:
        self.batch = batch
        self.table = table
        self.points = Points(batch.id, batch.rows.num_rows)
        self.ticks = self._ticks(time, unit)
        self.points.ticks = int(self.ticks.min()), int(self.ticks.max())
        self.groups = list(self._groups(tags))
        reserved = {*tags, time}
        self.columns = [name for name in batch.rows.schema.names if name not in reserved]
        self.names = {
            (i, column): series_name(table, group.tags, column)
            for i, group in enumerate(self.groups)
            for column in self.columns
        }
        for (i, column), name in self.names.items():
            if len(name.encode()) > LONGEST - len("|integer"):
                self._refuse(self.groups[i], f"{column}: the name of its series is too long")

    def _ticks(self, time: str | None, unit: int) -> np.ndarray[Any, Any]:
        n, bad = self.batch.rows.num_rows, self.points.bad
        if time is None:
            return (self.batch.timestamp_ns + np.arange(n, dtype=np.int64)) // unit
        at = self.batch.rows.schema.get_field_index(time)
        if at < 0:
            bad |= dict.fromkeys(range(n), f"the time {time!r} is missing")
            return np.zeros(n, np.int64)
        column = self.batch.rows.column(at)
        found = _ticks_of(column, time, unit)
        for i, tick in enumerate(found):
            if tick is None and column[i].is_valid:
                bad[i] = f"the time {time!r} is no RFC 3339 time with a zone, and no whole number"
            elif tick is None:
                bad[i] = f"the time {time!r} is NULL"
            elif not 0 <= tick <= LAST:
                bad[i] = f"the time {time!r} is before 1970, or too late for SiriDB"
        return np.array([0 if i in bad else tick for i, tick in enumerate(found)], np.int64)

    def _groups(self, tags: tuple[str, ...]) -> Iterator[Group]:
        schema = self.batch.rows.schema
        present = [tag for tag in tags if schema.get_field_index(tag) >= 0]
        if not present:
            yield Group(())
            return
        columns = [as_text(_typed(self.batch.rows.column(tag))).to_pylist() for tag in present]
        rows: dict[tuple[Any, ...], list[int]] = {}
        for i, values in enumerate(zip(*columns, strict=True)):
            rows.setdefault(values, []).append(i)
        for values, numbers in rows.items():
            named = zip(present, values, strict=True)
            yield Group(tuple((tag, v) for tag, v in named if v is not None), numbers)

    def _refuse(self, group: Group, reason: str) -> None:
        rows = group.rows if group.rows is not None else range(self.points.rows)
        self.points.bad |= dict.fromkeys(rows, reason)

    def fill(self, types_: Mapping[str, str], *, evolve: bool) -> Points:
        """
        Return the points.

        Args:
            types_: The type of each series that `places` gave, present or to be made.
        """
        sent: dict[tuple[str, str], tuple[Column, Any, dict[int, str]]] = {}
        for (i, column), name in self.names.items():
            array = self.batch.rows.column(column)
            if array.null_count == len(array):
                continue
            suffix, type_ = place(types_[name], array.type, evolve=evolve)
            target = beside(name, suffix) if suffix else name
            if not type_ or (suffix and types_.get(target, suffix) != suffix):
                self._misfit(column, array, self.groups[i], types_[name])
                continue
            if (column, type_) not in sent:
                values, bad = _sent(array, type_, column)
                valid = _numpy(values.is_valid()) if values.null_count else None
                sent[column, type_] = Column(self.ticks, _numpy(values)), valid, bad
            self._add(target, self.groups[i], *sent[column, type_])
        return self.points

    def _add(
        self, name: str, group: Group, points: Column, valid: Any, bad: dict[int, str]
    ) -> None:
        if bad:
            refused = bad if group.rows is None else set(bad).intersection(group.rows)
            for row in refused:
                self.points.bad.setdefault(row, bad[row])
        rows: Any = slice(None)
        if group.rows is not None:
            rows = np.array(group.rows)
            rows = rows if valid is None else rows[valid[rows]]
        elif valid is not None:
            rows = valid
        if len(points := points[rows]):
            self.points.series[name] = points

    def _misfit(self, column: str, array: Any, group: Group, type_: str) -> None:
        reason = f"{column}: the series holds {type_}, this is {types.kind_of(array.type)}"
        rows = where(array.is_valid())
        if group.rows is not None:
            rows = sorted(set(rows).intersection(group.rows))
        for row in rows:
            self.points.bad.setdefault(row, reason)


def place(held: str, type_: pa.DataType, *, evolve: bool = True) -> tuple[str, str]:
    """
    Return where a value of *type_* goes that belongs into a series of type *held*.

    The suffix of the series beside it, "" for the series itself, and the type as which it is
    sent; "" if it is refused. A column widens as `core.widening` says, into a series beside; where
    it must not (*evolve*), whole numbers go into the series of integers, and the rest is refused.
    """
    kind, wanted = types.kind_of(type_), types.sql_type(type_, "siridb")
    if held in (wanted, "string"):
        return "", held
    if (held, kind) == ("float", "int"):
        return "", held
    if not evolve:
        return ("", held) if held == "integer" and kind in ("float", "decimal") else ("", "")
    if kind in ("decimal", "json") or (held, kind) == ("integer", "float"):
        return wanted, wanted
    return "", ""


def suffixes(layouts: Iterable[Layout], held: Mapping[str, str]) -> set[str]:
    """Return the series beside those of *held* (-> type) that *layouts* have values for."""
    found = set()
    for layout in layouts:
        for (_, column), name in layout.names.items():
            array = layout.batch.rows.column(column)
            if array.null_count < len(array):
                suffix, _ = place(held[name], array.type)
                if suffix:
                    found.add(beside(name, suffix))
    return found


def _ticks_of(array: Any, time: str, unit: int) -> list[int | None]:
    """
    Return instants as ticks, and whole numbers, which are ticks already; None for what is neither.

    A column that has had anything else once is one of texts: its instants are read from these.
    """
    kind = types.kind_of(_typed(array).type)
    if kind == "int":
        ticks: list[int | None] = array.cast(pa.int64()).to_pylist()
        return ticks
    if kind in ("float", "decimal"):
        numbers = array.to_pylist()
        return [int(n) if n is not None and isfinite(n) and n == int(n) else None for n in numbers]
    if kind not in ("datetime", "date", "str"):
        hint = "name a column of instants in 'time'; the rows wait"
        raise SinkMisconfigured(f"the time {time!r} holds {kind}", hint=hint)
    if kind == "str":
        micros = [t if t is None else instant_us(t) for t in _typed(array).to_pylist()]
    elif kind == "date":
        micros = [d if d is None else d * _DAY for d in array.cast(pa.int32()).to_pylist()]
    else:
        plain = array.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64())
        micros = plain.to_pylist()
    return [m if m is None else m * 1_000 // unit for m in micros]


def _sent(array: Any, type_: str, column: str) -> tuple[Any, dict[int, str]]:
    """Return the values of *array* as a series of *type_* takes them, and what does not fit."""
    if type_ == "integer" and pa.types.is_boolean(array.type):
        return array.cast(pa.int64()), {}
    values, bad = as_kind(array, _KINDS[type_], column)
    if type_ == "string":
        cut = _kernel.match_substring(values, "\0").fill_null(False)
        bad |= dict.fromkeys(where(cut), f"{column}: SiriDB cuts a text at NUL")
    return values, bad


def _numpy(array: Any) -> np.ndarray[Any, Any]:
    """Return the values of *array*, bits as they are; what a NULL becomes is of no meaning."""
    if array.null_count and not pa.types.is_string(array.type):
        array = array.fill_null(0)
    values: np.ndarray[Any, Any] = array.to_numpy(zero_copy_only=False)
    return values


def _typed(array: Any) -> Any:
    return array.cast(pa.string()) if pa.types.is_null(array.type) else array
