"""What each error on the way to SiriDB means to the worker: one written table."""

from __future__ import annotations

import inspect

import pytest

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)

siri = pytest.importorskip("siridb.connector.lib.exceptions")

T, D, C, U = SinkUnavailable, SinkRejected, SinkMisconfigured, SinkUnknown  # the four kinds

#: Every class of the client's own.
CLIENT = {
    "AuthenticationError": C,
    "InsertError": D,
    "PoolError": T,
    "QueryError": C,
    "ServerError": T,
    "UserAuthError": C,
}
#: What else it raises.
OTHERS: dict[BaseException, type[SinkError]] = {
    ConnectionRefusedError(111, "Connect call failed"): T,
    ConnectionError("Connection is lost before we had an answer"): T,
    TimeoutError("Request timed out on PID 3"): T,
    OSError(113, "No route to host"): T,
    OverflowError("int too big"): D,
    SystemError("returned a result with an exception set"): D,
    RuntimeError("Error loading database, please check the SiriDB log files"): T,
    TypeError("Client received an unknown package type: 99"): U,
    KeyError("data"): U,
    ValueError(): U,
}


def test_every_class_is_in_the_table() -> None:
    """A version of the client with another class fails here."""
    found = {
        name
        for name, cls in inspect.getmembers(siri, inspect.isclass)
        if issubclass(cls, BaseException)
    }
    assert found == set(CLIENT)


@pytest.mark.parametrize(("name", "kind"), CLIENT.items())
def test_the_clients_own(name: str, kind: type[SinkError]) -> None:
    """Each class has its kind; the message names the server and what it said."""
    from api2db.sink.siridberrors import translate

    error = translate(getattr(siri, name)("what it says\nmore"), "h:9000")
    assert type(error) is kind
    assert str(error).startswith("SiriDB h:9000: what it says")
    assert "more" not in str(error)


@pytest.mark.parametrize(("exc", "kind"), OTHERS.items())
def test_the_others(exc: BaseException, kind: type[SinkError]) -> None:
    """The network, the packer, and what nobody foresaw."""
    from api2db.sink.siridberrors import translate

    error = translate(exc, "h:9000")
    assert type(error) is kind
    assert ("is 'hostlist' in the AUTH file right?" in str(error)) is isinstance(exc, OSError)
    assert type(translate(exc, "h:9000", interrupted=True)) is T


@pytest.mark.parametrize("text", ["Critical error occurred on 'h'", "Error occurred while sending"])
def test_an_insert_that_the_server_fails(text: str) -> None:
    """It says nothing of the rows, and some of them may be there."""
    from api2db.sink.siridberrors import translate

    assert type(translate(siri.InsertError(text), "h:9000")) is U


@pytest.mark.parametrize(
    ("exc", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed"), "hostlist"),
        (TimeoutError("Request timed out on PID 3 (AUTH)"), "no answer in time; is"),
        (siri.AuthenticationError("Invalid credentials"), "check username and password"),
        (siri.AuthenticationError("Unknown database"), "make the database"),
        (siri.UserAuthError("Access denied"), "grant"),
    ],
)
def test_what_a_person_can_do_is_told(exc: BaseException, said: str) -> None:
    """The next step is part of the message."""
    from api2db.sink.siridberrors import translate

    assert said in str(translate(exc, "h:9000"))
