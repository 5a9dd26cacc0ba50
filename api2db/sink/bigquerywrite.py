"""Rows into a table of BigQuery by the Storage Write API: in a second, and without a load job."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1 import BigQueryWriteClient, types
from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
    BigQueryWriteGrpcTransport,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from api2db.sink.target import Bigquery

#: Most bytes of Arrow data in one request; BigQuery takes 10 MB.
REQUEST = 4 * 10**6
#: Seconds that one call may take.
TIMEOUT = 60.0
_ONCE: Any = {"retry": None, "timeout": TIMEOUT}
#: The library says no types of these.
_types: Any = types
_errors: Any = exceptions
_connect: Any = BigQueryWriteClient


class Writer:
    """
    A channel to the service. Nothing is retried.

    One thread uses it; `close` is for any.
    """

    def __init__(self, target: Bigquery, credentials: Any) -> None:
        if target.write_endpoint is None:
            self._client = _connect(credentials=credentials)
        else:
            channel = grpc.insecure_channel(target.write_endpoint)
            self._client = _connect(transport=BigQueryWriteGrpcTransport(channel=channel))

    def fill(self, place: str, table: pa.Table) -> None:
        """
        Put *table* into the empty table *place*, all of it or nothing.

        The rows go into a stream of their own, each request with its offset there, which
        BigQuery takes once; they are seen when the stream is committed.
        """
        project, dataset, name = place.rsplit(".", 2)
        parent = f"projects/{project}/datasets/{dataset}/tables/{name}"
        pending = _types.WriteStream(type_=_types.WriteStream.Type.PENDING)
        stream = self._client.create_write_stream(parent=parent, write_stream=pending, **_ONCE).name
        for answer in self._client.append_rows(_requests(stream, table), **_ONCE):
            if answer.error.code:
                raise _errors.from_grpc_status(answer.error.code, answer.error.message)
            for row in answer.row_errors:
                raise _errors.InvalidArgument(row.message)
        written = self._client.finalize_write_stream(name=stream, **_ONCE).row_count
        if written != table.num_rows:
            raise _errors.DataLoss(f"{written} of {table.num_rows} rows were taken")
        commit = _types.BatchCommitWriteStreamsRequest(parent=parent, write_streams=[stream])
        for error in self._client.batch_commit_write_streams(commit, **_ONCE).stream_errors:
            raise _errors.Aborted(error.error_message)

    def close(self) -> None:
        """Close the channel; a call under way fails."""
        with suppress(Exception):
            self._client.transport.close()


def _requests(stream: str, table: pa.Table) -> Iterator[Any]:
    """Yield the requests for all rows of *table*; the first has the schema."""
    schema: Any = _types.ArrowSchema(serialized_schema=table.schema.serialize().to_pybytes())
    rows = max(1, table.num_rows * REQUEST // max(1, table.nbytes))
    offset = 0
    for batch in table.combine_chunks().to_batches(max_chunksize=rows):
        data = _types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes())
        arrow = {"rows": data, "writer_schema": schema} if offset == 0 else {"rows": data}
        yield _types.AppendRowsRequest(
            write_stream=stream,
            offset=offset,
            arrow_rows=_types.AppendRowsRequest.ArrowData(**arrow),
        )
        offset += batch.num_rows
