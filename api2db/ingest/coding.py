"""Content codings of HTTP: gzip and deflate, a piece at a time; charsets, in the end."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that one step of decompression may give.
STEP = 1 << 20

_GZIP = 31
_ZLIB = 15
_RAW = -15
_MAGIC = b"\x1f\x8b"


class Inflater:
    """
    Decompresses one body; used by one thread.

    A gzip body may have several members, each of which must be whole and have the right
    checksum. Deflate comes with a zlib header, as RFC 9110 says, or without, as some servers
    send it. What stands behind the end and does not begin another gzip member is ignored, as
    gzip(1) and browsers do: the decoder of the body decides whether it has all it needs.
    """

    def __init__(self, coding: str) -> None:
        self._gzip = coding == "gzip"
        self._begin = b""  # bytes that do not yet tell what they begin
        self._stream: zlib._Decompress | None = None
        self._streams = 0
        self._ended = False

    @property
    def complete(self) -> bool:
        """Whether the body may end here: no bytes at all are an empty body."""
        return self._stream is None and not self._begin

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """
        Yield *chunk* decompressed, `STEP` bytes at most at a time: a bomb never sits in memory.

        Raises:
            zlib.error: The bytes are damaged, or are not in this coding.
        """
        while chunk and not self._ended:
            if self._stream is None:
                chunk = self._begin + chunk
                self._begin = b""
                if self._streams and not (self._gzip and _MAGIC.startswith(chunk[:2])):
                    self._ended = True
                    return
                if len(chunk) < len(_MAGIC):
                    self._begin = chunk
                    return
                self._stream = zlib.decompressobj(self._format(chunk))
                self._streams += 1
            piece = self._stream.decompress(chunk, STEP)
            yield piece
            chunk = self._stream.unconsumed_tail
            while len(piece) == STEP and not chunk and not self._stream.eof:
                # All of the input is taken, but not all of the output is out.
                piece = self._stream.decompress(b"", STEP)
                yield piece
            if self._stream.eof:
                chunk = self._stream.unused_data
                self._stream = None

    def _format(self, begin: bytes) -> int:
        """Return zlib's number for the format that begins with these two bytes."""
        if self._gzip:
            return _GZIP
        zlib_header = begin[0] & 0x0F == zlib.DEFLATED and (begin[0] << 8 | begin[1]) % 31 == 0
        return _ZLIB if zlib_header else _RAW


def to_utf8(body: bytes, charset: str | None) -> bytes:
    """
    Return *body* in UTF-8, as JSON must be, if *charset* says that it is in something else.

    A body that is UTF-8 all the same stays: many servers add a charset that they never heeded.
    """
    charset = (charset or "").lower()
    if charset.replace("-", "") in ("", "utf8", "usascii", "ascii"):
        return body
    if not charset.startswith(("utf-16", "utf-32")):  # in which NUL is UTF-8, too
        with suppress(UnicodeDecodeError):
            body.decode()
            return body
    with suppress(LookupError, UnicodeError):  # else the form says what is wrong
        return body.decode(charset).encode()
    return body
