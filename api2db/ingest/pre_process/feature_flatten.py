"""
Rows that hold a list, as one row for each of its items; after `ListExtract`.

::

    FeatureFlatten(key="readings")
    # {"id": 2, "readings": [{"x": 5}, {"x": 7}]}  ->
    # {"id": 2, "readings": {"x": 5}}, {"id": 2, "readings": {"x": 7}}
"""

from __future__ import annotations

from typing import Any

from api2db.ingest.pre_process.pre import Pre
from api2db.ingest.tally import tell


class FeatureFlatten(Pre):
    """
    Make a row of each item of a list in a row.

    Args:
        key: Where the list is.
    """

    def __init__(self, key: str) -> None:
        self.ctype = "feature_flatten"
        self.key = key

    def lam_wrap(self, lam_arg: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
        """
        Return the rows, flat.

        A row with an object in place of the list stays as it is. A row with neither is left
        out, which is logged once for all. No rows (None): an empty list.
        """
        if not isinstance(lam_arg, list):
            return []
        flat: list[dict[str, Any]] = []
        left_out = 0
        for row in lam_arg:
            value = row.get(self.key) if isinstance(row, dict) else None
            if isinstance(value, list):
                flat += [{**row, self.key: item} for item in value]
            elif isinstance(value, dict):
                flat.append(row)
            else:
                left_out += 1
        if left_out:
            tell("rows_left_out", left_out, step=self.ctype, key=self.key)
        return flat
