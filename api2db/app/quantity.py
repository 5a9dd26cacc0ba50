"""Durations and sizes, as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
#: A thousand years, in seconds: what is longer is a mistake, and would overflow clocks.
_LONGEST = 1000 * 366 * 86400.0
_LARGEST = 2**63
_QUANTITY = re.compile(r"(\d{1,30}(?:\.\d{1,30})?)\s*([A-Za-z]*)", re.ASCII)


def duration(value: str | float) -> float:
    """
    Return *value* in seconds: ``200ms``, ``0.2s``, ``5m``, ``1h``, ``1d``, or a number.

    Raises:
        ValueError: It is not a duration above zero.
    """
    seconds: object = value
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None or match.group(2) not in (*_SECONDS, ""):
            raise ValueError("write a duration such as 200ms, 30s, 5m, 1h or 1d")
        seconds = float(match.group(1)) * _SECONDS.get(match.group(2), 1.0)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ValueError("write a duration such as 200ms, 30s, 5m, 1h or 1d")
    if not 0 < seconds <= _LONGEST:
        raise ValueError("write a duration above zero and below a thousand years, such as 30s")
    return float(seconds)


def size(value: str | int) -> int:
    """
    Return *value* in bytes: ``256MB`` (10^6), ``1GiB`` (2^30), or a number.

    Raises:
        ValueError: It is not a size above zero.
    """
    count = value
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match is None or match.group(2) not in _BYTES:
            raise ValueError("write a size such as 256MB, 10GB or 1GiB")
        count = int(Decimal(match.group(1)) * _BYTES[match.group(2)])
    if isinstance(count, bool) or not isinstance(count, int) or not 0 < count < _LARGEST:
        raise ValueError("write a size above zero and below 2^63 bytes, such as 256MB")
    return count
