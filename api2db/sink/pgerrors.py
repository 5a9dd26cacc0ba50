"""What an error of PostgreSQL, or of its driver, means for a load."""

from __future__ import annotations

import psycopg

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: SQLSTATE classes and states (appendix A of the manual) -> kind; the longest prefix wins.
STATES: dict[str, type[SinkError]] = {
    "08": SinkUnavailable,  # connection exception
    "09": SinkRejected,  # raised by a trigger
    "0A": SinkMisconfigured,  # feature not supported
    "0L": SinkMisconfigured,
    "0P": SinkMisconfigured,
    "20": SinkRejected,  # no case for a value, in a trigger
    "21": SinkRejected,  # cardinality violation
    "22": SinkRejected,  # data exception
    "23": SinkRejected,  # integrity constraint violation
    "25006": SinkUnavailable,  # read-only transaction: a standby, during a failover
    "25P03": SinkUnavailable,
    "25P04": SinkUnavailable,
    "27": SinkRejected,  # a row that its own trigger has changed
    "28": SinkMisconfigured,  # invalid authorization
    "2B": SinkMisconfigured,  # privileges that others depend on
    "3D": SinkMisconfigured,  # no such database
    "3F": SinkMisconfigured,  # no such schema
    "40": SinkUnavailable,  # serialization failure, deadlock
    "40003": SinkUnknown,  # statement completion unknown
    "42": SinkMisconfigured,  # syntax, access rule, undefined object
    "44": SinkRejected,  # with check option violation
    "53": SinkUnavailable,  # insufficient resources
    "54": SinkMisconfigured,  # program limit exceeded: too many columns, a row too large
    "54000": SinkRejected,
    "55": SinkUnavailable,  # object not in prerequisite state, lock not available
    "57": SinkUnavailable,  # operator intervention: shutdown, cancelled
    "57P04": SinkMisconfigured,  # the database was dropped
    "58": SinkUnavailable,  # system error
    "72": SinkUnavailable,  # snapshot too old
    "F0": SinkMisconfigured,  # the server's own configuration
    "HV00N": SinkUnavailable,  # a foreign table whose server is away
    "P0": SinkRejected,  # raised by a user's trigger
    "XX": SinkUnknown,
}
#: What libpq says at login, where it hands on no SQLSTATE.
_LOGIN = (
    "authentication failed",
    "no password supplied",
    "pg_hba.conf",
    "does not exist",
    "permission denied",
    "not permitted to log in",
    "certificate",
    "invalid connection option",
    "invalid value for parameter",
)


def translate(exc: psycopg.Error, *, interrupted: bool = False) -> SinkError:
    """Return the error of ours that *exc* means; the message names no row's content."""
    state = exc.sqlstate or ""
    text = (exc.diag.message_primary or str(exc)).strip().splitlines() or [type(exc).__name__]
    message = f"PostgreSQL: {text[0]}" + (f" ({state})" if state else "")
    if interrupted:
        return SinkUnavailable("PostgreSQL did not answer in time; the connection was cut")
    for length in (5, 2):
        kind = STATES.get(state[:length]) if state else None
        if kind is not None:
            return kind(message)
    if state:
        return SinkUnknown(message)
    if isinstance(exc, (psycopg.DataError, psycopg.IntegrityError)):
        return SinkRejected(message)
    if isinstance(exc, psycopg.NotSupportedError):
        return SinkMisconfigured(message)
    if isinstance(exc, (psycopg.OperationalError, psycopg.InterfaceError)):
        whole = str(exc).lower()
        if any(words in whole for words in _LOGIN):
            hint = "check the url of the stream; it is tried again by itself"
            return SinkMisconfigured(message, hint=hint)
        return SinkUnavailable(message)
    if isinstance(exc, psycopg.ProgrammingError):
        hint = "check the url of the stream"
        return SinkMisconfigured(message, hint=hint)
    return SinkUnknown(message)
