"""A table of BigQuery that holds the rows of one load until they are moved to where they belong."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.sink import bigquerycolumn as bq

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from google.cloud import bigquery

    from api2db.sink.base import Delivery
    from api2db.sink.bigqueryjobs import Jobs
    from api2db.sink.table import Target

#: After that long BigQuery removes what a stream left behind that never came back.
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Stage:
    """
    Rows on their way.

    Attributes:
        name: The table; of a load job, always the same for the same rows of the same batches.
        rows: How many it holds.
    """

    name: str
    rows: int


def prefix_of(delivery: Delivery) -> str:
    """Return how the names of a delivery's stages begin."""
    parts = (delivery.spool, delivery.collector, delivery.stream)
    return f"_api2db_stage_{_digest(repr(parts).encode())[:12]}_"


def name_of(delivery: Delivery, markers: Iterable[str], *more: bytes) -> str:
    """Return the name of what holds these batches, and no other."""
    return prefix_of(delivery) + _digest(repr(sorted(markers)).encode(), *more)[:20]


def stage(
    jobs: Jobs,
    dataset: str,
    delivery: Delivery,
    markers: Iterable[str],
    columns: Mapping[str, pa.ChunkedArray[Any]],
    targets: Sequence[Target],
) -> Stage:
    """Put rows into a table of *dataset*; column i is named ``c<i>``."""
    from google.cloud import bigquery
    from pyarrow import parquet

    # Names of the source may be anything: they are replaced by numbers.
    names = [f"c{i}" for i in range(len(targets))]
    table = pa.table([columns[target.name] for target in targets], names=names)
    kinds = [bq.staged_type(target.kind) for target in targets]
    schema = [bigquery.SchemaField(*pair) for pair in zip(names, kinds, strict=True)]
    if jobs.writer is not None:
        # A table that is made anew under an old name may not be seen as the new one.
        made = Stage(name_of(delivery, markers, uuid.uuid4().bytes), table.num_rows)
        jobs.create(_table(dataset, made, schema))
        jobs.writer.fill(f"{dataset}.{made.name}", table)
        return made
    file = BytesIO()
    parquet.write_table(table, file, compression="snappy", store_schema=False)
    data = file.getvalue()
    made = Stage(name_of(delivery, markers, data), table.num_rows)
    place = _table(dataset, made, schema)
    jobs.load(data, place, f"{made.name}_load", anew=jobs.create(place))
    return made


def _table(dataset: str, made: Stage, schema: Sequence[bigquery.SchemaField]) -> bigquery.Table:
    from google.cloud import bigquery

    table = bigquery.Table(f"{dataset}.{made.name}", schema=schema)
    table.expires = datetime.now(UTC) + _LIFE
    return table


def _digest(*parts: bytes) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()
