"""Values as Python's own casts make them, a column at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.ingest.form_convert import INT64

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What each Python type is in Arrow; any other is text.
_ARROW: dict[Any, pa.DataType] = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
#: Types that a cast leaves as they are, or that Arrow casts in the same way.
_AS_IS: dict[Any, frozenset[type]] = {
    int: frozenset({int}),
    float: frozenset({float, int}),
    bool: frozenset({bool}),
    str: frozenset({str}),
}
_NONE = type(None)


def arrow_type(dtype: Any) -> pa.DataType:
    """Return int64, float64 or bool for int, float and bool, else string."""
    for known, type_ in _ARROW.items():
        if dtype is known:
            return type_
    return pa.string()


def column(values: Sequence[Any], dtype: Any, failed: Callable[[Exception], None]) -> pa.Array[Any]:
    """
    Return *values* (n, of any type) as an array of ``arrow_type(dtype)``.

    None, NaN and pandas' NA are NULL, as is what cannot be cast; *failed* is then called
    with the error.
    """
    type_ = arrow_type(dtype)
    as_is = _AS_IS.get(dtype) if isinstance(dtype, type) else None
    if as_is is not None and set(map(type, values)) - {_NONE} <= as_is:
        with suppress(ValueError, OverflowError):  # a value that Arrow cannot hold: one by one
            return pa.array(values, type_, from_pandas=True)
    found: list[Any] = []
    for value in values:
        try:
            found.append(stored(value, dtype))
        except Exception as exc:  # noqa: BLE001 -- the cast may be the user's
            failed(exc)
            found.append(None)
    return pa.array(found, type_, from_pandas=True)


def stored(value: Any, dtype: Any) -> Any:
    """
    Return *value*, cast, as a column holds it: text, if *dtype* is none of the four.

    Raises:
        Exception: Whatever the cast raises; ValueError if a column cannot hold the result.
    """
    found = cast(value, dtype)
    if found is None or dtype is float or dtype is bool:
        return found
    if dtype is int:
        if found not in INT64:
            raise ValueError("a number beyond 64 bits")
        return found
    text = str(found)
    text.encode()  # half a character (a lone surrogate) has no place in a column
    return text


def cast(value: Any, dtype: Any) -> Any:
    """Return ``dtype(value)``, None for what is null. Raises what the cast raises."""
    return None if is_null(value) else dtype(value)


def is_null(value: Any) -> bool:
    """Return whether *value* is None, NaN, or pandas' NA or NaT."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    return type(value).__name__ in ("NAType", "NaTType")
