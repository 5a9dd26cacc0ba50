"""What each error on the way to BigQuery means to the worker: one written table."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from api2db.core.errors import (
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.sink.bigqueryerrors import REASONS, translate

T, D, C, U = SinkUnavailable, SinkRejected, SinkMisconfigured, SinkUnknown  # the four kinds

#: Classes of google.api_core.
API = {
    "Aborted": T,
    "AlreadyExists": T,
    "BadGateway": T,
    "BadRequest": C,
    "Cancelled": T,
    "ClientError": C,
    "Conflict": T,
    "DataLoss": U,
    "DeadlineExceeded": T,
    "DuplicateCredentialArgs": U,
    "FailedPrecondition": C,
    "Forbidden": C,
    "GatewayTimeout": T,
    "GoogleAPICallError": U,
    "GoogleAPIError": U,
    "InternalServerError": T,
    "InvalidArgument": C,
    "LengthRequired": C,
    "MethodNotAllowed": C,
    "MethodNotImplemented": C,
    "MissingStatusHeaderError": U,
    "MovedPermanently": C,
    "NotFound": C,
    "NotModified": C,
    "OutOfRange": U,
    "PermissionDenied": C,
    "PreconditionFailed": T,
    "Redirection": C,
    "RequestRangeNotSatisfiable": C,
    "ResourceExhausted": T,
    "ResumableTransferError": U,
    "ResumeIncomplete": C,
    "RetryError": T,
    "ServerError": T,
    "ServiceUnavailable": T,
    "TemporaryRedirect": C,
    "TooManyRequests": T,
    "TransferStalledError": U,
    "Unauthenticated": C,
    "Unauthorized": C,
    "Unknown": U,
    "UnseekableStreamError": U,
    "UploadCancelledError": U,
}
#: Classes of google.auth that are not what a person must mend.
AUTH = {"TransportError": T, "TimeoutError": T, "ResponseError": T}
#: The same of requests.
REQUESTS = {"InvalidURL": C, "InvalidSchema": C, "MissingSchema": C, "InvalidHeader": C}


def below(cls: type[Any]) -> set[type[Any]]:
    """Return *cls* and all classes below it."""
    return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))


def made(cls: type[Any]) -> Exception:
    """Return an error of a class, whatever its arguments are."""
    if cls is api.RetryError:
        error: Exception = cls("what it says", cause=None)
    elif cls is requests.JSONDecodeError:
        error = cls("what it says", "", 0)
    else:
        error = cls("what it says")
    return error


def kinds(base: type[Any], module: str) -> dict[str, type[SinkError]]:
    """Return class -> kind, of all that *module* has."""
    return {
        cls.__name__: type(translate(made(cls)))
        for cls in below(base)
        if cls.__module__.startswith(module) and cls.__name__[0] != "_"
    }


def test_every_class_of_the_api() -> None:
    """`google.api_core.exceptions` has no others."""
    assert kinds(api.GoogleAPIError, "google.api_core.exceptions") == API


def test_every_class_of_the_login() -> None:
    """Whatever a login fails with is for a person to mend, but for the way to it."""
    found = kinds(auth.GoogleAuthError, "google.auth.exceptions")
    assert found.keys() >= {"RefreshError", "DefaultCredentialsError", *AUTH}
    assert {name: kind for name, kind in found.items() if kind is not C} == AUTH


def test_every_class_of_the_way() -> None:
    """Whatever requests raises is worth another try, but for an address that is none."""
    found = kinds(requests.RequestException, "requests")
    assert found.keys() >= {"ConnectionError", "ReadTimeout", "SSLError", *REQUESTS}
    assert {n: k for n, k in found.items() if k is not T} == REQUESTS | {"InvalidProxyURL": C}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_reason_that_a_job_gives_decides(reason: str) -> None:
    """It says more than the status of the answer."""
    error = api.BadRequest("no", errors=[{"reason": reason}])
    assert type(translate(error)) is REASONS[reason]


def test_a_quota_that_is_used_up() -> None:
    """The stream waits for ten minutes, and says which key to raise."""
    error = translate(api.Forbidden("Quota exceeded", errors=[{"reason": "quotaExceeded"}]))
    assert isinstance(error, SinkUnavailable)
    assert error.retry_after == 600
    assert "latency" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "Bad int64 value: x",
        "Required field id cannot be null",
        "Could not cast literal to type DATE",
        "Numeric overflow",
        "Invalid JSON",
    ],
)
def test_a_statement_that_refuses_a_value(said: str) -> None:
    """What the text says of a value makes it a fault of the data: no other field tells."""
    assert type(translate(api.BadRequest(said, errors=[{"reason": "invalidQuery"}]))) is D
    assert type(translate(api.BadRequest("Unrecognized name: v"))) is C


def test_a_token_endpoint_that_is_away() -> None:
    """A login that can be tried again is no wrong account."""
    assert type(translate(auth.RefreshError("503", retryable=True))) is T
    refused = translate(auth.RefreshError("invalid_grant: account not found"))
    assert type(refused) is C
    assert "service account" in str(refused)


def test_a_missing_right_names_the_roles() -> None:
    """So that somebody can give them."""
    assert "BigQuery Data Editor" in str(translate(api.Forbidden("Access Denied")))


def test_what_nobody_foresaw() -> None:
    """It leaves the outcome open."""
    assert type(translate(RuntimeError("x"))) is U
