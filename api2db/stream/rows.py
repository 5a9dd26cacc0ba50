"""The rows of a DataFrame that is put into a stream."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from api2db.core.types import names_of
from api2db.ingest.chunk import Chunk
from api2db.ingest.native import chunks


def rows_of(data: Any) -> Chunk:
    """
    Return the rows of *data* (n >= 0 rows x k columns), with the types that its columns have.

    So a text stays text where it looks like a time, and floats stay floats.

    Raises:
        FormError: It is no DataFrame.
    """
    rows = Chunk([])
    for chunk in chunks(data):
        rows.extend(chunk)
    rows.types = _types(data)
    return rows


def _types(data: Any) -> dict[str, str]:
    try:
        schema = pa.Schema.from_pandas(data, preserve_index=False)
    except (AttributeError, OverflowError, TypeError, pa.ArrowException):  # the values tell
        return {}
    return {str(name): type_ for name, type_ in names_of(schema).items()}
