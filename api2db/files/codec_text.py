"""What formats of text share: columns as text, and text as columns."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.casting import cast
from api2db.core.values import digits, instant_us

#: The kernels; their stubs know no scalars as arguments.
_kernel: Any = pc

#: First and last instant, and first and last day, that ISO 8601 writes with four digits.
_INSTANTS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
_DAYS = (-719_162, 2_932_896)


def texts(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """
    Return *column* (n values) as text that says all of it.

    Numbers are digits, decimals all of theirs; booleans are ``true`` and ``false``, instants
    and dates ISO 8601; text and JSON are as they are.

    Raises:
        ConfigError: The column's type has no place in a target.
    """
    if pa.types.is_null(column.type):
        return pa.chunked_array([_nulls(len(column))], pa.string())
    return pa.chunked_array([_text(chunk) for chunk in column.chunks], pa.string())


def _nulls(n: int) -> Any:
    return pa.array([None] * n, pa.string())


def _text(array: Any) -> Any:
    kind = types.kind_of(array.type)
    if kind in ("bool", "datetime", "date"):
        return cast(array, pa.string())
    if kind in ("str", "float"):  # of a float: the shortest text that reads as the same number
        return array.cast(pa.string())
    json: Any = cast(array, types.JSON)
    return json.storage


def beyond_years(rows: pa.RecordBatch) -> dict[int, str]:
    """Return the rows with an instant or a date outside the years 1 to 9999."""
    bad: dict[int, str] = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        number: Any = column
        if pa.types.is_timestamp(column.type):
            number = number.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
            limits = _INSTANTS
        elif pa.types.is_date(column.type):
            number, limits = number.cast(pa.date32()).cast(pa.int32()), _DAYS
        else:
            continue
        low, high = _kernel.less(number, limits[0]), _kernel.greater(number, limits[1])
        found = _kernel.indices_nonzero(_kernel.or_(low, high)).to_pylist()
        bad |= dict.fromkeys(found, f"{name}: text has years 1 to 9999 only")
    return bad


# -- types from text ---------------------------------------------------------------------

_INT = r"^(0|-?[1-9][0-9]{0,18})$"
_DECIMAL = r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$"
_NESTED = r"^[\[{]"


def typed(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """
    Return text (n values) with the narrowest type that `texts` would write as the same text.

    All of one column have one type: integers, floats, decimals, booleans, instants, nested
    JSON, else text. A column of NULL only has the type null.
    """
    filled = column.drop_null()
    if not len(filled):
        return pa.chunked_array([pa.nulls(len(column))])
    for attempt in (_as_int, _as_bool, _as_float, _as_decimal, _as_instant, _as_json):
        found: pa.ChunkedArray[Any] | None = attempt(column, filled)
        if found is not None:
            return found
    return column


def _all(filled: Any, pattern: str) -> bool:
    return bool(_kernel.all(_kernel.match_substring_regex(filled, pattern)).as_py())


def _as_int(column: Any, filled: Any) -> Any:
    if not _all(filled, _INT):
        return None
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:  # 19 digits may be too many
        return None


def _as_bool(column: Any, filled: Any) -> Any:
    return column.cast(pa.bool_()) if _all(filled, "^(true|false)$") else None


def _as_float(column: Any, _filled: Any) -> Any:
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    return numbers if texts(numbers) == column else None


def _as_decimal(column: Any, filled: Any) -> Any:
    if not _all(filled, _DECIMAL):
        return None
    sizes = [digits(Decimal(text)) or (0, 0) for text in filled.to_pylist()]
    type_ = types.decimal_for(max(w for w, _ in sizes), max(s for _, s in sizes))
    return None if type_ is None else column.cast(type_)


def _as_instant(column: Any, _filled: Any) -> Any:
    micros = [None if text is None else instant_us(text) for text in column.to_pylist()]
    found = pa.chunked_array([pa.array(micros, pa.int64()).cast(types.arrow_type("datetime"))])
    return found if found.null_count == column.null_count else None


def _as_json(column: Any, filled: Any) -> Any:
    import orjson

    if not _all(filled, _NESTED):
        return None
    try:
        for text in filled.to_pylist():
            orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    chunks: Any = [pa.ExtensionArray.from_storage(types.JSON, chunk) for chunk in column.chunks]
    return pa.chunked_array(chunks)
