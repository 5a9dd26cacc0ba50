"""The base of all steps before the table; derive from it for a step of your own."""

from __future__ import annotations

from api2db.ingest.base_lam import BaseLam


class Pre(BaseLam):
    """
    A step on decoded data: `lam_wrap` takes it and returns what the next step gets.

    Attributes:
        ctype: The kind of step. ``global_extract``: its result is no data, but
            ``{"value": ..., "dtype": ...}``, a value of all rows in the column ``self.key``.
    """

    ctype: str = "pre"
