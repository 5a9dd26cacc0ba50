"""
Texts as instants.

::

    DateCast(key="day", fmt="%Y-%m-%d %H:%M:%S")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.ingest.post_process.post import Post

if TYPE_CHECKING:
    import pandas as pd


class DateCast(Post):
    """
    Turn a column of texts into ``datetime64[ns]``; a text of another format becomes NaT.

    With ``%z`` in the format the instants are in UTC. Where some lie outside the years 1677 to
    2262, which nanoseconds cannot count, the column keeps the unit in which pandas holds them.

    Args:
        key: Name of the column.
        fmt: The format, as `datetime.strptime` has it.
    """

    def __init__(self, key: str, fmt: str) -> None:
        self.ctype = "date_cast"
        self.key = key
        self.fmt = fmt

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """Return *lam_arg* with the column cast."""
        import pandas as pd

        zoned = "%z" in self.fmt
        dates = pd.to_datetime(lam_arg[self.key], format=self.fmt, errors="coerce", utc=zoned)
        try:
            lam_arg[self.key] = dates.dt.as_unit("ns")
        except pd.errors.OutOfBoundsDatetime:
            lam_arg[self.key] = dates
        return lam_arg
