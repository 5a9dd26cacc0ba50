"""Numbers that a target would round: found before they are sent."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from math import inf
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from api2db.core.values import digits, exact_number
from api2db.sink.load import where

if TYPE_CHECKING:
    from collections.abc import Callable

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: JSON in which a number may have more digits than a double.
_LONG_NUMBER = r"[0-9.]{16,}|[0-9][eE]"


def inexact_json(array: Any, name: str, sql: str) -> dict[int, str]:
    """
    Return the rows of *array* (n JSON texts) in which a number is no int64, uint64 or double.

    Args:
        name: The batch's column, for the reasons.
        sql: Type of the target's column, for the reasons.
    """
    return _one_by_one(array, _LONG_NUMBER, _kept_json, name, sql)


def inexact_decimals(array: Any, name: str, sql: str, precision: int, scale: int) -> dict[int, str]:
    """Return the rows of *array* (n numbers as text) that have more digits; see `inexact_json`."""
    whole = precision - scale
    plain = rf"^-?0*[0-9]{{0,{whole}}}(\.[0-9]{{0,{scale}}}0*)?$"

    def kept(text: str) -> bool:
        try:
            found = digits(Decimal(text))
        except InvalidOperation:
            return False
        return found is not None and found[0] <= whole and found[1] <= scale

    return _one_by_one(array, plain, kept, name, sql, match=False)


def _one_by_one(
    array: Any,
    pattern: str,
    kept: Callable[[str], bool],
    name: str,
    sql: str,
    *,
    match: bool = True,
) -> dict[int, str]:
    """Return the values that (do not) match *pattern*, and of those the ones that are not kept."""
    found = _kernel.match_substring_regex(array, pattern).fill_null(not match)
    rows = where((found if match else _kernel.invert(found)).combine_chunks())
    return {
        row: f"{name}: a {sql} cannot hold this number exactly"
        for row in rows
        if not kept(array[row].as_py())
    }


def _kept_json(text: str) -> bool:
    """Return whether all numbers of a JSON text are integers of 64 bits or exact doubles."""
    kept = True

    def integer(digits: str) -> None:
        nonlocal kept
        kept &= len(digits) <= 20 and -(2**63) <= int(digits) < 2**64

    def real(digits: str) -> None:
        nonlocal kept
        value = float(digits)
        kept &= Decimal(repr(value)) == exact_number(digits) and abs(value) != inf

    try:
        json.loads(text, parse_int=integer, parse_float=real)
    except (ValueError, RecursionError):
        return True  # the server has its own word on it
    return kept
