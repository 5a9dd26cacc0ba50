"""Facts about the errors of PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink.pgerrors import translate


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (psycopg.errors.ConnectionFailure, SinkUnavailable),
        (psycopg.errors.AdminShutdown, SinkUnavailable),
        (psycopg.errors.CannotConnectNow, SinkUnavailable),
        (psycopg.errors.DiskFull, SinkUnavailable),
        (psycopg.errors.TooManyConnections, SinkUnavailable),
        (psycopg.errors.SerializationFailure, SinkUnavailable),
        (psycopg.errors.DeadlockDetected, SinkUnavailable),
        (psycopg.errors.LockNotAvailable, SinkUnavailable),
        (psycopg.errors.QueryCanceled, SinkUnavailable),
        (psycopg.errors.ReadOnlySqlTransaction, SinkUnavailable),
        (psycopg.errors.NumericValueOutOfRange, SinkRejected),
        (psycopg.errors.UntranslatableCharacter, SinkRejected),
        (psycopg.errors.UniqueViolation, SinkRejected),
        (psycopg.errors.NotNullViolation, SinkRejected),
        (psycopg.errors.CheckViolation, SinkRejected),
        (psycopg.errors.ProgramLimitExceeded, SinkRejected),
        (psycopg.errors.InvalidPassword, SinkMisconfigured),
        (psycopg.errors.InvalidCatalogName, SinkMisconfigured),
        (psycopg.errors.InsufficientPrivilege, SinkMisconfigured),
        (psycopg.errors.UndefinedTable, SinkMisconfigured),
        (psycopg.errors.TooManyColumns, SinkMisconfigured),
        (psycopg.errors.FeatureNotSupported, SinkMisconfigured),
        (psycopg.errors.StatementCompletionUnknown, SinkUnknown),
        (psycopg.errors.InternalError_, SinkUnknown),
        (psycopg.OperationalError, SinkUnavailable),
        (psycopg.InterfaceError, SinkUnavailable),
    ],
)
def test_kinds(cls: type[psycopg.Error], kind: type[SinkError]) -> None:
    """Each class of errors has the kind that says what the worker must do."""
    assert type(translate(cls("x"))) is kind


@pytest.mark.parametrize(
    "message",
    [
        'connection failed: FATAL:  password authentication failed for user "me"',
        'connection failed: FATAL:  database "nope" does not exist',
        'connection failed: FATAL:  role "nope" does not exist',
        "connection failed: fe_sendauth: no password supplied",
        'connection failed: FATAL:  no pg_hba.conf entry for host "::1"',
        'connection failed: invalid value for parameter "client_encoding"',
        "connection is bad: SSL error: certificate verify failed",
    ],
)
def test_a_login_that_cannot_work_is_configuration(message: str) -> None:
    """libpq gives no state at login: its words decide."""
    assert type(translate(psycopg.OperationalError(message))) is SinkMisconfigured


@pytest.mark.parametrize(
    "message",
    [
        "connection timeout expired",
        'connection to server at "127.0.0.1", port 1 failed: Connection refused',
        'connection to server on socket "/x/.s.PGSQL.1" failed: No such file or directory',
        "server closed the connection unexpectedly",
        "connection failed: FATAL:  the database system is starting up",
        "could not translate host name",
        "failed to resolve host 'db': [Errno -3] Temporary failure in name resolution",
    ],
)
def test_a_server_that_is_away_is_transient(message: str) -> None:
    """What may pass by itself is tried again."""
    assert type(translate(psycopg.OperationalError(message))) is SinkUnavailable


def test_what_the_watchdog_cut_is_transient() -> None:
    """After an interrupt, whatever libpq says means that the server did not answer."""
    translated = translate(psycopg.InternalError("x"), interrupted=True)
    assert type(translated) is SinkUnavailable
