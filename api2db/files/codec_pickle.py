"""
Tables as pickled pandas DataFrames, which `pandas.read_pickle` opens.

A column of integers or booleans with NULL has pandas' nullable type; dates and decimals are
Python objects; JSON is its text. ``attrs["api2db"]`` names the columns' types, so that they
come back. Reading admits what DataFrames need, and runs nothing else (`frame_unpickler`).
"""

from __future__ import annotations

import pickle
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core import types
from api2db.core.errors import ConfigError
from api2db.files.codec_text import beyond_years
from api2db.files.frame_unpickler import load_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The pickle protocol of Python 3.8 and later.
PROTOCOL = 5
#: Where a frame names its columns' types.
ATTR = "api2db"


def write(parts: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> None:
    """Write *parts* as one pickled DataFrame."""
    table = pa.concat_tables([schema.empty_table(), *parts])
    pickle.dump(_frame(table), file, PROTOCOL)


def read(path: Path) -> pa.Table:
    """Return the DataFrame as a table, without its index."""
    with path.open("rb") as file:
        frame = load_frame(file, str(path))
    names = types_in(frame)
    columns = [_column(frame.iloc[:, i], names.get(name)) for i, name in enumerate(frame.columns)]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def types_in(frame: Any) -> dict[Any, Any]:
    """Return column -> type of `core.types` of a DataFrame that `write` has made; else {}."""
    names = frame.attrs.get(ATTR)
    return names if isinstance(names, dict) else {}


def unfit(rows: pa.RecordBatch) -> dict[int, str]:
    """Return the rows with an instant or a date that Python has no object for."""
    return beyond_years(rows)


def _frame(table: pa.Table) -> Any:
    import pandas as pd

    nullable = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    columns: list[Any] = table.columns
    plain = [c.cast(pa.string()) if c.type == types.JSON else c for c in columns]
    mixed = pa.Table.from_arrays(plain, names=table.column_names)
    frame = mixed.to_pandas(
        types_mapper=nullable.get, integer_object_nulls=True, ignore_metadata=True
    )
    frame.attrs[ATTR] = {
        field.name: types.name_of(field.type)
        for field in table.schema
        if not pa.types.is_null(field.type)
    }
    return frame


def _column(series: Any, name: object) -> Any:
    """Return a column as the type that *name* gives it, else as what Arrow finds."""
    array = pa.array(series, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    try:
        wanted = types.arrow_type(str(name))
        if wanted == types.JSON:
            return pa.ExtensionArray.from_storage(types.JSON, array.cast(pa.string()))
        return array.cast(wanted)
    except (ConfigError, pa.ArrowException):  # not ours, or not any more
        return array
