"""
A column with one value for all rows, such as when they arrived.

::

    ColumnAdd(key="arrival", lam=lambda: datetime.now(UTC).isoformat(), dtype=str)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.ingest import extraction
from api2db.ingest.data_feature import casting
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
        self._python = dtype

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return *lam_arg* with the column."""
        return self._with(lam_arg, self.lam())

    def on_table(self, table: pa.Table) -> pa.Table | None:
        """Return *table* with the column; pandas casts what is not of the type declared."""
        if type(self).lam_wrap is not ColumnAdd.lam_wrap:
            return None
        value = self.lam()
        if type(value) is not self._python:
            return extraction.table(self._with(extraction.frame(table), value))
        one: Any = pa.scalar(value, casting.arrow_type(self._python), from_pandas=True)
        column = pa.repeat(one, table.num_rows)
        if self.key in table.column_names:
            return table.set_column(table.column_names.index(self.key), self.key, column)
        return table.append_column(self.key, column)

    def _with(self, frame: pd.DataFrame, value: Any) -> pd.DataFrame:
        frame[self.key] = value
        frame[self.key] = cast(frame[self.key], self.dtype)
        return frame
