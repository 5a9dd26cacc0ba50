"""
pandas DataFrames as files: what `codec` does for tables, and what pandas needs beside it.

Parquet and pickle keep a DataFrame's dtypes. JSON and CSV are read as the types that their text
shows. A column of whole numbers or booleans with NULL comes back with pandas' nullable type, so
that no number loses digits. The index is not kept.
"""

from __future__ import annotations

import pickle
from datetime import date, timedelta
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from api2db.core import types
from api2db.core.casting import plain
from api2db.core.errors import ConfigError, FileUnreadable
from api2db.files import codec, codec_pickle
from api2db.files.frame_unpickler import load_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: The kernels; their stubs know no scalars as arguments.
_kernel: Any = pc

#: What CSV has as it is, in a column that mixes types.
_SCALARS = (type(None), bool, int, float, str, Decimal, date)
#: Numbers as pandas and others write them; ``007`` is none.
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_BOOLEAN = "^(True|False)$"


def write(df: Any, file: IO[bytes], fmt: str) -> None:
    """
    Write a DataFrame (n rows x k columns).

    Raises:
        ConfigError: The format is unknown, or has no place for what a column or a row holds.
        pa.ArrowException, TypeError: A column holds what no format has a place for.
        OSError: The disk refused.
    """
    if fmt == "pickle":
        pickle.dump(df.reset_index(drop=True), file, codec_pickle.PROTOCOL)
        return
    table = _table(df, fmt)
    if fmt in codec.TEXTUAL:
        table = _with_text_only(table)
        for part in table.to_batches():
            for reason in codec.unfit(part, fmt).values():
                raise ConfigError(reason, hint="use parquet, or mend the value")
    codec.write(table, file, fmt)


