"""What an error of SQLAlchemy, or of a driver below it, means for a load."""

from __future__ import annotations

import sqlalchemy as sa

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: The classes of PEP 249, as SQLAlchemy names them -> kind; the first that fits.
_KINDS: tuple[tuple[type[Exception], type[SinkError]], ...] = (
    (sa.exc.DataError, SinkRejected),
    (sa.exc.IntegrityError, SinkRejected),
    (sa.exc.ProgrammingError, SinkMisconfigured),
    (sa.exc.NotSupportedError, SinkMisconfigured),
    (sa.exc.OperationalError, SinkUnavailable),
    (sa.exc.InterfaceError, SinkUnavailable),
    (sa.exc.InvalidRequestError, SinkUnavailable),  # no transaction: the connection was lost
    (sa.exc.ArgumentError, SinkMisconfigured),
    (OverflowError, SinkRejected),
    (UnicodeError, SinkRejected),
)


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc* means; it never shows a row."""
    if isinstance(exc, sa.exc.DBAPIError) and exc.connection_invalidated:
        return SinkUnavailable(f"the connection was lost: {_said(exc)}")
    for cls, kind in _KINDS:
        if isinstance(exc, cls):
            return kind(_said(exc))
    return SinkUnknown(_said(exc))


def _said(exc: Exception) -> str:
    """Return what the driver said, in one line, without statement and parameters."""
    said = str(getattr(exc, "orig", None) or exc).strip()
    return f"{type(exc).__name__}: {said.splitlines()[0] if said else ''}"
