"""What an error of OmniSci, or of the way to it, means for a load."""

from __future__ import annotations

import re

import pyarrow as pa
from heavydb.thrift.ttypes import TDBException
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TException
from thrift.transport.TTransport import TTransportException

from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnavailable, SinkUnknown

#: Class -> kind. A class that is not here has the kind of its nearest base.
CLASSES: dict[type[BaseException], type[SinkError]] = {
    OSError: SinkUnavailable,
    TTransportException: SinkUnavailable,
    # No Thrift, another protocol, another version, or half an answer.
    TProtocolException: SinkUnavailable,
    TApplicationException: SinkMisconfigured,
    # The server's own word. It names no row: what a column refuses is found before.
    TDBException: SinkMisconfigured,
    TException: SinkUnknown,
    pa.ArrowException: SinkUnknown,
}
#: What the server says of a session that it has closed, of itself, or of a lack for now.
_PASSES = re.compile(
    r"session not valid|session has expired|session was (disconnected|idle)|not enough memory"
    r"|out of memory|no space left|server is (busy|shutting|starting)|interrupted|timed? ?out",
    re.IGNORECASE,
)
_HINTS = (
    (r"authentication failure|invalid credentials", "check 'username' and 'password' in AUTH"),
    (r"database name|database .* does not exist", "check 'db'; api2db makes no database"),
    (r"reserved keyword", "give 'table' another name"),
    (r"privilege|not authorized|read-only", "give the user CREATE, ALTER and INSERT rights"),
)


#: What a stream can be told whose server does not answer as one.
_AWAY = "is it up, and are 'host' and 'port' in AUTH and 'protocol' right? It is tried again"
_PROTOCOL = "check 'protocol' and the port: 6274 for binary, 6278 for http"


def translate(exc: Exception, where: str, *, interrupted: bool = False) -> SinkError:
    """
    Return the error of ours that *exc* means.

    Args:
        where: The server, for people.
        interrupted: Whether the call was broken off from another thread.
    """
    if interrupted:
        text = f"OmniSci {where} did not answer in time; the connection was cut"
        return SinkUnavailable(text, hint=_AWAY)
    if isinstance(exc, TDBException):
        said = (exc.error_msg or "no reason given").strip().splitlines()[0]
        if _PASSES.search(said):
            return SinkUnavailable(f"OmniSci {where}: {said}")
        found = (hint for pattern, hint in _HINTS if re.search(pattern, said, re.IGNORECASE))
        return SinkMisconfigured(f"OmniSci {where}: {said}", hint=next(found, None))
    kind = next((CLASSES[cls] for cls in type(exc).__mro__ if cls in CLASSES), SinkUnknown)
    hint = None
    if kind is SinkUnavailable:
        hint = _PROTOCOL if _is_other(exc) else _AWAY
    return kind(f"OmniSci {where}: {type(exc).__name__}: {exc}", hint=hint)


def _is_other(exc: Exception) -> bool:
    """Return whether something else answers, whose words are no lengths of Thrift's."""
    sizes = (TTransportException.NEGATIVE_SIZE, TTransportException.SIZE_LIMIT)
    return isinstance(exc, TProtocolException) or (
        isinstance(exc, TTransportException) and exc.type in sizes
    )
