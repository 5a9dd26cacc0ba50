"""Content codings of HTTP: gzip and deflate, a piece at a time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Bytes that one step of decompression may give.
STEP = 1 << 20

_GZIP = 31
_ZLIB = 15
_RAW = -15


class Inflater:
    """
    Decompresses one body; used by one thread.

    A gzip body may have several members, with zeros behind the last. Deflate comes with a
    zlib header, as RFC 9110 says, or without, as some servers send it.
    """

    def __init__(self, coding: str) -> None:
        self._gzip = coding == "gzip"
        self._member: zlib._Decompress | None = None
        self._members = 0

    @property
    def complete(self) -> bool:
        """Whether the body may end here: no bytes at all are an empty body."""
        return self._member is None

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """
        Yield *chunk* decompressed, `STEP` bytes at most at a time: a bomb never sits in memory.

        Raises:
            zlib.error: The bytes are damaged, or are not in this coding.
        """
        while chunk:
            if self._member is None:
                chunk = chunk.lstrip(b"\0") if self._members else chunk
                if not chunk:
                    return
                self._member = zlib.decompressobj(self._format(chunk))
                self._members += 1
            yield self._member.decompress(chunk, STEP)
            chunk = self._member.unconsumed_tail or self._member.unused_data
            if self._member.eof:
                self._member = None

    def _format(self, chunk: bytes) -> int:
        if self._gzip:
            return _GZIP
        if self._members:
            raise zlib.error("there are bytes behind the end")
        return _ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else _RAW
