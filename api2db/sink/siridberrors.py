"""What an error of SiriDB, or on the way to it, means for a load."""

from __future__ import annotations

from siridb.connector.lib import exceptions as siri

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: Class -> kind. A class that is not here has the kind of its nearest base.
CLASSES: dict[type[BaseException], type[SinkError]] = {
    siri.ServerError: SinkUnavailable,  # paused, or busy with another server
    siri.PoolError: SinkUnavailable,  # no server of a pool is there
    siri.InsertError: SinkRejected,
    siri.QueryError: SinkMisconfigured,
    siri.AuthenticationError: SinkMisconfigured,
    siri.UserAuthError: SinkMisconfigured,
    OverflowError: SinkRejected,  # what the client's packer does not take
    SystemError: SinkRejected,
    OSError: SinkUnavailable,
    TimeoutError: SinkUnavailable,
    RuntimeError: SinkUnavailable,  # a general message: the database is being loaded
    Exception: SinkUnknown,
}
_AWAY = "is it up, and is 'hostlist' in the AUTH file right? It is tried again by itself"
_HINTS: dict[type[BaseException], str] = {
    siri.AuthenticationError: "check username, password and dbname of the stream's AUTH file;"
    " it is tried again by itself",
    OSError: _AWAY,
    TimeoutError: _AWAY,
    siri.UserAuthError: "grant the user select, insert, drop, list, count and show",
}


def translate(exc: BaseException, where: str, *, interrupted: bool = False) -> SinkError:
    """
    Return the error of ours that *exc* means; the message names no row's content.

    Args:
        where: The server, for people.
        interrupted: Whether the call was broken off from another thread.
    """
    if interrupted:
        text = f"SiriDB {where} did not answer in time; the connection was cut"
        return SinkUnavailable(text, hint=_AWAY)
    kind = next((CLASSES[cls] for cls in type(exc).__mro__ if cls in CLASSES), SinkUnknown)
    text = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
    hint = next((_HINTS[cls] for cls in type(exc).__mro__ if cls in _HINTS), None)
    return kind(f"SiriDB {where}: {text}", hint=hint)
