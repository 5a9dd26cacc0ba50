"""Columns of MariaDB and MySQL: what they hold, and what they would alter silently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.errors import SinkMisconfigured
from api2db.sink.exact import inexact_decimals, inexact_json
from api2db.sink.load import outside, where

if TYPE_CHECKING:
    from collections.abc import Callable

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: First and last instant and day of the years 1000 to 9999, in microseconds and days since 1970.
INSTANTS = (-30_610_224_000_000_000, 253_402_300_799_999_999)
DAYS = (-354_285, 2_932_896)

_WIDTH = re.compile(r"^((?:tiny|small|medium|big)?int)\(\d+\)")
_PARTS = re.compile(r"(\w+)(?:\((.*?)\))?( unsigned)?( zerofill)?", re.DOTALL)
_INTS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_AS_READ = frozenset({"enum", "uuid", "inet4", "inet6"})


@dataclass(frozen=True, slots=True)
class Column:
    """
    What the catalog says of a column.

    Attributes:
        sql: Its type, in the spelling of MySQL 9: ``bigint``, ``json``, ``varchar(255)``.
        size: Most characters (or, of a text type, bytes) that it holds; None: no text.
        plain: Nothing is said of it but its type: no default, no comment, no NOT NULL outside
            of the primary key; so it can be made anew.
    """

    sql: str
    size: int | None
    plain: bool


def spelled(column_type: str) -> str:
    """Return a type of the catalog without widths for display: ``bigint(20)`` is ``bigint``."""
    lower = column_type.lower()
    if lower.startswith("enum"):
        return "enum" + column_type[4:]  # its values keep their case
    return lower if lower == "tinyint(1)" else _WIDTH.sub(r"\1", lower)


def _parts(sql: str) -> tuple[str, str, bool]:
    """Return base, what stands in its brackets, and whether it is unsigned."""
    match = _PARTS.match(sql)
    assert match is not None
    return match[1], match[2] or "", bool(match[3])


def kind_of_column(sql: str, column: str) -> str:
    """
    Return the kind of values that are sent to a column.

    Raises:
        SinkMisconfigured: Values of this type cannot be sent without being altered.
    """
    base, _, unsigned = _parts(sql)
    if sql == "tinyint(1)":
        return "bool"
    if digits_of(sql) is not None:
        return "decimal"
    if base in _INTS:
        return "decimal" if base == "bigint" and unsigned else "int"
    if base in ("float", "double"):
        return "float"
    if base in _TEXTS or base in _AS_READ:
        return "str"
    if base in ("datetime", "timestamp"):
        return "datetime"
    if base in ("date", "json"):
        return base
    raise SinkMisconfigured(
        f"the column {column} has the type {sql}, to which nothing is written",
        hint="give it another type, or leave it out with 'columns'",
    )


def digits_of(sql: str) -> tuple[int, int] | None:
    """Return precision and scale of a type of fixed digits, None of any other."""
    base, inner, unsigned = _parts(sql)
    if base == "bigint" and unsigned:
        return 20, 0
    if base not in ("decimal", "float", "double") or (base != "decimal" and "," not in inner):
        return None
    precision, _, scale = inner.partition(",")
    return int(precision), int(scale or 0)


def unfit(array: Any, name: str, kind: str, column: Column, *, exact_json: bool) -> dict[int, str]:
    """
    Return the rows of *array* (n values of *kind*) that a column would alter, with reasons.

    Args:
        name: The batch's column, for the reasons.
        exact_json: Whether the server keeps JSON as its text; else numbers become doubles.
    """
    if kind == "json":
        return {} if exact_json else inexact_json(array, name, "json")
    check = _CHECKS.get(kind)
    return {} if check is None else check(array, name, column)


def _float(array: Any, name: str, column: Column) -> dict[int, str]:
    finite = _kernel.is_finite(array)
    bad = _reasons(_kernel.invert(finite), f"{name}: there is no NaN and no infinity here")
    if column.sql.startswith("float") and not bad:
        short = array.cast(pa.float32()).cast(pa.string()).cast(pa.float64())
        bad = _reasons(_kernel.not_equal(array, short), f"{name}: a float would round it")
    return bad


def _decimal(array: Any, name: str, column: Column) -> dict[int, str]:
    fixed = digits_of(column.sql)
    assert fixed is not None
    return inexact_decimals(array, name, column.sql, *fixed)


def _instant(array: Any, name: str, column: Column) -> dict[int, str]:
    bad = outside(array, INSTANTS, f"{name}: only the years 1000 to 9999 can be stored")
    places = int(_parts(column.sql)[1] or 0)
    if places < 6 and not bad:
        us = array.cast(pa.timestamp("us")).cast(pa.int64())
        unit = pa.scalar(10 ** (6 - places), pa.int64())
        rest = _kernel.subtract(us, _kernel.multiply(_kernel.divide(us, unit), unit))
        bad = _reasons(_kernel.not_equal(rest, 0), f"{name}: a {column.sql} would round it")
    return bad


def _day(array: Any, name: str, _column: Column) -> dict[int, str]:
    return outside(array, DAYS, f"{name}: only the years 1000 to 9999 can be stored")


def _string(array: Any, name: str, column: Column) -> dict[int, str]:
    base, inner, _ = _parts(column.sql)
    reason = f"{name}: a {column.sql} cannot hold it"
    if base == "enum":
        members = pa.array([m.replace("''", "'") for m in re.findall(r"'((?:[^']|'')*)'", inner)])
        known = _kernel.is_in(array, value_set=members)
        return _reasons(_kernel.and_(array.is_valid(), _kernel.invert(known)), reason)
    if base not in _TEXTS or column.size is None:
        return {}
    length = _kernel.binary_length if base.endswith("text") else _kernel.utf8_length
    bad = _reasons(_kernel.greater(length(array), column.size), reason)
    if base == "char":
        cut = _kernel.match_substring_regex(array, " $")
        bad |= _reasons(cut, f"{name}: a {column.sql} would cut off the space at its end")
    return bad


_CHECKS: dict[str, Callable[[Any, str, Column], dict[int, str]]] = {
    "float": _float,
    "decimal": _decimal,
    "datetime": _instant,
    "date": _day,
    "str": _string,
}


def _reasons(mask: Any, reason: str) -> dict[int, str]:
    mask = mask.fill_null(False)
    return dict.fromkeys(where(mask.combine_chunks()), reason)
