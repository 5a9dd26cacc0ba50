"""
Tables as CSV: RFC 4180 in UTF-8, with a header, lines end in LF.

NULL is nothing between two commas, an empty text is ``""``.
"""

from __future__ import annotations

import csv
import os
import shutil
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from api2db.files.codec_text import beyond_years, texts, typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

#: The kernels; their stubs know neither several arrays nor scalars as arguments.
_kernel: Any = pc

#: Text that must be quoted: it would end the field, be trimmed, or look like NULL.
_QUOTED = r'[",\r\n]|^$|^\s|\s$'
#: Rows that are turned into text at a time; most bytes of a file that are parsed at once.
_ROWS = 100_000
_BLOCK = 1 << 30


def write(parts: Iterable[pa.Table], schema: pa.Schema, file: IO[bytes]) -> None:
    """
    Write *parts* under one header; `codec_text.texts` tells how values are written.

    No columns are an empty line: a file of no bytes is one that somebody has not finished.
    """
    if not schema.names:
        file.write(b"\n")
        return
    header = pa.chunked_array([pa.array(schema.names, pa.string())])
    file.write(",".join(_fields(header).to_pylist()).encode() + b"\n")
    for part in parts:
        _write_rows(part, schema.names, file)


def extend(path: Path, tables: Sequence[pa.Table], file: IO[bytes]) -> None:
    """
    Copy *path*, and add the rows of *tables*.

    Columns that the header lacks are added at its end; then all of *path* is read for it.
    """
    names = _header(path) if path.exists() else []
    parts = [_as_text(table) for table in tables]
    if names and not {name for part in parts for name in part.column_names} <= set(names):
        parts.insert(0, _read(path))
        names = []
    table = pa.concat_tables(parts, promote_options="default")
    if not names:
        write([table], table.schema, file)
        return
    with path.open("rb") as old:
        shutil.copyfileobj(old, file, 1 << 20)
    if not _ends_line(path):
        file.write(b"\n")
    _write_rows(table, names, file)


def read(path: Path) -> pa.Table:
    """Return the table with types found anew."""
    table = _read(path)
    columns = [typed(table.column(i)) for i in range(table.num_columns)]
    return pa.Table.from_arrays(columns, names=table.column_names)


def unfit(rows: pa.RecordBatch) -> dict[int, str]:
    """Return the rows with an instant or a date that has no text."""
    return beyond_years(rows)


def _as_text(table: pa.Table) -> pa.Table:
    columns = [texts(table.column(i)) for i in range(table.num_columns)]
    return pa.Table.from_arrays(columns, names=table.column_names)


def _write_rows(table: pa.Table, names: Sequence[str], file: IO[bytes]) -> None:
    """Write the columns *names* of *table*; one that it lacks is NULL."""
    for start in range(0, table.num_rows, _ROWS):
        part = _as_text(table.slice(start, _ROWS)).combine_chunks()
        nothing = pa.chunked_array([pa.array([""] * part.num_rows)])
        fields = [_fields(part[n]) if n in part.column_names else nothing for n in names]
        lines = _kernel.binary_join_element_wise(*fields, ",").to_pylist()
        file.write("\n".join(lines).encode() + b"\n")


def _fields(column: pa.ChunkedArray[Any]) -> Any:
    """Return text as it stands between commas."""
    doubled = _kernel.replace_substring(column, '"', '""')
    quoted = _kernel.binary_join_element_wise('"', doubled, '"', "")
    must = _kernel.match_substring_regex(column, _QUOTED)
    return _kernel.if_else(must, quoted, column).fill_null("")


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file, strict=True), [])


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _read(path: Path) -> pa.Table:
    """Return all columns as text."""
    names, size = _header(path), path.stat().st_size
    if size and not names:
        return pa.table({})
    # pyarrow takes a header only if its line ends.
    source: Any = path if _ends_line(path) else pa.BufferReader(path.read_bytes() + b"\n")
    return pv.read_csv(
        source,
        pv.ReadOptions(block_size=min(size + 1, _BLOCK)),
        # A line that holds nothing is a row of one column that is NULL.
        pv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
