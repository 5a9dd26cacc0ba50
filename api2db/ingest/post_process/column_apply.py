"""
A function of each value of a column.

::

    ColumnApply(key="name", lam=lambda x: x.strip(), dtype=str)

NULL is given to the function as pandas has it, ``pd.NA``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.post_process.post import Post, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


class ColumnApply(Post):
    """
    Replace each value of a column.

    Args:
        key: Name of the column.
        lam: A function of one value.
        dtype: Python type of what it returns.

    Attributes:
        dtype: The pandas dtype, as text.
    """

    def __init__(self, key: str, lam: Callable[[Any], Any], dtype: Any) -> None:
        self.ctype = "column_apply"
        self.key = key
        self.lam = lam
        self.dtype = self.typecast(dtype)

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return *lam_arg* with the values replaced."""
        lam_arg[self.key] = cast(lam_arg[self.key].apply(self.lam), self.dtype)
        return lam_arg
