"""Bodies that are nearly JSON: what is not JSON in them is marked, so that good rows land."""

from __future__ import annotations

import codecs
import re
import secrets
from dataclasses import dataclass

#: A string, or a number that JSON does not have.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|NaN|-?Infinity', re.DOTALL)
#: An escape: a pair of surrogates, one alone, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<alone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Mended:
    """
    A body in which NaN, Infinity and lone surrogates are replaced by marked strings.

    Attributes:
        body: The bytes, which may be JSON now.
        mark: What every replacement begins with.
    """

    body: bytes
    mark: bytes

    def fault(self, row: bytes) -> str | None:
        """Return what *row*, a part of `body`, holds that is not JSON; None for nothing."""
        at = row.find(self.mark)
        if at < 0:
            return None
        what = row[at + len(self.mark) :][:5]
        return "a lone surrogate" if what.startswith(b"u") else "NaN or Infinity"

    def undo(self, row: bytes) -> bytes:
        """Return *row* as it was in the body that came."""
        mark = re.escape(self.mark)
        row = re.sub(b'"' + mark + b'(NaN|-?Infinity)"', rb"\1", row)
        return re.sub(mark + rb"(u[0-9a-fA-F]{4})", rb"\\\1", row)


def as_utf8(body: bytes) -> bytes:
    """
    Return *body* without a byte order mark; UTF-16 and UTF-32 with one become UTF-8.

    Raises:
        UnicodeDecodeError: The body is not in the encoding that its mark says.
    """
    if body.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    for bom, encoding in _BOMS:
        if body.startswith(bom):
            return body.decode(encoding).encode()
    return body


def mend(body: bytes) -> Mended | None:
    """Return *body* with what is not JSON in it marked; None if it holds nothing such."""
    if not (b"NaN" in body or b"Infinity" in body or b"\\u" in body):
        return None
    mark = b"unfit-" + secrets.token_hex(8).encode() + b"-"

    def escape(match: re.Match[bytes]) -> bytes:
        alone = match["alone"]
        return match[0] if alone is None else mark + alone

    def token(match: re.Match[bytes]) -> bytes:
        text = match[0]
        if not text.startswith(b'"'):
            return b'"' + mark + text + b'"'
        return _ESCAPE.sub(escape, text) if b"\\u" in text else text

    mended = _TOKEN.sub(token, body)
    return None if mended == body else Mended(mended, mark)
