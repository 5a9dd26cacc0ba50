"""What an error of SQLite, or of its driver, means for a load."""

from __future__ import annotations

import sqlite3

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

#: SQLite's primary result codes (https://www.sqlite.org/rescode.html) -> kind.
CODES: dict[int, type[SinkError]] = {
    sqlite3.SQLITE_BUSY: SinkUnavailable,
    sqlite3.SQLITE_LOCKED: SinkUnavailable,
    sqlite3.SQLITE_INTERRUPT: SinkUnavailable,
    sqlite3.SQLITE_IOERR: SinkUnavailable,
    sqlite3.SQLITE_FULL: SinkUnavailable,
    sqlite3.SQLITE_NOMEM: SinkUnavailable,
    sqlite3.SQLITE_SCHEMA: SinkUnavailable,
    sqlite3.SQLITE_PROTOCOL: SinkUnavailable,
    sqlite3.SQLITE_PERM: SinkMisconfigured,
    sqlite3.SQLITE_READONLY: SinkMisconfigured,
    sqlite3.SQLITE_CANTOPEN: SinkMisconfigured,
    sqlite3.SQLITE_NOTADB: SinkMisconfigured,
    sqlite3.SQLITE_CORRUPT: SinkMisconfigured,
    sqlite3.SQLITE_AUTH: SinkMisconfigured,
    sqlite3.SQLITE_ERROR: SinkMisconfigured,
    sqlite3.SQLITE_CONSTRAINT: SinkRejected,
    sqlite3.SQLITE_MISMATCH: SinkRejected,
    sqlite3.SQLITE_TOOBIG: SinkRejected,
    sqlite3.SQLITE_RANGE: SinkUnknown,
}
_HINTS = {
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and may be written",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; choose another",
    sqlite3.SQLITE_CORRUPT: "restore the file, or move it away",
    sqlite3.SQLITE_FULL: "make room on the disk",
}


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc*, raised by sqlite3, means."""
    message = f"SQLite: {exc}"
    if isinstance(exc, sqlite3.Error):
        code = getattr(exc, "sqlite_errorcode", None)
        if code is not None:
            kind = CODES.get(code & 0xFF, SinkUnknown)
            return kind(message, hint=_HINTS.get(code & 0xFF))
        if isinstance(exc, (sqlite3.DataError, sqlite3.IntegrityError)):
            return SinkRejected(message)
        return SinkUnknown(message)
    if isinstance(exc, (OverflowError, UnicodeEncodeError)):
        return SinkRejected(message)
    return SinkUnknown(f"{type(exc).__name__}: {exc}")
