"""
Rows in which an API sometimes swaps the values of two keys; after `ListExtract`.

::

    BadRowSwap(key_1="id", key_2="size", lam=lambda x: re.match("[0-9.]+", x["id"]) is not None)

The keys may lie at any depth of objects in objects, each once in a row. Whether a row is
swapped must be seen from ``key_1`` alone, so make it the more important of the two.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from api2db.ingest.pre_process.pre import Pre
from api2db.ingest.tally import tell

if TYPE_CHECKING:
    from collections.abc import Callable


class BadRowSwap(Pre):
    """
    Swap two values back, and leave out the rows in which that cannot be done.

    Args:
        key_1: A key whose value is sometimes that of *key_2*.
        key_2: The other one.
        lam: A function of a row: whether its values are swapped.
    """

    def __init__(self, key_1: str, key_2: str, lam: Callable[[dict[str, Any]], bool]) -> None:
        self.ctype = "bad_row_swap"
        self.key_1 = key_1
        self.key_2 = key_2
        self.lam = lam

    def lam_wrap(self, lam_arg: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Return the rows with their values in place; those given stay as they are.

        Left out, which is logged once for all, are rows without *key_1*, and rows to be
        swapped without *key_2*. Where *lam* fails otherwise, the row is kept as it is.
        """
        rows = [self._mended(row) for row in lam_arg]
        kept = [row for row in rows if row is not None]
        if len(kept) < len(rows):
            tell("rows_left_out", len(rows) - len(kept), step=self.ctype, key=self.key_1)
        return kept

    def _mended(self, row: dict[str, Any]) -> dict[str, Any] | None:
        if _holder(self.key_1, row) is None:
            return None
        try:
            swapped = self.lam(row)
        except KeyError:
            return None
        except Exception:  # noqa: BLE001 -- the user's function cannot tell: nothing is lost
            return row
        if not swapped:
            return row
        row = copy.deepcopy(row)
        one, other = _holder(self.key_1, row), _holder(self.key_2, row)
        if one is None or other is None:
            return None
        one[self.key_1], other[self.key_2] = other[self.key_2], one[self.key_1]
        return row


def _holder(key: str, value: Any) -> dict[str, Any] | None:
    """Return the object in *value*, or in objects in it, that has *key*."""
    if not isinstance(value, dict):
        return None
    if key in value:
        return value
    found = (_holder(key, child) for child in value.values())
    return next((holder for holder in found if holder is not None), None)
