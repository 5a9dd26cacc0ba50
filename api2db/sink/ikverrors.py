"""What an error of IKV's gateway, or on the way to it, means for a load."""

from __future__ import annotations

import grpc

from api2db.core.errors import SinkError, SinkMisconfigured, SinkUnavailable, SinkUnknown

#: Status of an answer -> kind. The gateway looks at no value, so it refuses none.
CODES: dict[grpc.StatusCode, type[SinkError]] = {
    # the gateway, or the way to it; INTERNAL is what it says when its own log takes nothing
    grpc.StatusCode.UNAVAILABLE: SinkUnavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: SinkUnavailable,
    grpc.StatusCode.CANCELLED: SinkUnavailable,
    grpc.StatusCode.ABORTED: SinkUnavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: SinkUnavailable,
    grpc.StatusCode.INTERNAL: SinkUnavailable,
    # the account, the store, its keys, the endpoint
    grpc.StatusCode.INVALID_ARGUMENT: SinkMisconfigured,
    grpc.StatusCode.FAILED_PRECONDITION: SinkMisconfigured,
    grpc.StatusCode.NOT_FOUND: SinkMisconfigured,
    grpc.StatusCode.PERMISSION_DENIED: SinkMisconfigured,
    grpc.StatusCode.UNAUTHENTICATED: SinkMisconfigured,
    grpc.StatusCode.UNIMPLEMENTED: SinkMisconfigured,
    # nothing that says what happened
    grpc.StatusCode.OK: SinkUnknown,
    grpc.StatusCode.UNKNOWN: SinkUnknown,
    grpc.StatusCode.ALREADY_EXISTS: SinkUnknown,
    grpc.StatusCode.OUT_OF_RANGE: SinkUnknown,
    grpc.StatusCode.DATA_LOSS: SinkUnknown,
}
#: Raised beside answers: the last one by a channel that was closed from outside.
_NO_ANSWER = (grpc.RpcError, grpc.FutureTimeoutError, grpc.FutureCancelledError, ValueError)
#: What gRPC says of a certificate that it does not trust.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification")
_LOGIN = "check account_id, account_passkey and store_name in the file of 'auth'"
_TLS = "check 'endpoint'; 'ca' names the certificates to trust"
_NO_GATEWAY = "check 'endpoint': another service answers there"
_AWAY = "is it up, and is 'endpoint' right? It is tried again by itself"
#: Status -> what to do about it; else what the kind asks for.
_HINTS = {
    grpc.StatusCode.UNIMPLEMENTED: _NO_GATEWAY,
    grpc.StatusCode.RESOURCE_EXHAUSTED: "it is tried again by itself; ask IKV for more room",
    grpc.StatusCode.INTERNAL: "its log takes nothing for now; it is tried again by itself",
}


def translate(exc: Exception, where: str, *, interrupted: bool = False) -> SinkError:
    """
    Return the error of ours that *exc* means.

    Args:
        where: The gateway, for people.
        interrupted: Whether the call was broken off from another thread.
    """
    if interrupted:
        text = f"IKV {where} did not answer in time; the connection was cut"
        return SinkUnavailable(text, hint=_AWAY)
    if isinstance(exc, grpc.Call):
        return _answer(exc.code(), (exc.details() or "no reason given").splitlines()[0], where)
    kind = SinkUnavailable if isinstance(exc, _NO_ANSWER) else SinkUnknown
    return kind(f"IKV {where}: {type(exc).__name__}: {exc}")


def _answer(code: grpc.StatusCode, details: str, where: str) -> SinkError:
    said = f"IKV {where}: {code.name}: {details}"
    if code is grpc.StatusCode.UNAVAILABLE and any(word in details for word in _UNTRUSTED):
        return SinkMisconfigured(said, hint=_TLS)
    kind = CODES.get(code, SinkUnknown)
    usual = {SinkMisconfigured: _LOGIN, SinkUnavailable: _AWAY}.get(kind)
    return kind(said, hint=_HINTS.get(code, usual))
