"""Columns of OmniSci: their names and types, what they would alter, and how they are sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.errors import SinkMisconfigured
from api2db.sink.exact import inexact_decimals
from api2db.sink.identifier import hashed
from api2db.sink.load import where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from api2db.sink.table import Target

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Behind each of our columns' names: so none of them is a word of OmniSci's.
SUFFIX = "_t"
#: Most characters of a name.
NAME_LIMIT = 63
#: Most bytes of a text; a longer one ends the server.
TEXT_LIMIT = 2**15 - 1
#: The value that stands for NULL in a column of doubles, or of floats.
_NULL = {"DOUBLE": 2.0**-1022, "FLOAT": 2.0**-126}

_NAME = re.compile(r"[a-z_][0-9a-z_]*")
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64}
_INTEGERS = {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}
_INSTANTS: dict[str, pa.DataType] = {
    "0": pa.timestamp("s"),
    "3": pa.timestamp("ms"),
    "6": pa.timestamp("us"),
    "9": pa.timestamp("ns"),
}
_OTHERS: dict[str, pa.DataType] = {
    "DOUBLE": pa.float64(),
    "FLOAT": pa.float32(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "TEXT": pa.string(),
}
_KINDS = {
    **dict.fromkeys(_BITS, "int"),
    **dict.fromkeys(_NULL, "float"),
    "BOOLEAN": "bool",
    "TEXT": "str",
    "TIMESTAMP": "datetime",
    "DATE": "date",
    "DECIMAL": "decimal",
}
_TYPE = re.compile(
    r"(?P<name>\w+)(?:\((?P<size>\d+)(?:,(?P<scale>\d+))?\))?"
    r"(?: ENCODING (?:FIXED|DAYS)\((?P<bits>\d+)\)| ENCODING \w+(?:\(\d+\))?)?(?P<full> NOT NULL)?"
)


def is_name(name: str) -> bool:
    """Return whether *name* can be that of a table, if it is no word of OmniSci's."""
    return len(name) <= NAME_LIMIT and _NAME.fullmatch(name) is not None


def idents(names: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """
    Return the column of each of *names*, all different; the order of *names* does not matter.

    OmniSci takes ``A`` and ``a`` for one name. The small one keeps it, and the other one has it
    only while it is alone.

    Args:
        known: Columns of the table.

    Raises:
        SinkMisconfigured: Two names have one hash.
    """
    wanted = list(dict.fromkeys(names))
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(wanted, key=lambda name: (name.lower() != name, name)):
        ident, apart = name.lower() + SUFFIX, _apart(name)
        plain = name.isascii() and is_name(ident)
        if not plain or ident in taken or (name != name.lower() and apart in known):
            ident = apart
        taken.add(ident)
        found[name] = ident
    if len(taken) < len(found):
        raise SinkMisconfigured(
            "two columns of the source have the same name in the target",
            hint="rename one with 'columns'",
        )
    return {name: found[name] for name in wanted}


def _apart(name: str) -> str:
    """Return a name that depends on *name* alone, and is no other's."""
    made = re.sub("[^0-9a-z_]", "_", hashed(name, NAME_LIMIT - len(SUFFIX) - 1).lower())
    return f"_{made}{SUFFIX}" if made[0].isdigit() else f"{made}{SUFFIX}"


def kind_of(sql: str) -> str | None:
    """Return the kind of values that a column of type *sql* takes, None if it takes none."""
    match = _TYPE.fullmatch(sql)
    return _KINDS.get(match["name"]) if match else None


def sent(column: pa.ChunkedArray[Any], sql: str) -> pa.ChunkedArray[Any]:
    """
    Return *column*, of which no value is `unfit`, in the Arrow type that *sql* is loaded from.

    An instant has the unit of its column: from another one the server makes another instant.
    """
    return column.cast(_arrow(sql))


def _arrow(sql: str) -> pa.DataType:
    match = _TYPE.fullmatch(sql)
    assert match is not None
    name = match["name"]
    if name == "DECIMAL":
        return pa.decimal128(int(match["size"]), int(match["scale"] or 0))
    if name == "TIMESTAMP":
        return _INSTANTS[match["size"]]
    return _INTEGERS[_BITS[name]] if name in _BITS else _OTHERS[name]


def unfit(column: pa.ChunkedArray[Any], target: Target) -> dict[int, str]:
    """Return the rows of *column* that OmniSci would alter or refuse, with reasons."""
    match = _TYPE.fullmatch(target.sql)
    if match is None or not target.natural:
        reason = f"{target.name}: a column of type {target.sql} takes no values from here"
        return _rows(column.is_valid(), reason)
    bad = _misfits(column, target, match)
    if match["full"]:
        bad |= _rows(column.is_null(), f"{target.name}: the column takes no NULL")
    return bad


def _misfits(column: pa.ChunkedArray[Any], target: Target, match: re.Match[str]) -> dict[int, str]:
    name, said = match["name"], f"{target.name}: a {target.sql} cannot hold this"
    if name in _BITS:
        return _rows(_beyond(column, int(match["bits"] or _BITS[name])), said)
    if name == "TEXT":
        long = _kernel.greater(_kernel.binary_length(column), TEXT_LIMIT)
        return _rows(long, f"{target.name}: a text has at most {TEXT_LIMIT} bytes")
    if name == "DECIMAL":
        size, scale = int(match["size"]), int(match["scale"] or 0)
        return inexact_decimals(column, target.name, target.sql, size, scale)
    if name == "TIMESTAMP":
        return _rows(_rounded(column, int(match["size"]), match["bits"]), said)
    if name == "DATE":
        return _rows(_beyond(column.cast(pa.int32()), int(match["bits"] or 32)), said)
    if name in _NULL:
        lost = _kernel.equal(column, _NULL[name])
        if name == "FLOAT":
            near = column.cast(pa.float32()).cast(pa.float64())
            lost = _kernel.or_(lost, _kernel.not_equal(near, column))
            lost = _kernel.and_(lost, _kernel.invert(_kernel.is_nan(column)))
        return _rows(lost, said)
    return {}


def _beyond(numbers: Any, bits: int) -> Any:
    """Return which of *numbers* need more *bits*; the smallest number stands for NULL."""
    end = 2 ** (bits - 1)
    ends = _kernel.min_max(numbers).as_py()
    if ends["min"] is None or -end < ends["min"] <= ends["max"] < end:
        return None
    limit = 2 ** (min(bits, numbers.type.bit_width) - 1)
    low = _kernel.less_equal(numbers, pa.scalar(-limit, numbers.type))
    if bits >= numbers.type.bit_width:
        return low
    return _kernel.or_(low, _kernel.greater(numbers, pa.scalar(limit - 1, numbers.type)))


def _rounded(instants: Any, digits: int, bits: str | None) -> Any:
    """Return which of *instants* have more digits of a second, or lie too far off."""
    micros = instants.cast(pa.int64())
    if digits > 6:
        return _beyond_nanoseconds(micros)
    unit = 10 ** (6 - digits)
    whole = _kernel.divide(micros, unit)
    lost = _kernel.not_equal(_kernel.multiply(whole, unit), micros)
    far = _beyond(whole, int(bits or 64))
    return lost if far is None else _kernel.or_(lost, far)


def _beyond_nanoseconds(micros: Any) -> Any:
    end = 2**63 // 1000
    return _kernel.or_(_kernel.less(micros, -end), _kernel.greater(micros, end))


def _rows(mask: Any, reason: str) -> dict[int, str]:
    if mask is None:
        return {}
    return dict.fromkeys(where(_kernel.fill_null(mask, False).combine_chunks()), reason)
