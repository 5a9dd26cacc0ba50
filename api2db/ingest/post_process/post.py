"""The base of all steps on the table; derive from it for a step of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.base_lam import BaseLam

if TYPE_CHECKING:
    import pyarrow as pa


class Post(BaseLam):
    """
    A step on a DataFrame: `lam_wrap` takes it and returns what the next step gets.

    Attributes:
        ctype: The kind of step.
    """

    ctype: str = "post"

    @staticmethod
    def typecast(dtype: Any) -> str:
        """Return the name of the pandas dtype for a Python type: ``Int64`` for int ..."""
        return pandas_name(dtype)

    def on_table(self, table: pa.Table) -> pa.Table | None:
        """Return what `lam_wrap` makes, without pandas; None if this step needs a DataFrame."""
        return None


def pandas_name(dtype: Any) -> str:
    """Return ``Int64``, ``Float64`` or ``bool`` for int, float and bool, else ``string``."""
    if dtype is int:
        return "Int64"
    if dtype is float:
        return "Float64"
    return "bool" if dtype is bool else "string"


def cast(series: Any, name: str) -> Any:
    """
    Return *series* as the dtype *name*; a bool column with nulls becomes ``boolean``.

    NULL is not False: ``astype("bool")`` would make it so.

    Raises:
        ValueError, TypeError: A value does not fit.
    """
    if name == "bool" and series.isna().any():
        return series.astype(object).where(series.notna(), None).astype("boolean")
    return series.astype(name)
