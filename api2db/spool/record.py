"""
One record of the log: a batch, or only a state, with the collector's state after it.

::

    header (116 bytes, little endian)
        4s  magic "A2R1"        B  version 1    B  kind: 1 data, 2 state
        B   flags: 1 payload is zstd, 2 state is zstd, 4 last page of its poll,
            8 first record of its poll with a payload
        x   H  bytes of poll id                xx
        I   offset in the segment where the group began that was synced at once
        I   rows                I  bytes of state, stored    I  ... decompressed
        I   bytes of payload, stored                         I  ... decompressed
        Q   seq                 Q  hold, 0 for none          16s  batch id
        Q   timestamp_ns        Q  enqueued, epoch ns
        Q   data records before this one    Q  rows in them    Q  bytes of them, headers too
        I   CRC32C of the body
        I   CRC32C of the segment's seed and the header up to here
    body
        poll id (UTF-8), state, payload (one Arrow IPC stream with one record batch)

The running totals say exactly what is missing where records are damaged. The seed (queue id
and segment) keeps bytes that only look like a record, in another place, from being one.
State and payload are zstd frames above 32 KiB; while the log is small, the payload is plain.
The CRCs are checked before anything is decoded, because Arrow and zstd decode damaged bytes
into wrong values without an error.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import google_crc32c
import pyarrow as pa

from api2db.core.batch import Batch
from api2db.core.errors import SpoolFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"A2R1"
VERSION = 1
DATA, STATE = 1, 2
ZSTD_PAYLOAD, ZSTD_STATE, LAST, FIRST = 1, 2, 4, 8

HEADER = struct.Struct("<4sBBBxHxxIIIIIIQQ16sQQQQQII")
MAX_STATE = 64 * 2**20
MAX_PAYLOAD = 2**30

#: Shorter parts are stored plain: zstd costs more there than it saves.
COMPRESS_ABOVE = 32 * 2**10
LEVEL = -1


@dataclass(frozen=True, slots=True)
class Record:
    """
    What a collector puts into the log.

    Attributes:
        rows: n x k, n may be 0; None makes a state record, which is delivered to nobody.
        state: The collector's whole state after this record; opaque bytes.
        poll: Id of the poll, at most 65,535 bytes.
        last: Whether this is the last page of its poll.
        first: Whether no earlier record of the poll has rows.
        hold: Lowest seq that must stay readable by `Spool.poll` while this record's
            state is the newest; None holds nothing.
    """

    rows: pa.RecordBatch | None
    state: bytes
    poll: str = ""
    last: bool = False
    first: bool = False
    hold: int | None = None


class Totals(NamedTuple):
    """Data records, their rows and their bytes, from the beginning of the log to a place in it."""

    batches: int = 0
    rows: int = 0
    bytes: int = 0


class Header(NamedTuple):
    """A record's header, as it lies in the file; see the module."""

    kind: int
    flags: int
    poll_len: int
    group: int = 0
    rows: int = 0
    state_len: int = 0
    state_raw: int = 0
    payload_len: int = 0
    payload_raw: int = 0
    seq: int = 0
    hold: int = 0
    id: bytes = b""
    timestamp_ns: int = 0
    enqueued_ns: int = 0
    batches_before: int = 0
    rows_before: int = 0
    bytes_before: int = 0
    body_crc: int = 0

    @property
    def body_len(self) -> int:
        """Bytes that follow the header."""
        return self.poll_len + self.state_len + self.payload_len

    @property
    def length(self) -> int:
        """Bytes of the whole record."""
        return HEADER.size + self.body_len

    @property
    def before(self) -> Totals:
        """Totals of the records before this one."""
        return Totals(self.batches_before, self.rows_before, self.bytes_before)

    @property
    def after(self) -> Totals:
        """Totals with this one."""
        if self.kind == STATE:
            return self.before
        return Totals(
            self.batches_before + 1, self.rows_before + self.rows, self.bytes_before + self.length
        )

    def pack(self, seed: int) -> bytes:
        """Return the header as bytes, for a segment with *seed*."""
        plain = HEADER.pack(MAGIC, VERSION, *self, 0)[:-4]
        crc: int = google_crc32c.extend(seed, plain)
        return plain + crc.to_bytes(4, "little")


def parse(data: bytes, at: int, seed: int) -> Header | None:
    """Return the header that begins at *at* in *data*, None if none does."""
    raw = data[at : at + HEADER.size]
    if len(raw) < HEADER.size or raw[:4] != MAGIC or raw[4] != VERSION:
        return None
    fields = HEADER.unpack(raw)
    if google_crc32c.extend(seed, raw[:-4]) != fields[-1]:
        return None
    header = Header(*fields[2:-1])
    if max(header.state_len, header.state_raw) > MAX_STATE:
        return None
    if max(header.payload_len, header.payload_raw) > MAX_PAYLOAD:
        return None
    return header if header.kind in (DATA, STATE) else None


