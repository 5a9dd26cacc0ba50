"""
One spilled batch as a file: Parquet for everybody, a checksum and Arrow IPC for ourselves.

::

    PAR1  pages  [rows as Arrow IPC]  seal  footer  length of the footer  PAR1

A reader of Parquet goes by the footer, whose offsets all lie before the rows: what stands
between pages and footer is nothing to it. The seal holds the length of the IPC rows and a
checksum of all other bytes of the file, for neither Parquet nor Arrow notices a flipped bit.

Small batches are there as IPC too, which is read five times as fast as Parquet: after a long
outage there may be ten thousands of them. The schema's metadata holds the batch's id and origin.
"""

from __future__ import annotations

import io
import struct
from dataclasses import asdict, dataclass

import google_crc32c
import pyarrow as pa

from api2db.core.batch import Batch

#: Up to this size rows are there as IPC too, and are not compressed.
SMALL_BYTES = 64 * 2**10
#: Prefix of the keys in the metadata.
_KEY = "api2db."
_MAGIC = b"API2DBS1"
#: Length of the IPC rows (0: none), checksum, magic.
_SEAL = struct.Struct("<II8s")
#: Length of the footer, magic of Parquet.
_END = struct.Struct("<I4s")


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
    """Return *batch* (n >= 0 rows x k columns) as a file that `decode` gives back as it was."""
    notes = {
        **asdict(origin),
        "batch": batch.id,
        "seq": batch.seq,
        "timestamp_ns": batch.timestamp_ns,
        "poll": batch.poll,
        "first": int(batch.first),
        "last": int(batch.last),
    }
    metadata = {f"{_KEY}{key}": str(value) for key, value in notes.items()}
    import pyarrow.parquet as pq  # takes long to load, and spills are rare

    rows = batch.rows.replace_schema_metadata(metadata)
    small = rows.nbytes <= SMALL_BYTES
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_batches([rows]),
        out,
        compression="none" if small else "zstd",
        use_dictionary=not small,
        write_statistics=False,
    )
    plain = out.getvalue()
    foot = _footer(plain)
    ipc = _ipc(rows) if small else b""
    body = plain[:foot] + ipc
    return body + _seal(body, len(ipc), plain[foot:]) + plain[foot:]


def decode(raw: bytes) -> tuple[Batch, Origin]:
    """
    Return the batch in *raw*, and where it comes from.

    Raises:
        ShardDamaged: The checksum is wrong or missing, or the bytes are no such file.
    """
    try:
        foot = _footer(raw)
        end = foot - _SEAL.size
        length, _, magic = _SEAL.unpack_from(raw, end)
        if end < 0 or magic != _MAGIC:
            raise ShardDamaged("it was not written by api2db")
        if raw[end:foot] != _seal(raw[:end], length, raw[foot:]):
            raise ShardDamaged("the checksum is wrong")
        rows = _from_ipc(raw[end - length : end]) if length else _from_parquet(raw)
        notes = {k.decode(): v.decode() for k, v in (rows.schema.metadata or {}).items()}
        origin = Origin(*(notes[_KEY + key] for key in ("spool", "collector", "stream")))
        batch = Batch(
            notes[f"{_KEY}batch"],
            int(notes[f"{_KEY}seq"]),
            int(notes[f"{_KEY}timestamp_ns"]),
            rows.replace_schema_metadata(None),
            poll=notes[f"{_KEY}poll"],
            first=notes[f"{_KEY}first"] == "1",
            last=notes[f"{_KEY}last"] == "1",
        )
    except (pa.ArrowException, OSError, KeyError, ValueError, struct.error) as exc:
        raise ShardDamaged(str(exc) or type(exc).__name__) from exc
    return batch, origin


def _footer(raw: bytes) -> int:
    """Return where the footer of Parquet begins."""
    length, magic = _END.unpack(raw[-_END.size :])
    start: int = len(raw) - _END.size - length
    if magic != b"PAR1" or start < len(magic):
        raise ShardDamaged("it is no Parquet file")
    return start


def _seal(body: bytes, length: int, footer: bytes) -> bytes:
    size = length.to_bytes(4, "little")
    checksum = google_crc32c.extend(google_crc32c.value(body + size), footer)
    return _SEAL.pack(length, checksum, _MAGIC)


def _ipc(rows: pa.RecordBatch) -> bytes:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_batch(rows)
    return out.getvalue().to_pybytes()


def _from_ipc(raw: bytes) -> pa.RecordBatch:
    return pa.ipc.open_stream(pa.py_buffer(raw)).read_next_batch()


def _from_parquet(raw: bytes) -> pa.RecordBatch:
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(raw)) as file:
        table = file.read(use_threads=False).combine_chunks()
    return table.to_batches()[0]
