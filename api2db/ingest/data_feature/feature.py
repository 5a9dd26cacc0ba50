"""
What becomes a column.

::

    Feature(key="magnitude", lam=lambda x: x["properties"]["mag"], dtype=float)
    Feature(key="magnitude", lam="properties.mag", dtype=float)     # a path: the fast way
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from api2db.core.errors import ConfigError
from api2db.ingest.base_lam import BaseLam
from api2db.ingest.data_feature import casting
from api2db.ingest.form_path import compiled, lookup

if TYPE_CHECKING:
    from collections.abc import Callable

    from api2db.ingest.data_feature.rows import Rows
    from api2db.ingest.tally import Tally

#: Texts that stand for nothing, in any case.
_NOTHING = frozenset({"none", "nan", "null", "nil"})


class Feature(BaseLam):
    """
    One column: where its value lies in a row, and of what type it is.

    The value is cast as Python casts: ``int("5")`` is 5. What is missing, null, cannot be
    cast, or makes *lam* fail is NULL, or the replacement for the type if there is one. Of
    ``str``, the texts none, nan, null and nil, in any case, count as null.

    Args:
        key: Name of the column.
        lam: A function of a row, or a JMESPath on it, which is faster.
        dtype: int, float, bool or str. Of anything else that can be called, the column is
            the text of what it returns.
        nan_int: Replacement, if *dtype* is int.
        nan_float: Replacement, if *dtype* is float.
        nan_bool: Replacement, if *dtype* is bool; None for NULL.
        nan_str: Replacement, if *dtype* is str or anything else.

    Raises:
        ConfigError: *lam* is a text, and no JMESPath; the replacement is of another type.
    """

    def __init__(
        self,
        key: str,
        lam: Callable[[dict[str, Any]], Any] | str,
        dtype: Any,
        nan_int: int | None = None,
        nan_float: float | None = None,
        nan_bool: bool | None = False,
        nan_str: str | None = None,
    ) -> None:
        self.key = key
        self.lam = lam
        self.dtype = dtype
        self.nan_int = nan_int
        self.nan_float = nan_float
        self.nan_bool = nan_bool
        self.nan_str = nan_str
        lookup(lam)  # a path that is none is found here, not at the first poll
        self._replacement()

    @property
    def nan(self) -> Any:
        """The replacement of this feature's type; None for NULL."""
        by_type = {int: self.nan_int, float: self.nan_float, bool: self.nan_bool}
        return next((nan for type_, nan in by_type.items() if self.dtype is type_), self.nan_str)

    @property
    def arrow_type(self) -> pa.DataType:
        """The type of the column."""
        return casting.arrow_type(self.dtype)

    def lam_wrap(self, data: dict[str, Any]) -> Any:
        """Return the value of one row; never raises for what the row holds."""
        try:
            value = casting.cast(lookup(self.lam)(data), self.dtype)
        except Exception:  # noqa: BLE001 -- the user's function; the replacement is documented
            return self.nan
        if value is None or (type(value) is str and value.lower() in _NOTHING):
            return self.nan
        return self.nan if casting.is_null(value) else value

    def column(self, rows: Rows, tally: Tally) -> pa.Array[Any]:
        """
        Return the values of *rows* (n) as an array of `arrow_type`.

        The same as `lam_wrap` for each row, several times as fast. *tally* counts what
        failed. A subclass with its own `lam_wrap` is asked for each row.
        """

        def failed(error: Exception) -> None:
            tally.nulled(self.key, error)

        own = type(self).lam_wrap is not Feature.lam_wrap
        values = _mapped(self, rows.values, failed) if own else self._found(rows, failed)
        array = casting.column(values, self.dtype, failed)
        if own:
            return array
        if pa.types.is_string(array.type):
            array = _without_nothing(array)
        replacement = self._replacement()
        return array if replacement is None else pc.fill_null(array, replacement)

    def _found(self, rows: Rows, failed: Callable[[Exception], None]) -> list[Any]:
        if isinstance(self.lam, str):
            path = compiled(self.lam)
            if path.steps is not None:
                return rows.at(path.steps)
        return _mapped(lookup(self.lam), rows.values, failed)

    def _replacement(self) -> Any:
        """Return `nan` as an Arrow scalar, None for NULL."""
        if self.nan is None:
            return None
        try:
            return pa.scalar(self.nan, self.arrow_type)
        except (ValueError, TypeError, OverflowError) as exc:
            raise ConfigError(
                f"Feature {self.key!r}: {self.nan!r} is no {self.arrow_type}",
                hint="give a replacement of the feature's type, or None",
            ) from exc


def _mapped(
    function: Callable[[Any], Any], rows: list[Any], failed: Callable[[Exception], None]
) -> list[Any]:
    """Return *function* of each row, each called once; None where it fails."""
    calls = map(function, rows)
    values: list[Any] = []
    while True:
        try:
            values.extend(calls)  # all of them, at the speed of C; up to the one that fails
            if len(values) == len(rows):
                return values
            error: Exception = StopIteration()  # raised by the function, and taken for the end
        except Exception as exc:  # noqa: BLE001 -- the user's function; NULL is documented
            error = exc
        failed(error)
        values.append(None)


def _without_nothing(texts: Any) -> Any:
    """Return *texts* with NULL in place of those that stand for nothing."""
    return pc.if_else(pc.is_in(texts, value_set=_spellings()), None, texts)


@cache
def _spellings() -> Any:
    """Return `_NOTHING` in each spelling: none, nonE, noNe ..."""
    pairs = [zip(text, text.upper(), strict=True) for text in sorted(_NOTHING)]
    return pa.array(["".join(letters) for pair in pairs for letters in product(*pair)])
