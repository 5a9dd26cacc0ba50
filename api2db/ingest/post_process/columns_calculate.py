"""
Columns that are computed from others, at the speed of pandas.

::

    def sums(df):
        return pd.DataFrame({"a+b": df["a"] + df["b"], "a*b": df["a"] * df["b"]})

    ColumnsCalculate(keys=["a+b", "a*b"], lam=sums, dtypes=[int, int])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.post_process.post import Post, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd


class ColumnsCalculate(Post):
    """
    Add columns, or replace them.

    Args:
        keys: Names of the columns.
        lam: A function of the DataFrame; returns one with these columns.
        dtypes: Python type of each.

    Attributes:
        dtypes: The pandas dtypes, as texts.
    """

    def __init__(
        self, keys: list[str], lam: Callable[[pd.DataFrame], pd.DataFrame], dtypes: list[Any]
    ) -> None:
        self.ctype = "columns_calculate"
        self.keys = keys
        self.lam = lam
        self.dtypes = [self.typecast(dtype) for dtype in dtypes]

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return *lam_arg* with the columns."""
        found = self.lam(lam_arg)
        for key, dtype in zip(self.keys, self.dtypes, strict=True):
            lam_arg[key] = cast(found[key], dtype)
        return lam_arg
