"""
A value that stands once in what the API sent, and is meant for all of its rows.

::

    GlobalExtract(key="publish_time", lam=lambda x: x["date"], dtype=str)
    GlobalExtract(key="publish_time", lam="date", dtype=str)    # a path: the same
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.form_path import lookup
from api2db.ingest.pre_process.pre import Pre
from api2db.ingest.tally import tell

if TYPE_CHECKING:
    from collections.abc import Callable


class GlobalExtract(Pre):
    """
    Make a column in which all rows have the same value.

    Args:
        key: Name of the column.
        lam: A function of the data point, or a JMESPath on it.
        dtype: Python type of the value.

    Raises:
        ConfigError: *lam* is a text, and no JMESPath.
    """

    def __init__(self, key: str, lam: Callable[[dict[str, Any]], Any] | str, dtype: Any) -> None:
        self.ctype = "global_extract"
        self.key = key
        self.lam = lam
        self.dtype = dtype
        lookup(lam)  # a path that is none is found here, not at the first poll

    def lam_wrap(self, lam_arg: dict[str, Any]) -> dict[str, Any]:
        """Return ``{"value": V, "dtype": dtype}``; V is None if it is missing or no *dtype*."""
        value = None
        try:
            found = lookup(self.lam)(lam_arg)
            value = None if found is None else self.dtype(found)
        except (KeyError, ValueError):
            pass  # missing, or of another type: NULL, as documented
        except Exception as exc:  # noqa: BLE001 -- the user's function; NULL is documented
            tell("global_nulled", column=self.key, error=type(exc).__name__)
        return {"value": value, "dtype": self.dtype}
