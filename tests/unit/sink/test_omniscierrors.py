"""What each error on the way to OmniSci means to the worker: one written table."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from heavydb.thrift.ttypes import TDBException
from thrift.protocol.TProtocol import TProtocolException
from thrift.Thrift import TApplicationException, TException
from thrift.transport import THeaderTransport, TSSLSocket, TZlibTransport  # noqa: F401
from thrift.transport.TTransport import TTransportException

from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnavailable, SinkUnknown
from api2db.sink.omniscierrors import translate

T, C, U = SinkUnavailable, SinkMisconfigured, SinkUnknown

#: Every class of the client.
THRIFT = {
    "TApplicationException": C,
    "TDBException": C,
    "TException": U,
    "TProtocolException": T,
    "TTransportException": T,
}


def below(cls: type[Any]) -> set[type[Any]]:
    """Return *cls* and all classes below it."""
    return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))


def test_every_class_of_the_client() -> None:
    """Those of Thrift and of the vendor; what is below them has their kind."""
    found = {cls.__name__: type(translate(cls(), "h:1")) for cls in below(TException)}
    assert {name: found[name] for name in THRIFT} == THRIFT
    assert set(found) - set(THRIFT) <= {"TMessage", "TApplicationException"}


@pytest.mark.parametrize("error", [OSError("x"), TimeoutError(), ConnectionResetError("x")])
def test_the_way_to_it(error: OSError) -> None:
    """Whatever the network does is worth another try."""
    found = translate(error, "h:1")
    assert type(found) is T
    assert "is it up, and are 'host' and 'port' in AUTH and 'protocol' right?" in str(found)


@pytest.mark.parametrize(
    ("error", "kind", "hint"),
    [
        (TDBException("Session not valid."), T, ""),
        (TDBException("Not enough memory available for insert"), T, ""),
        (TDBException("Authentication failure"), C, "check 'username' and 'password' in AUTH"),
        (TDBException("Database name nowhere does not exist."), C, "check 'db'"),
        (TDBException("User has no INSERT privileges on t"), C, "CREATE, ALTER and INSERT"),
        (TDBException("Invalid table name (reserved keyword): select"), C, "give 'table' another"),
        (TDBException(None), C, ""),
        (socket.gaierror(-2, "Name or service not known"), T, "are 'host' and 'port' in AUTH"),
        (TProtocolException(message="No protocol version header"), T, "check 'protocol'"),
        (TApplicationException(1, "Invalid method name"), C, ""),
        (TTransportException(4, "TSocket read 0 bytes"), T, "are 'host' and 'port' in AUTH"),
        (TTransportException(6, "Length exceeded max allowed: 1"), T, "check 'protocol'"),
        (RuntimeError("x"), U, ""),
    ],
)
def test_what_it_says(error: Exception, kind: type[SinkError], hint: str) -> None:
    """The server's words tell what passes by itself, and what to look at."""
    found = translate(error, "h:1")
    assert type(found) is kind
    assert str(found).startswith("OmniSci h:1: ")
    assert hint in (found.hint or "")
