"""What each error of psycopg and of sqlite3 means to the worker: one written table for each."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink import pgerrors, sqliteerrors

T, D, C, U = SinkUnavailable, SinkRejected, SinkMisconfigured, SinkUnknown  # the four kinds

#: SQLSTATE, or its class -> kind. Those of U say that our statements, or the server, are broken.
POSTGRESQL = {
    "02": U,  # no data
    "03": U,  # statement not yet complete
    "08": T,  # connection
    "09": D,  # triggered action
    "0A": C,  # feature not supported
    "0B": U,  # transaction initiation
    "0F": U,  # locator
    "0L": C,  # grantor
    "0P": C,  # role
    "0Z": U,  # diagnostics
    "10": U,  # XQuery
    "20": D,  # case not found
    "21": D,  # cardinality
    "22": D,  # data
    "23": D,  # integrity constraint
    "24": U,  # cursor state
    "25": U,  # transaction state
    "25006": T,  # read-only: a standby
    "25P03": T,  # idle for too long
    "25P04": T,  # the transaction's time was over
    "26": U,  # statement name
    "27": D,  # triggered data change
    "28": C,  # authorization
    "2B": C,  # dependent privileges
    "2D": U,  # transaction termination
    "2F": U,  # SQL routine
    "34": U,  # cursor name
    "38": U,  # external routine
    "39": U,  # external routine invocation
    "3B": U,  # savepoint
    "3D": C,  # no such database
    "3F": C,  # no such schema
    "40": T,  # rolled back: serialization, deadlock
    "40003": U,  # whether the statement was completed is unknown
    "42": C,  # syntax, rights, undefined objects
    "44": D,  # with check option
    "53": T,  # resources
    "54": C,  # limits: too many columns, too complex
    "54000": D,  # a row or a value that is too large
    "55": T,  # not in the state for that, locked
    "57": T,  # operator: shutting down, cancelled
    "57P04": C,  # the database was dropped
    "58": T,  # system: disk, files
    "72": T,  # snapshot too old
    "F0": C,  # the server's configuration file
    "HV": U,  # foreign data wrapper
    "HV00N": T,  # the foreign server is away
    "P0": D,  # raised by a function of the user
    "XX": U,  # internal, corrupted
}
#: Classes of psycopg that stand for no state.
STATELESS = {
    "Error": U,
    "InterfaceError": T,
    "DatabaseError": U,
    "DataError": D,
    "OperationalError": T,
    "IntegrityError": D,
    "InternalError": U,
    "ProgrammingError": C,
    "NotSupportedError": C,
    "ConnectionTimeout": T,
    "CancellationTimeout": T,
    "PipelineAborted": T,
    "OutOfOrderTransactionNesting": C,
}
#: Primary result codes of SQLite -> kind.
SQLITE = {
    "ABORT": U,
    "AUTH": C,
    "BUSY": T,
    "CANTOPEN": C,
    "CONSTRAINT": D,
    "CORRUPT": C,
    "EMPTY": U,
    "ERROR": C,
    "FORMAT": U,
    "FULL": T,
    "INTERNAL": U,
    "INTERRUPT": T,
    "IOERR": T,
    "LOCKED": T,
    "MISMATCH": D,
    "MISUSE": U,
    "NOLFS": U,
    "NOMEM": T,
    "NOTADB": C,
    "NOTFOUND": U,
    "NOTICE": U,
    "PERM": C,
    "PROTOCOL": T,
    "RANGE": U,
    "READONLY": C,
    "SCHEMA": T,
    "TOOBIG": D,
    "WARNING": U,
}
#: Classes of sqlite3, where there is no code.
CODELESS = {
    "Error": U,
    "DatabaseError": U,
    "DataError": D,
    "IntegrityError": D,
    "InterfaceError": U,
    "InternalError": U,
    "NotSupportedError": U,
    "OperationalError": U,
    "ProgrammingError": U,
}


def below(cls: type[Exception]) -> set[type[Exception]]:
    """Return *cls* and all classes below it."""
    return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))


def named(cls: type) -> str:
    """Return the name of a class, for the test's id."""
    return cls.__name__


DRIVER = [cls for cls in below(psycopg.Error) if cls.__module__.startswith("psycopg")]
STATEFUL = sorted((cls for cls in DRIVER if getattr(cls, "sqlstate", None)), key=named)


@pytest.mark.parametrize("cls", STATEFUL, ids=named)
def test_every_state_of_postgresql(cls: type[psycopg.Error]) -> None:
    """Each class of `psycopg.errors` has the kind of its state, else that of its state's class."""
    state = cls.sqlstate or ""
    expected = POSTGRESQL[state] if state in POSTGRESQL else POSTGRESQL[state[:2]]
    assert type(pgerrors.translate(cls("what it says"))) is expected


def test_every_class_of_psycopg() -> None:
    """Errors without a state have the kind of their class; psycopg has no others."""
    stateless = [cls for cls in DRIVER if cls not in STATEFUL and cls.__name__[0] != "_"]
    assert {cls.__name__: type(pgerrors.translate(cls("x"))) for cls in stateless} == STATELESS


def test_the_table_of_states_is_not_longer_than_the_driver_s() -> None:
    """Each line of the table stands for some class, so that a slip of the pen is seen."""
    states = {cls.sqlstate or "" for cls in STATEFUL}  # type: ignore[attr-defined]
    assert [s for s in POSTGRESQL if not any(state.startswith(s) for state in states)] == []


CODES = {
    name: kind
    for primary, kind in SQLITE.items()
    for name in dir(sqlite3)
    if name == f"SQLITE_{primary}" or name.startswith(f"SQLITE_{primary}_")
}


@pytest.mark.parametrize("name", sorted(CODES))
def test_every_code_of_sqlite(name: str) -> None:
    """Each result code, extended ones too, has the kind of its primary code."""
    error = sqlite3.OperationalError("what it says")
    error.sqlite_errorcode = getattr(sqlite3, name)
    assert type(sqliteerrors.translate(error)) is CODES[name]


def test_no_code_of_sqlite_is_left_out() -> None:
    """Primary codes are 1 to 28; the table has all that Python knows."""
    known = {getattr(sqlite3, name) & 0xFF for name in CODES}
    assert known == set(range(1, 29))


def test_every_class_of_sqlite3() -> None:
    """Errors of the module itself, which have no code, have the kind of their class."""
    found: dict[str, type[SinkError]] = {
        cls.__name__: type(sqliteerrors.translate(cls("x")))
        for cls in below(sqlite3.Error)
        if cls.__module__ == "sqlite3"
    }
    assert found == CODELESS
