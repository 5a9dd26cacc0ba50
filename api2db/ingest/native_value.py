"""One value of Python code as a `Chunk` has it: the rule for each type that `native` tells."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import PurePath
from typing import Any
from uuid import UUID


def native(value: Any) -> Any:
    """Return one value as `Chunk` has it; TypeError if it has no place in a row."""
    convert = _NATIVE.get(type(value))
    if convert is not None:
        return convert(value)
    for type_, convert in _NATIVE.items():
        if isinstance(value, type_):
            return convert(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if type(value).__name__ == "Period":
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # numpy's scalars and arrays
        return native(value.tolist())
    raise TypeError(f"{kind_of(value)}, which has no place in a row")


def _same(value: Any) -> Any:
    return value


def _float(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _decimal(value: Decimal) -> Decimal | None:
    return None if value.is_nan() else value


def _datetime(value: datetime) -> str | None:
    if value != value:  # pandas' NaT
        return None
    aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    text = aware.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _dict(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): native(item) for key, item in value.items()}


def _list(value: Iterable[Any]) -> list[Any]:
    return [native(item) for item in value]


def _bytes(value: bytes | bytearray | memoryview) -> str:
    return value.hex()


#: The order matters for subclasses: a bool is an int, a datetime is a date.
_NATIVE: dict[type, Callable[[Any], Any]] = {
    type(None): _same,
    enum.Enum: lambda value: native(value.value),
    bool: bool,
    int: int,
    float: _float,
    str: str,
    Decimal: _decimal,
    datetime: _datetime,
    date: _same,
    time: time.isoformat,
    dict: _dict,
    Mapping: _dict,
    list: _list,
    tuple: _list,
    set: _list,
    frozenset: _list,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    **dict.fromkeys((UUID, PurePath), str),
    **dict.fromkeys((IPv4Address, IPv4Interface, IPv4Network), str),
    **dict.fromkeys((IPv6Address, IPv6Interface, IPv6Network), str),
}


def kind_of(value: object) -> str:
    """Return the type of *value* as messages name it: ``an int``."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"
