"""
Where the list of rows lies in what the API sent.

::

    ListExtract(lam=lambda x: x["features"])
    ListExtract(lam="features")                 # a path: the same
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.ingest.form_path import lookup
from api2db.ingest.pre_process.pre import Pre
from api2db.ingest.tally import tell

if TYPE_CHECKING:
    from collections.abc import Callable


class ListExtract(Pre):
    """
    Take the list of rows out of a data point.

    Args:
        lam: A function of the data point, or a JMESPath on it.

    Raises:
        ConfigError: *lam* is a text, and no JMESPath.
    """

    def __init__(self, lam: Callable[[dict[str, Any]], list[Any]] | str) -> None:
        self.ctype = "list_extract"
        self.lam = lam
        self.dtype = list
        lookup(lam)  # a path that is none is found here, not at the first poll

    def lam_wrap(self, lam_arg: dict[str, Any]) -> list[Any] | None:
        """Return the rows; None, which is told in the log, if there is no list."""
        try:
            return self.dtype(lookup(self.lam)(lam_arg))
        except Exception as exc:  # noqa: BLE001 -- the user's function; None is documented
            tell("list_not_found", error=type(exc).__name__)
            return None