def _table(df: Any, fmt: str) -> pa.Table:
    """Return *df* as a table; Python objects of several types are JSON, in CSV plain text."""
    try:
        return pa.Table.from_pandas(df, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        mixed = [i for i in range(df.shape[1]) if _is_mixed(df.iloc[:, i])]
        if not mixed:
            raise
    rest = df.copy(deep=False)
    for i in mixed:
        rest.isetitem(i, None)
    table = pa.Table.from_pandas(rest, preserve_index=False)
    for i in mixed:
        column = df.iloc[:, i]
        values = [None if missing else v for v, missing in zip(column, column.isna(), strict=True)]
        plain = fmt == "csv" and all(isinstance(v, _SCALARS) for v in values)
        table = table.set_column(i, table.field(i).name, (_as_text if plain else _as_json)(values))
    return table


def _is_mixed(series: Any) -> bool:
    try:
        pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return bool(series.dtype == object)
    return False


def _as_text(values: list[Any]) -> Any:
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _as_json(values: list[Any]) -> Any:
    texts = [None if v is None else orjson.dumps(v, default=_plain).decode() for v in values]
    return pa.ExtensionArray.from_storage(types.JSON, pa.array(texts, pa.string()))


def _with_text_only(table: pa.Table) -> pa.Table:
    """Return *table* with columns that text has a form for: lists and structs are JSON."""
    columns = [_textual(table.column(i)) for i in range(table.num_columns)]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _textual(column: Any) -> Any:
    type_ = column.type
    if pa.types.is_dictionary(type_):
        return _textual(column.cast(type_.value_type))
    if pa.types.is_nested(type_):
        return pa.chunked_array([_as_json(column.to_pylist())])
    if type_ == pa.uint64():
        return column.cast(pa.decimal128(20, 0))
    return column


def _plain(value: Any) -> Any:
    """Return what orjson has no form for as text; raises TypeError for what is no data."""
    if isinstance(value, Decimal):
        return orjson.Fragment(plain(value))
    if isinstance(value, (bytes, timedelta)):
        return str(value)
    raise TypeError(f"a {type(value).__name__} has no place in a file")


def read(path: Path, fmt: str) -> Any:
    """
    Return the DataFrame in the file *path*.

    JSON of the year 2021 (pandas' ``orient="table"``) is read, too. Of a pickle nothing is run.

    Raises:
        FileUnreadable: It is damaged, or in another format.
        ConfigError: The format is unknown.
        OSError: It cannot be opened.
    """
    if fmt == "pickle":
        with path.open("rb") as file:
            return _unpickled(load_frame(file, str(path)))
    if fmt == "json" and _is_object(path):
        return _table_schema(path)
    table = codec.read(path, fmt)
    if fmt == "csv":
        columns = [_numbers(table.column(i)) for i in range(table.num_columns)]
        table = pa.Table.from_arrays(columns, names=table.column_names)
    return of(table)


def _unpickled(frame: Any) -> Any:
    """Return *frame* with objects for the JSON texts in it, if the product has written it."""
    for name, type_ in codec_pickle.types_in(frame).items():
        if type_ == "json" and name in frame.columns:
            frame[name] = _objects(frame[name])
    frame.attrs.pop(codec_pickle.ATTR, None)
    return frame


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def _table_schema(path: Path) -> Any:
    import pandas as pd

    try:
        return pd.read_json(path, orient="table")
    except (ValueError, KeyError, TypeError) as exc:
        raise FileUnreadable(f"{path} holds no DataFrame: {exc}", hint="move it away") from exc


def _numbers(column: Any) -> Any:
    """Return a column of text as numbers or booleans, if all of it is written as such."""
    filled = column.drop_null()
    if not (pa.types.is_string(column.type) and len(filled)):
        return column
    if _all(filled, _NUMBER):
        return column.cast(pa.float64())
    return _kernel.equal(column, "True") if _all(filled, _BOOLEAN) else column


def _all(filled: Any, pattern: str) -> bool:
    return bool(_kernel.all(_kernel.match_substring_regex(filled, pattern)).as_py())


def of(table: pa.Table) -> Any:
    """Return *table* (n rows x k columns of the types of `core.types`) as a DataFrame."""
    import pandas as pd

    json = {i for i in range(table.num_columns) if table.column(i).type == types.JSON}
    plain = [
        pa.nulls(table.num_rows) if i in json else table.column(i) for i in range(table.num_columns)
    ]
    stored = pa.Table.from_arrays(plain, names=table.column_names)
    stored = stored.replace_schema_metadata(table.schema.metadata)
    frame = stored.to_pandas(integer_object_nulls=True)
    for i, name in enumerate(stored.column_names):
        column = table.column(i)
        nullable = _nullable_dtype(column.type) if column.null_count else None
        if i in json:
            frame[name] = _objects(column.cast(pa.string()).to_pylist())
        elif nullable and str(frame[name].dtype) != nullable:
            frame[name] = pd.array(column.to_pylist(), dtype=nullable)
    return frame


def _objects(texts: Iterable[Any]) -> Any:
    """Return the Python objects that JSON *texts* (n, None for NULL) stand for."""
    import pandas as pd

    return pd.Series([_object(text) for text in texts], dtype=object)


def _object(text: Any) -> Any:
    try:
        return orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:  # somebody else has written it
        return text


def _nullable_dtype(type_: pa.DataType) -> str | None:
    """Return pandas' dtype of integers or booleans that may be NULL, None for other types."""
    if pa.types.is_boolean(type_):
        return "boolean"
    if not pa.types.is_integer(type_):
        return None
    return str(type_).replace("uint", "UInt") if "uint" in str(type_) else str(type_).title()


def compose(frames: list[Any]) -> Any:
    """
    Return the rows of *frames*, in order, under all their columns; a fresh index.

    A column that some lack keeps whole numbers whole there.
    """
    import pandas as pd

    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    filled = [frame for frame in frames if len(frame)] or frames[:1]
    torn = [n for n in names if any(n not in frame.columns for frame in filled)]
    whole = [_nullable(frame, torn) for frame in filled]
    return pd.concat(whole, ignore_index=True).reindex(columns=list(names))


def _nullable(frame: Any, names: list[Any]) -> Any:
    kinds = {"i": "Int64", "u": "UInt64", "b": "boolean"}
    wanted = {
        name: kinds[frame[name].dtype.kind]
        for name in names
        if name in frame.columns and getattr(frame[name].dtype, "kind", "") in kinds
    }
    return frame.astype(wanted)


def as_dtypes(frame: Any, dtypes: Mapping[Any, Any]) -> Any:
    """
    Return *frame* with *dtypes* (column -> dtype); an instant without a zone is UTC.

    Raises:
        ValueError, TypeError, KeyError: A value or a column does not fit.
    """
    import pandas as pd

    for name, dtype in dict(dtypes).items():
        wanted = pd.api.types.pandas_dtype(dtype)
        zoned = isinstance(frame.dtypes.get(name), pd.DatetimeTZDtype)
        if zoned and getattr(wanted, "tz", None) is None and wanted.kind == "M":
            frame = frame.assign(**{name: frame[name].dt.tz_convert(None)})
    return frame.astype(dict(dtypes))


def schema_of(dtypes: Mapping[Any, Any]) -> pa.Schema:
    """
    Return the Arrow types (of `core.types`) of columns with *dtypes* (column -> dtype).

    A column of Python objects is taken for text.

    Raises:
        TypeError: pandas knows no such dtype.
    """
    import pandas as pd

    columns = {str(name): pd.Series([], dtype=dtype) for name, dtype in dict(dtypes).items()}
    found = pa.Schema.from_pandas(pd.DataFrame(columns), preserve_index=False)
    return pa.schema([(field.name, _kept(field.type)) for field in found])


def _kept(type_: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(type_):
        return _kept(type_.value_type)
    try:
        return types.arrow_type(types.name_of(type_))
    except ConfigError:
        return pa.string()
