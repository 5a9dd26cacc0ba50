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
_LOGIN = "in the stream's AUTH file; it is tried again by itself"
_NO_DATABASE = f"make the database, or check dbname {_LOGIN}"
_HINTS: dict[type[BaseException], str] = {
    siri.AuthenticationError: f"check username and password {_LOGIN}",
    OSError: _AWAY,
    siri.UserAuthError: "grant the user select, insert, drop, list, count and show",
}
#: What an insert is answered that failed for the server's own sake: a full disk, a lost pool.
_SERVERS_OWN = ("Critical error occurred", "Error occurred while sending")


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
    classes = type(exc).__mro__
    kind = next((CLASSES[cls] for cls in classes if cls in CLASSES), SinkUnknown)
    hint = next((_HINTS[cls] for cls in classes if cls in _HINTS), None)
    text = (str(exc).strip().splitlines() or [type(exc).__name__])[0]
    if isinstance(exc, TimeoutError):  # it tells the client's own number of the request
        text = "no answer in time"
    elif text.startswith("Unknown database"):
        hint = _NO_DATABASE
    elif isinstance(exc, siri.InsertError) and text.startswith(_SERVERS_OWN):
        kind = SinkUnknown
    return kind(f"SiriDB {where}: {text}", hint=hint)
