"""
Columns from a table that lies in a file, and rarely changes.

::

    MergeStatic(key="location_id", path="CACHE/locations.pickle")

Another collector writes the file: with a local stream in the mode ``update`` or ``replace``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.errors import SourceUnavailable
from api2db.ingest.post_process.post import Post

if TYPE_CHECKING:
    import pandas as pd


class MergeStatic(Post):
    """
    Add to each row the columns of the row in the file that has the same key (a left join).

    Args:
        key: The column that both have.
        path: A pickled DataFrame, or a file whose name ends with ``.parquet``, ``.json`` or
            ``.csv``; relative to the working directory.
    """

    def __init__(self, key: str, path: str) -> None:
        self.ctype = "merge_static"
        self.key = key
        self.path = path

    def lam_wrap(self, lam_arg: pd.DataFrame) -> pd.DataFrame:
        """
        Return *lam_arg* with the columns of the file.

        Raises:
            SourceUnavailable: There is no file yet. The poll fails, the next one tries again.
            FileUnreadable: It holds no table, or what no table needs.
        """
        return lam_arg.merge(self._static(), on=self.key, how="left")

    def _static(self) -> Any:
        path = Path(self.path)
        if not path.is_file():
            raise SourceUnavailable(
                f"MergeStatic: there is no file {self.path}",
                hint="let the local stream that writes it run first",
            )
        fmt = path.suffix.removeprefix(".")
        if fmt in ("parquet", "json", "csv"):
            from api2db.files.codec import read

            return read(path, fmt).to_pandas()
        from api2db.files.frame_unpickler import load_frame

        with path.open("rb") as file:
            return load_frame(file, self.path)
