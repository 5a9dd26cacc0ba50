"""Facts about the errors of MariaDB and MySQL."""

from __future__ import annotations

import pymysql
import pytest
from pymysql.constants import CR, ER

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink.mysqlerrors import NUMBERS, translate


def _subclasses(cls: type[BaseException]) -> set[type[BaseException]]:
    return {cls}.union(*(_subclasses(sub) for sub in cls.__subclasses__()))


ALL = sorted(_subclasses(pymysql.MySQLError), key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_every_class_of_the_driver_is_one_of_four_kinds(cls: type[Exception]) -> None:
    """Whatever the driver raises without a number has a kind, by its class."""
    translated = translate(cls("what it says"))
    assert isinstance(translated, SinkError)
    known = (pymysql.InterfaceError, pymysql.DatabaseError)
    if issubclass(cls, known) and cls not in (pymysql.DatabaseError, pymysql.InternalError):
        assert type(translated) is not SinkUnknown


def test_every_number_that_the_driver_gives_a_class_to_is_known() -> None:
    """The numbers of PyMySQL's own table that a load can meet are in ours, of a fitting kind."""
    fitting: dict[type, tuple[type[SinkError], ...]] = {
        pymysql.err.DataError: (SinkRejected, SinkMisconfigured),
        pymysql.err.IntegrityError: (SinkRejected,),
        pymysql.err.ProgrammingError: (SinkMisconfigured,),
        pymysql.err.NotSupportedError: (SinkMisconfigured,),
        pymysql.err.OperationalError: (SinkUnavailable, SinkMisconfigured, SinkRejected),
    }
    for number, cls in pymysql.err.error_map.items():
        assert type(translate(cls(number, "x"))) in fitting[cls], number


def test_no_number_has_two_kinds() -> None:
    """Each number is listed once."""
    from api2db.sink import mysqlerrors

    listed = [*mysqlerrors._UNAVAILABLE, *mysqlerrors._REJECTED, *mysqlerrors._MISCONFIGURED]
    assert len(listed) == len(set(listed)) == len(NUMBERS)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (CR.CR_CONN_HOST_ERROR, SinkUnavailable),
        (CR.CR_SERVER_GONE_ERROR, SinkUnavailable),
        (CR.CR_SERVER_LOST, SinkUnavailable),
        (ER.SERVER_SHUTDOWN, SinkUnavailable),
        (ER.CON_COUNT_ERROR, SinkUnavailable),
        (ER.TOO_MANY_USER_CONNECTIONS, SinkUnavailable),
        (ER.LOCK_WAIT_TIMEOUT, SinkUnavailable),
        (ER.LOCK_DEADLOCK, SinkUnavailable),
        (ER.QUERY_INTERRUPTED, SinkUnavailable),
        (ER.DISK_FULL, SinkUnavailable),
        (ER.RECORD_FILE_FULL, SinkUnavailable),
        (1927, SinkUnavailable),  # MariaDB: connection was killed
        (1836, SinkUnavailable),  # MySQL: running in read-only mode
        (ER.DATA_TOO_LONG, SinkRejected),
        (ER.WARN_DATA_OUT_OF_RANGE, SinkRejected),
        (ER.TRUNCATED_WRONG_VALUE_FOR_FIELD, SinkRejected),
        (ER.BAD_NULL_ERROR, SinkRejected),
        (ER.DUP_ENTRY, SinkRejected),
        (ER.NO_REFERENCED_ROW_2, SinkRejected),
        (3140, SinkRejected),  # invalid JSON
        (3819, SinkRejected),  # MySQL: a check
        (4025, SinkRejected),  # MariaDB: a check
        (ER.ACCESS_DENIED_ERROR, SinkMisconfigured),
        (ER.DBACCESS_DENIED_ERROR, SinkMisconfigured),
        (ER.BAD_DB_ERROR, SinkMisconfigured),
        (ER.TABLEACCESS_DENIED_ERROR, SinkMisconfigured),
        (ER.NO_SUCH_TABLE, SinkMisconfigured),
        (3750, SinkMisconfigured),  # a primary key is demanded
        (ER.UNKNOWN_ERROR, SinkUnknown),
    ],
)
def test_kinds(number: int, kind: type[SinkError]) -> None:
    """Each number has the kind that says what the worker must do."""
    assert type(translate(pymysql.OperationalError(number, "x"))) is kind


def test_an_unknown_number_goes_by_its_sqlstate() -> None:
    """What nobody has listed is told by the class of its SQLSTATE, if there is one."""
    exc = pymysql.OperationalError(9999, "x", sqlstate="23000")
    assert type(translate(exc)) is SinkRejected
    assert type(translate(pymysql.OperationalError(9999, "x"))) is SinkUnknown


def test_read_only_is_transient_other_options_are_not() -> None:
    """1290 names the option: a replica takes writes again after the failover."""
    text = "The MySQL server is running with the --%s option so it cannot execute this statement"
    assert type(translate(pymysql.OperationalError(1290, text % "read-only"))) is SinkUnavailable
    exc = pymysql.OperationalError(1290, text % "skip-grant-tables")
    assert type(translate(exc)) is SinkMisconfigured


@pytest.mark.parametrize(
    "text",
    [
        "Duplicate entry 's3cret' for key 't.PRIMARY'",
        "Duplicate entry 's3cret' for key 'x' for key 't.PRIMARY'",
        "Incorrect integer value: 's3cret' for column 'v' at row 1",
    ],
)
def test_no_value_of_a_row_in_a_message(text: str) -> None:
    """Messages go to the log; the dead letters hold the row."""
    message = str(translate(pymysql.IntegrityError(1062, text)))
    assert "s3cret" not in message
    assert message.startswith(f"MySQL: {text[:9]}")


def test_an_interrupted_call_is_transient() -> None:
    """Whatever a cut connection raises, it is tried again."""
    for exc in (AttributeError("x"), ValueError("x"), pymysql.OperationalError(2013, "x")):
        assert type(translate(exc, interrupted=True)) is SinkUnavailable
    assert type(translate(AttributeError("x"))) is SinkUnknown


def test_a_missing_package_of_the_driver() -> None:
    """PyMySQL asks for another package at login: the hint names the extra that has it."""
    exc = RuntimeError("'cryptography' package is required for sha256_password")
    assert "api2db[mysql]" in str(translate(exc))
