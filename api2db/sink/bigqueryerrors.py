"""What an error of BigQuery, or on the way to it, means for a load."""

from __future__ import annotations

import re
from typing import Any

import grpc
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

#: Class -> kind. A class that is not here has the kind of its nearest base.
CLASSES: dict[type[BaseException], type[SinkError]] = {
    # the service, or the way to it
    api.TooManyRequests: SinkUnavailable,
    api.ServerError: SinkUnavailable,
    api.RetryError: SinkUnavailable,
    api.Cancelled: SinkUnavailable,
    api.Conflict: SinkUnavailable,
    api.PreconditionFailed: SinkUnavailable,
    requests.RequestException: SinkUnavailable,
    grpc.RpcError: SinkUnavailable,
    auth.TransportError: SinkUnavailable,
    auth.TimeoutError: SinkUnavailable,
    auth.ResponseError: SinkUnavailable,
    # a right, a name, the credentials, a statement
    api.ClientError: SinkMisconfigured,
    api.Redirection: SinkMisconfigured,
    api.MethodNotImplemented: SinkMisconfigured,
    requests.exceptions.InvalidURL: SinkMisconfigured,
    requests.exceptions.InvalidSchema: SinkMisconfigured,
    requests.exceptions.MissingSchema: SinkMisconfigured,
    requests.exceptions.InvalidHeader: SinkMisconfigured,
    auth.GoogleAuthError: SinkMisconfigured,
    # no answer that says what happened
    api.GoogleAPICallError: SinkUnknown,
    api.GoogleAPIError: SinkUnknown,
    api.Unknown: SinkUnknown,
    api.DataLoss: SinkUnknown,
    api.BadGateway: SinkUnavailable,
    api.OutOfRange: SinkUnknown,
    api.Aborted: SinkUnavailable,
}
#: Reason that a job or an answer gives -> kind.
REASONS: dict[str, type[SinkError]] = {
    "backendError": SinkUnavailable,
    "internalError": SinkUnavailable,
    "jobBackendError": SinkUnavailable,
    "jobInternalError": SinkUnavailable,
    "jobRateLimitExceeded": SinkUnavailable,
    "quotaExceeded": SinkUnavailable,
    "rateLimitExceeded": SinkUnavailable,
    "resourceInUse": SinkUnavailable,
    "stopped": SinkUnavailable,
    "tableUnavailable": SinkUnavailable,
    "timeout": SinkUnavailable,
    "invalid": SinkRejected,
    "accessDenied": SinkMisconfigured,
    "billingNotEnabled": SinkMisconfigured,
    "billingTierLimitExceeded": SinkMisconfigured,
    "blocked": SinkMisconfigured,
    "invalidQuery": SinkMisconfigured,
    "invalidUser": SinkMisconfigured,
    "notFound": SinkMisconfigured,
    "notImplemented": SinkMisconfigured,
    "resourcesExceeded": SinkMisconfigured,
    "responseTooLarge": SinkMisconfigured,
}
#: What a statement that is refused says of a value.
_DATA = re.compile(
    r"bad \w+ value|invalid (numeric|bignumeric|json|date|time|value|utf)|overflow|out of range"
    r"|could not (convert|cast|parse)|cannot be null|null value|not null constraint"
    r"|conversion error|constraint error|maximum length|too long|too large",
    re.IGNORECASE,
)
#: Seconds until a quota may have room again.
_QUOTA = 600.0
_HINTS = {
    "accessDenied": (
        "give the account 'BigQuery Data Editor' on the dataset and 'BigQuery Job User' on the"
        " project"
    ),
    "quotaExceeded": "raise 'latency', or the quota; rows wait meanwhile",
    "billingNotEnabled": "switch billing on for the project",
    "notFound": "check 'project', 'dataset' and 'location'",
}
_NO_WAY = "check the network, the proxy and 'endpoint'"
_NO_LOGIN = "check the file of 'auth': is it the whole JSON of a service account that is active?"


def translate(exc: Exception) -> SinkError:
    """Return the error of ours that *exc* means."""
    said = f"{type(exc).__name__}: {_first_line(exc)}"
    reason = _reason(exc)
    if isinstance(exc, auth.RefreshError) and exc.retryable:
        return SinkUnavailable(f"BigQuery: {said}")
    kind = REASONS.get(reason) or _kind(exc)
    if kind is SinkMisconfigured and _refuses_a_value(exc, reason):
        kind = SinkRejected
    hint = _HINTS.get(reason) or _hint(exc)
    if kind is SinkUnavailable:
        wait = _QUOTA if reason == "quotaExceeded" else _retry_after(exc)
        return SinkUnavailable(f"BigQuery: {said}", hint=hint, retry_after=wait)
    return kind(f"BigQuery: {said}", hint=hint)


def _kind(exc: Exception) -> type[SinkError]:
    for class_ in type(exc).__mro__:
        if class_ in CLASSES:
            return CLASSES[class_]
    return SinkUnknown


def _refuses_a_value(exc: Exception, reason: str) -> bool:
    asked = isinstance(exc, api.BadRequest) and reason in ("", "invalidQuery")
    return bool(asked and _DATA.search(str(exc)))


def _reason(exc: Exception) -> str:
    """Return the reason that BigQuery gives, "" if none."""
    errors: Any = getattr(exc, "errors", None) or [{}]
    first = errors[0]
    return str(first.get("reason") or "") if isinstance(first, dict) else ""


def _hint(exc: Exception) -> str | None:
    if isinstance(exc, api.Forbidden):
        return _HINTS["accessDenied"]
    if isinstance(exc, api.Unauthorized | auth.GoogleAuthError):
        return _NO_WAY if isinstance(exc, auth.TransportError) else _NO_LOGIN
    if isinstance(exc, requests.ConnectionError):
        return _NO_WAY
    return _HINTS["notFound"] if isinstance(exc, api.NotFound) else None


def _retry_after(exc: Exception) -> float | None:
    response: Any = getattr(exc, "response", None)
    value = getattr(response, "headers", {}).get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or "no reason given").splitlines()[0]
