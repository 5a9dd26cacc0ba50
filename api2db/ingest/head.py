"""The head of an answer, and where it says that the body ends: `http.client`, made strict."""

from __future__ import annotations

import http.client
import re
from email.errors import MissingHeaderBodySeparatorDefect

import httpcore2

_LENGTH = re.compile(r"[0-9]{1,18}")
#: The size of a chunk; what follows a semicolon are its extensions.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?\r?\n", re.DOTALL)
_LINE = 65_536
_BODILESS = (http.client.NO_CONTENT, http.client.NOT_MODIFIED)


class Head(http.client.HTTPResponse):
    """An answer after its interim ones (1xx), of which http.client passes over 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)

    def _read_next_chunk_size(self) -> int:
        """Read a whole line: ``int`` would take 0x3 and 1_0, and 0 for a 0F that is cut off."""
        line = self.fp.readline(_LINE)
        size = _SIZE.fullmatch(line)
        if size is None:
            self.close()
            raise ValueError("no size of a chunk")
        return int(size[1], 16)

    def chunks(self) -> None:
        """Read the body as chunks, whatever else the head says (RFC 9112, section 6.3)."""
        self.chunked = True
        self.chunk_left = None
        self.length = None
        self.will_close = self._check_close()  # type: ignore[attr-defined]

    def nothing(self) -> None:
        """Read no body, whatever the head says: there is none."""
        self.chunked = False
        self.length = 0


def check(head: Head) -> None:
    """
    Refuse what `http.client` would take otherwise than it was meant.

    A length that is none would be "until the end", and so would a coding that is not written
    as it expects; after a line that is no header the others, such as the link to the next page,
    would be missing.

    Raises:
        httpcore2.RemoteProtocolError: Where the body ends is not known.
    """
    if any(isinstance(defect, MissingHeaderBodySeparatorDefect) for defect in head.headers.defects):
        raise httpcore2.RemoteProtocolError("the head has a line that is no header")
    lengths = {length.strip() for length in head.headers.get_all("Content-Length", ())}
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise httpcore2.RemoteProtocolError("Content-Length is no length")
    written = ",".join(head.headers.get_all("Transfer-Encoding", ())).lower().split(",")
    codings = {coding.strip() for coding in written} - {"", "identity"}
    if codings - {"chunked"}:
        raise httpcore2.RemoteProtocolError("its Transfer-Encoding was not asked for")
    if codings:
        head.chunks()
    if head.status in _BODILESS:
        head.nothing()
