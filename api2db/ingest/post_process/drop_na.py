"""Rows without NULL where none may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.ingest.post_process.post import Post

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class DropNa(Post):
    """
    Leave out the rows that have NULL in one of some columns.

    Args:
        keys: Names of the columns.
    """

    def __init__(self, keys: list[str]) -> None:
        self.ctype = "drop_na"
        self.keys = keys

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return the other rows; as ``DataFrame.dropna(subset=keys)``."""
        return lam_arg.dropna(subset=self.keys)

    def on_table(self, table: pa.Table) -> pa.Table | None:
        """Return the other rows."""
        if type(self).lam_wrap is not DropNa.lam_wrap:
            return None
        for key in self.keys:
            table = table.filter(table.column(key).is_valid())
        return table
