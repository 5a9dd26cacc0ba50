"""gzip and deflate, in pieces of any size."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest

from api2db.ingest.coding import STEP, Inflater, to_utf8

FORMATS = {"gzip": ("gzip", 31), "zlib": ("deflate", 15), "raw": ("deflate", -15)}
SIZES = [0, 1, 100, STEP - 1, STEP, STEP + 1, 3 * STEP]


def inflate(coding: str, coded: bytes, size: int = 1 << 16) -> tuple[bytes, bool]:
    """Return what *coded* holds if it comes in pieces of *size* bytes, and whether it is whole."""
    inflater = Inflater(coding)
    pieces = [
        p for at in range(0, len(coded), size) for p in inflater.pieces(coded[at : at + size])
    ]
    assert all(len(piece) <= STEP for piece in pieces)
    return b"".join(pieces), inflater.complete


def deflate(body: bytes, wbits: int, level: int = 6) -> bytes:
    """Return *body* coded."""
    packer = zlib.compressobj(level, wbits=wbits)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("n", SIZES)
def test_a_whole_body_is_whole(name: str, n: int) -> None:
    """Of any length, multiples of the step included, at any level; one byte less is cut off."""
    coding, wbits = FORMATS[name]
    for body in (b"\0" * n, os.urandom(n), (b'{"a":1},' * (n // 8 + 1))[:n]):
        for level in (0, 1, 9):
            coded = deflate(body, wbits, level)
            for size in (1 << 16, len(coded)):
                assert inflate(coding, coded, size) == (body, True)
            assert not inflate(coding, coded[:-1])[1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("garbage", [b"\n", b"\0", b"\0" * 512, b"<!-- cached -->", b"x" * 99])
def test_what_stands_behind_the_end_is_ignored(name: str, garbage: bytes) -> None:
    """Padding, comments, a line's end: as gzip(1) and browsers do."""
    coding, wbits = FORMATS[name]
    for size in (1, 7, 1000):
        assert inflate(coding, deflate(b"[1]", wbits) + garbage, size) == (b"[1]", True)


def test_every_member_of_gzip_counts() -> None:
    """Members follow each other; where one has begun, were it by a byte, it must be whole."""
    one = gzip.compress(b"[1,")
    two = gzip.compress(b"2]")
    for size in (1, 7, 1000):
        assert inflate("gzip", one + two, size) == (b"[1,2]", True)
        assert inflate("gzip", one + two + b"\0\0", size) == (b"[1,2]", True)
        for cut in range(1, len(two)):
            assert not inflate("gzip", one + two[:cut], size)[1]


def test_damage_is_an_error() -> None:
    """A wrong checksum, a wrong length, bytes that are not in this coding."""
    coded = gzip.compress(b"[1, 2, 3]")
    for damaged in (coded[:-8] + b"\0" * 8, b"[1, 2, 3]", coded + coded[:-8] + b"\0" * 8):
        with pytest.raises(zlib.error):
            inflate("gzip", damaged)
    with pytest.raises(zlib.error):
        inflate("deflate", zlib.compress(b"[1, 2, 3]")[:-4] + b"\0" * 4)


def test_raw_deflate_is_told_from_zlib_by_two_bytes() -> None:
    """A first byte that both may begin with decides nothing."""
    stored = b"\x08\x03\x00\xfc\xff[1]\x01\x00\x00\xff\xff"  # padding bits need not be zero
    assert inflate("deflate", stored, 1) == (b"[1]", True)


@pytest.mark.parametrize(
    ("charset", "sent"),
    [
        (None, "é".encode()),
        ("utf-8", "é".encode()),
        ("ISO-8859-1", "é".encode("latin-1")),
        ("windows-1252", "é".encode("cp1252")),
        ("utf-16le", "é".encode("utf-16-le")),
        ("UTF-16", "é".encode("utf-16")),
        ("iso-8859-1", "é".encode()),
        ("utf-32", "é".encode()),
        ("utf-8", b"\xff"),
        ("no-such", b"\xff"),
        ("zip", b"\xff"),
    ],
)
def test_a_charset_is_obeyed_where_it_is_meant(charset: str | None, sent: bytes) -> None:
    """UTF-8 stays, whatever is said about it; what cannot be read is for the form to refuse."""
    assert to_utf8(sent, charset) == (sent if sent == b"\xff" else "é".encode())
