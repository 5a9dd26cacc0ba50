"""One spilled batch as a Parquet file with its origin and a checksum of the whole."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass

import google_crc32c
import pyarrow as pa

from api2db.core.batch import Batch

#: Up to this size rows are not compressed.
PLAIN_BYTES = 32 * 2**10
#: Prefix of the keys in the file's metadata.
_KEY = "api2db."
_SUM = f"{_KEY}crc32c"
_BLANK = b"0" * 8
#: Bytes between a key and its value in a Parquet footer: a field's type, a length.
_BETWEEN = 2


class ShardDamaged(ValueError):
    """The bytes are not what was written, or were not written as a spilled batch."""


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a batch comes from.

    Attributes:
        spool: Id of the log that numbers it (32 hex digits).
        collector: Name of its collector.
        stream: Name of the stream that could not take it.
    """

    spool: str
    collector: str
    stream: str


def encode(batch: Batch, origin: Origin) -> bytes:
    """
    Return *batch* (n >= 0 rows x k columns) as a Parquet file that `decode` gives back as it was.

    Any reader of Parquet takes the file. Neither the format nor Arrow notices a flipped bit,
    so the footer holds a checksum of all bytes, made while the checksum itself is zeros.
    """
    notes = {
        **asdict(origin),
        "batch": batch.id,
        "seq": batch.seq,
        "timestamp_ns": batch.timestamp_ns,
        "poll": batch.poll,
        "last": int(batch.last),
    }
    metadata = {f"{_KEY}{key}": str(value) for key, value in notes.items()}
    schema = batch.rows.schema.with_metadata({**metadata, _SUM: _BLANK.decode()})
    table = pa.Table.from_batches([batch.rows]).cast(schema)
    import pyarrow.parquet as pq  # takes long to load, and spills are rare

    out = io.BytesIO()
    # Small files are read back soonest plain: half of the time would go into decompression.
    pq.write_table(
        table,
        out,
        compression="zstd" if batch.rows.nbytes > PLAIN_BYTES else "none",
        use_dictionary=False,
        write_statistics=False,
    )
    raw = bytearray(out.getbuffer())
    at = _place(raw)
    raw[at : at + len(_BLANK)] = f"{google_crc32c.value(bytes(raw)):08x}".encode()
    return bytes(raw)


def decode(raw: bytes) -> tuple[Batch, Origin]:
    """
    Return the batch in *raw*, and where it comes from.

    Raises:
        ShardDamaged: The checksum is wrong or missing, or the bytes are no such file.
    """
    import pyarrow.parquet as pq

    try:
        at = _place(raw)
        end = at + len(_BLANK)
        if int(raw[at:end], 16) != google_crc32c.value(raw[:at] + _BLANK + raw[end:]):
            raise ShardDamaged("the checksum is wrong")
        with pq.ParquetFile(pa.BufferReader(raw)) as file:
            table = file.read(use_threads=False)
        notes = {
            key.decode().removeprefix(_KEY): value.decode()
            for key, value in (table.schema.metadata or {}).items()
        }
        rows = _one(table.replace_schema_metadata(None))
        origin = Origin(notes["spool"], notes["collector"], notes["stream"])
        return (
            Batch(
                notes["batch"],
                int(notes["seq"]),
                int(notes["timestamp_ns"]),
                rows,
                notes["poll"],
                notes["last"] == "1",
            ),
            origin,
        )
    except (pa.ArrowException, OSError, KeyError, ValueError) as exc:
        raise ShardDamaged(str(exc) or type(exc).__name__) from exc


def _place(raw: bytes | bytearray) -> int:
    """Return where the digits of the checksum are."""
    at = raw.rfind(_SUM.encode())
    if at < 0:
        raise ShardDamaged("it was not written by api2db")
    return at + len(_SUM) + _BETWEEN


def _one(table: pa.Table) -> pa.RecordBatch:
    chunks = table.combine_chunks().to_batches()
    if chunks:
        return chunks[0]
    return pa.RecordBatch.from_pylist([], schema=table.schema)
