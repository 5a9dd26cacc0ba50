"""What an error of OmniSci, or of the way to it, means for a load."""

from __future__ import annotations

import re
import socket

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
    (r"privilege|not authorized|read-only", "give the user CREATE and INSERT on the database"),
)


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc* means."""
    if isinstance(exc, TDBException):
        said = (exc.error_msg or "no reason given").strip().splitlines()[0]
        if _PASSES.search(said):
            return SinkUnavailable(f"OmniSci: {said}")
        found = (hint for pattern, hint in _HINTS if re.search(pattern, said, re.IGNORECASE))
        return SinkMisconfigured(f"OmniSci: {said}", hint=next(found, None))
    message = f"OmniSci: {type(exc).__name__}: {exc}"
    if isinstance(exc, socket.gaierror):
        return SinkUnavailable(message, hint="check 'host' in AUTH")
    if isinstance(exc, TProtocolException):
        hint = "check 'protocol' and the port: 6274 for binary, 6278 for http"
        return SinkUnavailable(message, hint=hint)
    for class_ in type(exc).__mro__:
        if class_ in CLASSES:
            return CLASSES[class_](message)
    return SinkUnknown(message)
