"""
A column with one value for all rows, such as when they arrived.

::

    ColumnAdd(key="arrival", lam=lambda: datetime.now(UTC).isoformat(), dtype=str)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.post_process.post import Post, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


class ColumnAdd(Post):
    """
    Add a column, or replace it.

    Args:
        key: Name of the column.
        lam: Called once for each table; returns the value of all rows.
        dtype: Python type of the value.

    Attributes:
        dtype: The pandas dtype, as text.
    """

    def __init__(self, key: str, lam: Callable[[], Any], dtype: Any) -> None:
        self.ctype = "column_add"
        self.key = key
        self.lam = lam
        self.dtype = self.typecast(dtype)

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return *lam_arg* with the column."""
        lam_arg[self.key] = self.lam()
        lam_arg[self.key] = cast(lam_arg[self.key], self.dtype)
        return lam_arg
