"""
From a data point to a table, as an `ApiForm` says: steps before, columns, steps after.

Arrow inside; pandas is imported only where a DataFrame is asked for, or a step after the
columns takes one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core.errors import Api2dbError, FormError
from api2db.ingest.data_feature import casting
from api2db.ingest.data_feature.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from api2db.ingest.data_feature.feature import Feature
    from api2db.ingest.post_process.post import Post
    from api2db.ingest.pre_process.pre import Pre
    from api2db.ingest.tally import Tally

#: Values of all rows, by column: ``{"value": ..., "dtype": ...}`` each.
Globals = dict[str, dict[str, Any]]


def prepare(steps: Sequence[Pre], data: Any) -> tuple[Any, Globals]:
    """
    Return what the steps before the columns make of *data*, and the values of all rows.

    Raises:
        FormError: A step failed; says which.
    """
    shared: Globals = {}
    for number, step in enumerate(steps):
        try:
            if step.ctype == "global_extract":
                shared[step.key] = step(lam_arg=data)  # type: ignore[attr-defined]
            else:
                data = step(lam_arg=data)
        except Exception as exc:
            raise _failed("pre_process", number, step, exc) from exc
    return data, shared


def columns(features: Sequence[Feature], data: Any, shared: Globals, tally: Tally) -> pa.Table:
    """
    Return the columns of *features* and of *shared* (n rows), as Arrow casts them.

    Args:
        data: A list of n rows; a dict is one row.
    """
    rows = Rows([data] if isinstance(data, dict) else list(data))
    found: dict[str, pa.Array[Any]] = {}
    for feature in features:
        found[feature.key] = feature.column(rows, tally)
    for key, value in shared.items():
        found[key] = repeated(value["value"], value["dtype"], len(rows.values))
    return pa.table(found)


def repeated(value: object, dtype: Any, n_rows: int) -> Any:
    """Return a column of *n_rows* times *value*; NULL if it cannot be cast."""
    one: Any = casting.column([value], dtype, _ignored)
    return pa.repeat(one[0], n_rows) if one.null_count == 0 else pa.nulls(n_rows, one.type)


def _ignored(error: Exception) -> None:
    """NULL is documented for a value of all rows that cannot be cast."""


# -- pandas --------------------------------------------------------------------------------


def frame(table: pa.Table) -> Any:
    """
    Return *table* as a DataFrame of Int64, Float64, string, and bool.

    A column of booleans with nulls is ``boolean``, where NULL is not False.
    """
    import pandas as pd

    known = {
        pa.int64(): pd.Int64Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    made = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        plain = column.type == pa.bool_() and not column.null_count
        made[name] = column.to_numpy() if plain else known[column.type].__from_arrow__(column)
    return pd.DataFrame(made, copy=False)


def begin(steps: Sequence[Post], table: pa.Table) -> tuple[pa.Table, int]:
    """
    Return what the first steps after the columns make, and how many of them need no pandas.

    Raises:
        FormError: A step failed; says which.
    """
    for number, step in enumerate(steps):
        try:
            made = step.on_table(table)
        except Api2dbError:
            raise
        except Exception as exc:
            raise _failed("post_process", number, step, exc) from exc
        if made is None:
            return table, number
        table = made
    return table, len(steps)


def finish(steps: Sequence[Post], made: Any, done: int = 0) -> Any:
    """
    Return what the steps after the columns make of a DataFrame, with rows from 0 on.

    Args:
        done: So many of the first steps have been done.

    Raises:
        FormError: A step failed; says which.
        SourceUnavailable: The file of a `MergeStatic` is not there yet.
    """
    for number, step in enumerate(steps[done:], done):
        try:
            made = step(made)
        except Api2dbError:
            raise
        except Exception as exc:
            raise _failed("post_process", number, step, exc) from exc
    return made.reset_index(drop=True)


def table(made: Any) -> pa.Table:
    """
    Return a DataFrame as an Arrow table, without its index.

    Raises:
        FormError: A column holds values of different types.
    """
    try:
        found = pa.Table.from_pandas(made, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowException, ValueError, TypeError) as exc:
        lines = str(exc).splitlines() or [type(exc).__name__]
        raise FormError(
            f"a column that post_process made has no one type: {lines[0]}",
            hint="let the step return values of the type that it declares",
        ) from exc
    plain = [pa.string() if pa.types.is_large_string(t) else t for t in found.schema.types]
    return found.cast(pa.schema(zip(found.schema.names, plain, strict=True)))


def _failed(phase: str, number: int, step: object, exc: Exception) -> FormError:
    name = getattr(step, "key", None) or getattr(step, "keys", None)
    what = type(step).__name__ + (f" {name!r}" if name else "")
    lines = str(exc).splitlines() or [""]
    return FormError(
        f"{phase}[{number}] ({what}) failed: {type(exc).__name__}: {lines[0]}",
        hint="see the function that was given to it",
    )
