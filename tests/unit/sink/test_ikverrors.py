"""What each error on the way to IKV means to the worker: one written table."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc._channel import _InactiveRpcError

from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnavailable, SinkUnknown
from api2db.sink.ikverrors import CODES, translate

T, C, U = SinkUnavailable, SinkMisconfigured, SinkUnknown

STATUS = {
    "OK": U,
    "CANCELLED": T,
    "UNKNOWN": U,
    "INVALID_ARGUMENT": C,
    "DEADLINE_EXCEEDED": T,
    "NOT_FOUND": C,
    "ALREADY_EXISTS": U,
    "PERMISSION_DENIED": C,
    "UNAUTHENTICATED": C,
    "RESOURCE_EXHAUSTED": T,
    "FAILED_PRECONDITION": C,
    "ABORTED": T,
    "UNIMPLEMENTED": C,
    "OUT_OF_RANGE": U,
    "INTERNAL": T,
    "UNAVAILABLE": T,
    "DATA_LOSS": U,
}
#: What gRPC raises beside an answer.
BESIDE: dict[type[Exception], type[SinkError]] = {
    grpc.RpcError: T,
    grpc.FutureTimeoutError: T,
    grpc.FutureCancelledError: T,
    ValueError: T,  # "Cannot invoke RPC on closed channel!"
}


class Answer(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    """What a call raises."""

    __abstractmethods__ = frozenset()

    def __init__(self, code: grpc.StatusCode, details: str | None) -> None:
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str | None:
        return self._details


def test_every_status_is_in_the_table() -> None:
    """A status that comes with a new version of gRPC must be decided on."""
    assert {code.name for code in grpc.StatusCode} == set(STATUS)
    assert set(CODES) == set(grpc.StatusCode)


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda code: code.name)
def test_a_status(code: grpc.StatusCode) -> None:
    """Each has its kind, which server said what, and what to do next."""
    error = translate(Answer(code, "what it says\nand more"), "h:443")
    assert type(error) is STATUS[code.name]
    assert str(error).startswith(f"IKV h:443: {code.name}: what it says")
    assert "and more" not in str(error)
    assert (error.hint is None) is (type(error) is U)


def test_an_answer_without_words() -> None:
    """A status may come alone."""
    assert "no reason given" in str(translate(Answer(grpc.StatusCode.UNAVAILABLE, None), "h:443"))


def below(cls: type[Any]) -> set[type[Any]]:
    """Return *cls* and all classes below it."""
    return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))


def test_every_class() -> None:
    """What gRPC raises for a call is an answer, or is in the table; nothing is refused data."""
    raised = {cls for cls in below(grpc.RpcError) if not cls.__subclasses__()}
    assert all(issubclass(cls, grpc.Call) for cls in raised if "aio" not in cls.__module__)
    assert issubclass(_InactiveRpcError, grpc.Call)
    for cls, kind in BESIDE.items():
        assert type(translate(cls("what it says"), "h:443")) is kind
    assert type(translate(RuntimeError("what it says"), "h:443")) is U