@dataclass(frozen=True, slots=True)
class Body:
    """
    A record that is ready but for its place in the log.

    Attributes:
        parts: Poll id, state and payload as they will be stored.
        state: The state as it was put.
        unplaced: The header, but for what its place in the log gives it.
    """

    parts: tuple[bytes, bytes, bytes]
    state: bytes = field(repr=False)
    unplaced: Header

    @property
    def length(self) -> int:
        """Bytes of the whole record."""
        return self.unplaced.length

    def header(
        self,
        *,
        seq: int,
        group: int,
        batch_id: str,
        timestamp_ns: int,
        enqueued_ns: int,
        before: Totals,
    ) -> Header:
        """Return the header for a place in the log."""
        return self.unplaced._replace(
            group=group,
            seq=seq,
            id=bytes.fromhex(batch_id),
            timestamp_ns=timestamp_ns,
            enqueued_ns=enqueued_ns,
            batches_before=before.batches,
            rows_before=before.rows,
            bytes_before=before.bytes,
        )


def encode(record: Record, *, plain: bool = False) -> Body:
    """
    Serialize *record*; runs in the thread that puts, outside every lock.

    Args:
        plain: Whether to leave the rows uncompressed, however many they are.

    Raises:
        SpoolFailed: The state, the poll id or the rows are beyond the format's limits.
    """
    rows = record.rows
    poll = record.poll.encode()
    ipc = pa.py_buffer(b"") if rows is None else _to_ipc(rows)
    if len(record.state) > MAX_STATE or ipc.size > MAX_PAYLOAD or len(poll) > 0xFFFF:
        raise SpoolFailed(
            f"a record is too large: {len(record.state)} bytes of state, {ipc.size} of rows",
            hint=f"the limits are {MAX_STATE} and {MAX_PAYLOAD}; fetch smaller pages",
        )
    state, state_zstd = _compress(pa.py_buffer(record.state))
    payload, payload_zstd = (ipc.to_pybytes(), False) if plain else _compress(ipc)
    flags = (
        payload_zstd * ZSTD_PAYLOAD
        | state_zstd * ZSTD_STATE
        | record.last * LAST
        | record.first * FIRST
    )
    parts = (poll, state, payload)
    unplaced = Header(
        kind=STATE if rows is None else DATA,
        flags=flags,
        poll_len=len(poll),
        rows=0 if rows is None else rows.num_rows,
        state_len=len(state),
        state_raw=len(record.state),
        payload_len=len(payload),
        payload_raw=ipc.size,
        hold=record.hold or 0,
        body_crc=crc_of(parts),
    )
    return Body(parts, record.state, unplaced)


def crc_of(parts: Sequence[bytes]) -> int:
    """Return the CRC32C of *parts* one after the other."""
    crc = 0
    for part in parts:
        crc = google_crc32c.extend(crc, part)
    return crc


def state_of(header: Header, body: bytes) -> bytes:
    """Return the collector's state in a body whose CRC is right."""
    stored = body[header.poll_len : header.poll_len + header.state_len]
    if not header.flags & ZSTD_STATE:
        return stored
    return pa.Codec("zstd").decompress(stored, header.state_raw, asbytes=True)


def poll_of(header: Header, body: bytes) -> str:
    """Return the poll's id in a body whose CRC is right."""
    return body[: header.poll_len].decode()


def decode(header: Header, body: bytes) -> Batch:
    """
    Return the batch in a data record whose CRC is right.

    Raises:
        pa.ArrowException: The bytes are what was written, but this Arrow cannot read them.
    """
    payload = pa.py_buffer(body[header.poll_len + header.state_len :])  # a copy, and so aligned
    if header.flags & ZSTD_PAYLOAD:
        payload = pa.Codec("zstd").decompress(payload, header.payload_raw)
    rows = pa.ipc.open_stream(payload).read_next_batch()
    return Batch(
        id=header.id.hex(),
        seq=header.seq,
        timestamp_ns=header.timestamp_ns,
        rows=rows,
        poll=poll_of(header, body),
        last=bool(header.flags & LAST),
        first=bool(header.flags & FIRST),
    )


def _to_ipc(rows: pa.RecordBatch) -> pa.Buffer:
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_batch(rows)
    return out.getvalue()


def _compress(data: pa.Buffer) -> tuple[bytes, bool]:
    """Return *data* as stored, and whether it is compressed."""
    if data.size > COMPRESS_ABOVE:
        packed: bytes = pa.Codec("zstd", LEVEL).compress(data, asbytes=True)
        if len(packed) < data.size:
            return packed, True
    return data.to_pybytes(), False
