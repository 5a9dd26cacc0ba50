"""
Tables as files: Parquet, JSON, CSV, and pickled pandas DataFrames.

What a format keeps of a column's type (`core.types`)::

    parquet   all of it: Arrow types, JSON too
    pickle    all of it, as long as the DataFrame keeps its ``attrs``; JSON is its text
    json      what JSON has; instants and dates are ISO 8601 text, decimals numbers with
              all their digits, JSON columns are nested
    csv       text; JSON columns are JSON text; NULL is nothing, an empty text is ``""``

`read` finds types anew in JSON and CSV. A value becomes more than text only if it would be
written as the same text again: ``007`` stays text.
"""

from __future__ import annotations

import csv
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core.errors import Api2dbError, ConfigError, FileUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: Every format; also how its files' names end.
FORMATS = ("parquet", "json", "csv", "pickle")
#: What is added to the name of a file that cannot be read.
UNREADABLE = ".unreadable"
#: Formats whose files take more rows at their end without being read.
TEXTUAL = frozenset({"json", "csv"})


def write(table: pa.Table, file: IO[bytes], fmt: str) -> None:
    """
    Write *table* (n rows x k columns of the types of `core.types`) to *file*.

    `unfit` says before which rows the format cannot hold.

    Raises:
        ConfigError: The format has no place for a column's type.
        OSError: The disk refused.
    """
    write_parts([table], table.schema, file, fmt)


def write_parts(parts: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes], fmt: str) -> None:
    """
    Write a table that need not fit into memory: its *parts*, one after the other.

    A pickle is made in memory all the same. Errors as `write`.

    Args:
        schema: All columns. Parts of JSON and CSV may lack some, and have other types.
    """
    _codec(fmt).write(parts, schema, file)


def read(path: Path, fmt: str) -> pa.Table:
    """
    Return the table in the file *path*.

    Raises:
        FileUnreadable: It is damaged, or in another format.
        OSError: It cannot be opened.
    """
    try:
        table: pa.Table = _codec(fmt).read(path)
    except (OSError, Api2dbError):
        raise
    except (pa.ArrowException, ValueError, csv.Error) as exc:
        raise _unreadable(path, fmt, exc) from exc
    return table


def extend(path: Path, tables: Sequence[pa.Table], file: IO[bytes], fmt: str) -> None:
    """
    Write to *file* what the file *path* holds, and then *tables*; *fmt* is one of `TEXTUAL`.

    What *path* holds is copied as it is written there; if it is not there, the file begins
    with *tables*, which need not have the same columns. Errors as `read` and `write`.
    """
    try:
        _codec(fmt).extend(path, tables, file)
    except (OSError, Api2dbError):
        raise
    except (pa.ArrowException, ValueError, csv.Error) as exc:
        raise _unreadable(path, fmt, exc) from exc


def unfit(rows: pa.RecordBatch, fmt: str) -> dict[int, str]:
    """Return the rows that the format would alter, each with the reason."""
    found: dict[int, str] = _codec(fmt).unfit(rows)
    return found


def _unreadable(path: Path, fmt: str, exc: Exception) -> FileUnreadable:
    lines = str(exc).splitlines() or [type(exc).__name__]
    return FileUnreadable(
        f"{path} cannot be read as {fmt}: {lines[0]}", hint="move it away, or mend it"
    )


def _codec(fmt: str) -> Any:
    """Return the module of a format; pandas is imported only for pickle."""
    if fmt not in FORMATS:
        raise ConfigError(f"{fmt!r} is no format of files", hint=f"use {', '.join(FORMATS)}")
    return import_module(f"api2db.files.codec_{fmt}")
