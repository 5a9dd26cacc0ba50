"""From data points to DataFrames, by the form that a function makes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from api2db.ingest.api_form import ApiForm

logger = logging.getLogger(__name__)


class Api2Pandas:
    """
    Extracts DataFrames from what an API sends.

    Args:
        api_form: A function that returns the form; called once.
    """

    def __init__(self, api_form: Callable[[], ApiForm]) -> None:
        self.api_form = api_form()

    def dependencies_satisfied(self) -> bool:
        """Return whether the files that steps of the form read are there; log which are not."""
        missing = missing_files(self.api_form)
        for path in missing:
            logger.warning("file_missing", extra={"collector": self.api_form.name, "path": path})
        return not missing

    def extract(self, data: dict[str, Any]) -> pd.DataFrame | None:
        """
        Return a data point as a DataFrame (n rows x columns of Int64, Float64, string, bool).

        None if its rows are not found. Raises as `ApiForm.table`.
        """
        return self.api_form.frame(data)


def missing_files(form: ApiForm) -> list[str]:
    """Return the files that a `MergeStatic` of *form* will read and that are not there."""
    paths = [step.path for step in form.post_process if step.ctype == "merge_static"]
    return [path for path in paths if not Path(path).is_file()]
