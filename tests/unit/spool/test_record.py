"""The bytes of a record are those of the documented format, and damage to any of them is seen."""

from __future__ import annotations

import struct
from decimal import Decimal

import google_crc32c
import pyarrow as pa
import pytest

from api2db.core.errors import SpoolFailed
from api2db.spool import record as fmt
from api2db.spool.record import Body, Header, Record, Totals
from tests.unit.spool.conftest import rows

SEED = 1234


def at_a_place(body: Body, seq: int = 7) -> Header:
    """Return the header for a place in a log."""
    return body.header(
        seq=seq,
        group=64,
        batch_id="00112233445566778899aabbccddeeff",
        timestamp_ns=11,
        enqueued_ns=12,
        before=Totals(3, 40, 500),
    )


def placed(record: Record, seq: int = 7) -> tuple[Header, bytes, bytes]:
    """Return a record's header, its bytes and its body, at a place in a log."""
    body = fmt.encode(record)
    header = at_a_place(body, seq)
    return header, header.pack(SEED), b"".join(body.parts)


def test_a_records_bytes_are_the_documented_ones() -> None:
    """Every field lies where the module's first lines say; the test unpacks by offsets."""
    _, head, body = placed(Record(rows(1, 2), b"state", poll="p1", last=True, hold=5))
    assert len(head) == 116
    assert head[:4] == b"A2R1"
    assert list(head[4:8]) == [1, 1, 4, 0]  # version, data, last page, nothing
    assert struct.unpack_from("<H", head, 8) == (2,)
    payload = body[2 + 5 :]
    lengths = struct.unpack_from("<6I", head, 12)
    assert lengths == (64, 2, 5, 5, len(payload), len(payload))
    assert struct.unpack_from("<QQ", head, 36) == (7, 5)
    assert head[52:68].hex() == "00112233445566778899aabbccddeeff"
    assert struct.unpack_from("<5Q", head, 68) == (11, 12, 3, 40, 500)
    assert struct.unpack_from("<I", head, 108) == (google_crc32c.value(body),)
    assert struct.unpack_from("<I", head, 112) == (google_crc32c.extend(SEED, head[:112]),)
    assert body[:7] == b"p1state"
    assert pa.ipc.open_stream(payload).read_all().to_pydict() == {"v": [1, 2]}


def test_a_batch_comes_back_with_types_metadata_and_extensions() -> None:
    """JSON columns, instants with zone, decimals, field and schema metadata are kept."""
    schema = pa.schema(
        [
            pa.field("j", pa.json_(pa.string()), metadata={b"k": b"v"}),
            pa.field("t", pa.timestamp("us", "UTC")),
            pa.field("d", pa.decimal128(38, 9)),
        ],
        metadata={b"form": b"1"},
    )
    batch = pa.record_batch(
        [
            pa.ExtensionArray.from_storage(schema.field("j").type, pa.array(['{"a":1}', None])),
            pa.array([0, None], schema.field("t").type),
            pa.array([None, 1], schema.field("d").type),
        ],
        schema=schema,
    )
    header, _, body = placed(Record(batch, b""))
    found = fmt.decode(header, body)
    assert found.rows.equals(batch)
    assert found.rows.schema.equals(schema, check_metadata=True)
    assert (found.id, found.seq, found.timestamp_ns) == (header.id.hex(), 7, 11)


def test_only_long_parts_are_compressed() -> None:
    """State and rows are zstd frames above 32 KiB, plain below, and read alike."""
    small, _, body = placed(Record(rows(1), b"x" * 100))
    assert small.flags & (fmt.ZSTD_PAYLOAD | fmt.ZSTD_STATE) == 0
    large = Record(rows(*range(10_000)), b"x" * 100_000)
    header, _, body = placed(large)
    assert header.flags == fmt.ZSTD_PAYLOAD | fmt.ZSTD_STATE
    assert len(body) < 60_000
    assert fmt.state_of(header, body) == large.state
    assert fmt.decode(header, body).rows.num_rows == 10_000


@pytest.mark.parametrize("plain", [True, False])
def test_columns_of_a_batch_are_aligned(plain: bool) -> None:
    """Wherever they lie in a record: Arrow computes on them without a warning."""
    n = 5000
    batch = pa.record_batch(
        {
            "i": range(n),
            "t": [f"row {i}" for i in range(n)],
            "d": pa.array([Decimal("1.5")] * n, pa.decimal128(38, 4)),
        }
    )
    for i in range(9):
        encoded = fmt.encode(Record(batch, b"s" * i, poll="p" * (i // 3)), plain=plain)
        assert bool(encoded.unplaced.flags & fmt.ZSTD_PAYLOAD) is not plain
        found = fmt.decode(at_a_place(encoded), b"".join(encoded.parts))
        assert found.rows == batch
        buffers = [b for column in found.rows.columns for b in column.buffers() if b]
        assert {buffer.address % 8 for buffer in buffers} == {0}


def test_every_flipped_bit_is_seen() -> None:
    """No single bit of header or body can change without a CRC that is wrong."""
    header, head, body = placed(Record(rows(1), b"state"))
    for i in range(len(head) * 8):
        bad = bytearray(head)
        bad[i // 8] ^= 1 << i % 8
        assert fmt.parse(bytes(bad), 0, SEED) is None
    for i in range(len(body) * 8):
        bad = bytearray(body)
        bad[i // 8] ^= 1 << i % 8
        assert fmt.crc_of((bytes(bad),)) != header.body_crc


def test_a_record_of_another_segment_is_none() -> None:
    """The same bytes are no record where the seed is another."""
    _, head, _ = placed(Record(rows(1), b""))
    assert fmt.parse(head, 0, SEED) is not None
    assert fmt.parse(head, 0, SEED + 1) is None


def test_lengths_are_bounded_before_use() -> None:
    """A header with a right CRC that claims 2 GiB is refused."""
    header, _, _ = placed(Record(rows(1), b""))
    assert fmt.parse(header._replace(payload_raw=2**31).pack(SEED), 0, SEED) is None
    assert fmt.parse(header._replace(state_len=2**27).pack(SEED), 0, SEED) is None


def test_what_the_format_cannot_hold_is_refused() -> None:
    """A state beyond 64 MiB raises before anything is written."""
    with pytest.raises(SpoolFailed, match="too large"):
        fmt.encode(Record(None, bytes(fmt.MAX_STATE + 1)))
