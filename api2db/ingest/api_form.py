"""
What the data of an API looks like, and what becomes of it.

::

    ApiForm(
        name="quakes",
        pre_process=[ListExtract(lam="features")],
        data_features=[
            Feature(key="id", lam="id", dtype=str),
            Feature(key="mag", lam="properties.mag", dtype=float),
        ],
        post_process=[ColumnAdd(key="arrival", lam=time.time, dtype=float)],
    )
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest import extraction
from api2db.ingest.post_process.post import pandas_name
from api2db.ingest.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    import pyarrow as pa

    from api2db.ingest.data_feature.feature import Feature
    from api2db.ingest.post_process.post import Post
    from api2db.ingest.pre_process.pre import Pre

#: A form of this name is being built: what is not there yet is None, for `experiment` to tell.
LABORATORY = "lab"


class ApiForm:
    """
    How a data point becomes a table: three phases, each in the order of its list.

    Args:
        name: Of the collector.
        pre_process: Steps on what the API sent: find the list of rows, flatten it ...
        data_features: The columns.
        post_process: Steps on the DataFrame: add columns, drop rows, cast dates ...
    """

    def __init__(
        self,
        name: str,
        pre_process: list[Pre] | None = None,
        data_features: list[Feature] | None = None,
        post_process: list[Post] | None = None,
    ) -> None:
        building = name == LABORATORY
        self.name = name
        self.pre_process: Any = pre_process if building else pre_process or []
        self.data_features: Any = data_features if building else data_features or []
        self.post_process: Any = post_process if building else post_process or []

    def add_pre(self, pre: Pre) -> None:
        """Add a step before the table, behind the others."""
        self.pre_process.append(pre)

    def add_feature(self, feat: Feature) -> None:
        """Add a column, behind the others."""
        self.data_features.append(feat)

    def add_post(self, post: Post) -> None:
        """Add a step on the table, behind the others."""
        self.post_process.append(post)

    def pandas_typecast(self) -> dict[str, str]:
        """Return the pandas dtype of each feature, as ``DataFrame.astype`` takes them."""
        return {feature.key: self.typecast(feature.dtype) for feature in self.data_features}

    @staticmethod
    def typecast(dtype: Any) -> str:
        """Return the name of the pandas dtype for a Python type: ``Int64`` for int ..."""
        return pandas_name(dtype)

    def table(self, data: Any, tally: Tally | None = None) -> pa.Table | None:
        """
        Return the rows of a data point as an Arrow table; None if they are not found.

        The daemon calls this. pandas is used only from the first step after the columns on that
        takes a DataFrame.

        Args:
            data: What the API sent: one element of what ``import_target`` returns.
            tally: Counts the values that could not be used; None to log them here.

        Raises:
            FormError: A step failed; says which.
            SourceUnavailable: The file of a `MergeStatic` is not there yet.
        """
        found = self._columns(data, tally)
        if found is None:
            return None
        found, done = extraction.begin(self.post_process, found)
        if done == len(self.post_process):
            return found
        made = extraction.finish(self.post_process, extraction.frame(found), done)
        return extraction.table(made)

    def frame(self, data: Any, tally: Tally | None = None) -> pd.DataFrame | None:
        """Return the same as `table`, as a DataFrame of Int64, Float64, string and bool."""
        found = self._columns(data, tally)
        if found is None:
            return None
        made: pd.DataFrame = extraction.finish(self.post_process, extraction.frame(found))
        return made

    def _columns(self, data: Any, tally: Tally | None) -> pa.Table | None:
        counts = Tally() if tally is None else tally
        with counts.counting():
            rows, shared = extraction.prepare(self.pre_process, data)
        found = None
        if rows is not None:
            found = extraction.columns(self.data_features, rows, shared, counts)
        if tally is None:
            counts.log(self.name)
        return found

    def experiment(self, CACHE: bool, import_target: Callable[[], Any]) -> bool:  # noqa: N803
        """
        Try this form on the first data point, and print what each phase makes of it.

        Writes ``data_without_preprocess.json``, ``data_after_preprocess.json`` and
        ``data_after_feature_extraction.json`` into the working directory.

        Args:
            CACHE: Call *import_target* once, and keep its data in ``lab_cache.json``.
            import_target: A function that returns a list of dicts.

        Returns:
            True if the form is whole; False after the first phase that is missing.
        """
        from api2db.ingest.laboratory import experiment

        return experiment(self, cache=CACHE, import_target=import_target)
