"""Values as Python's own casts make them, a column at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.ingest.form_convert import INT64, MISFIT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What each Python type is in Arrow; any other is text.
_ARROW: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    str: pa.string(),
}
#: Values that Python's casts take without knowing them for null, None aside.
_PLAIN = frozenset({type(None), bool, int, float, str, dict, list})


def arrow_type(dtype: Any) -> pa.DataType:
    """Return int64, float64 or bool for int, float and bool, else string."""
    return _ARROW[dtype] if _is_known(dtype) else pa.string()


def _is_known(dtype: Any) -> bool:
    return any(dtype is known for known in _ARROW)


def column(values: Sequence[Any], dtype: Any, failed: Callable[[Exception], None]) -> pa.Array[Any]:
    """
    Return *values* (n, of any type) as an array of ``arrow_type(dtype)``.

    None, NaN and pandas' NA are NULL, as is what cannot be cast; *failed* is then called
    with the error. Bytes are taken for UTF-8.
    """
    type_ = arrow_type(dtype)
    if _is_known(dtype):
        with suppress(
            *MISFIT
        ):  # Arrow cuts off and rounds as Python does; what else it takes, fits
            return pa.array(values, type_, from_pandas=True)
        with suppress(*MISFIT):
            return pa.array(_cast_all(values, dtype), type_, from_pandas=True)
    found: list[Any] = []
    for value in values:
        try:
            found.append(_stored(cast(value, dtype), dtype))
        except Exception as exc:  # noqa: BLE001 -- the cast may be the user's
            failed(exc)
            found.append(None)
    return pa.array(found, type_, from_pandas=True)


def _cast_all(values: Sequence[Any], dtype: Any) -> list[Any]:
    """Return `cast` of all; raises ValueError or TypeError if one must be looked at."""
    kinds = set(map(type, values))
    if not kinds <= _PLAIN or (dtype is bool and float in kinds):  # NaN is neither true nor false
        raise ValueError
    return [None if value is None else dtype(value) for value in values]


def cast(value: Any, dtype: Any) -> Any:
    """Return ``dtype(value)``, None for what is null. Raises what the cast raises."""
    if is_null(value):
        return None
    if dtype is str and isinstance(value, bytes):
        return value.decode()
    return dtype(value)


def _stored(value: Any, dtype: Any) -> Any:
    """Return a value that was cast as a column holds it; raises ValueError if it cannot."""
    if value is None or dtype is float or dtype is bool:
        return value
    if dtype is int:
        if value not in INT64:
            raise ValueError("a number beyond 64 bits")
        return value
    text = str(value)
    text.encode()  # half a character (a lone surrogate) has no place in a column
    return text


def is_null(value: Any) -> bool:
    """Return whether *value* is None, NaN, or pandas' NA or NaT."""
    if value is None or (isinstance(value, float) and value != value):
        return True
    return type(value).__name__ in ("NAType", "NaTType")
