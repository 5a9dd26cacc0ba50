"""What an answer, or the lack of one, means: every foreign error becomes one of ours here."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING

import h11
import httpcore2
import httpx2

from api2db.core.errors import RequestRefused, SourceError, SourceUnavailable
from api2db.ingest.pages import site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api2db.core.clock import Clock
    from api2db.ingest.proxy import Proxy

#: Longest Retry-After that is believed, in seconds: no typing error silences a collector.
LONGEST = 86_400.0
#: What the client may raise while it sends, waits and reads. ValueError and RuntimeError are
#: those of a socket that was closed in another thread.
FOREIGN = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.CookieConflict,
    h11.ProtocolError,
    httpcore2.TimeoutException,
    httpcore2.NetworkError,
    httpcore2.ProtocolError,
    httpcore2.ProxyError,
    httpcore2.UnsupportedProtocol,
    httpcore2.ConnectionNotAvailable,
    HTTPException,
    OSError,
    ValueError,
    RuntimeError,
    OverflowError,
    ImportError,
)
_LATE = (httpx2.TimeoutException, httpcore2.TimeoutException)
_OURS = (httpx2.LocalProtocolError, httpcore2.LocalProtocolError, h11.LocalProtocolError)
_NO_HTTP = (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError, HTTPException)
_AGAIN = (408, 425, 429)
#: X509_V_ERR of OpenSSL: the certificate is for another host, or address; not yet, or no more.
_NAMES, _TIMES = (62, 64), (9, 10)
#: Longest text of a server that an error repeats.
_SHOWN = 200


def shown(url: httpx2.URL) -> str:
    """Return *url* without query and userinfo, which may hold secrets."""
    return site(url) + _plain(url.path)


def translate(exc: Exception, where: str, timeout: float, proxy: Proxy | None) -> SourceUnavailable:
    """
    Return what *exc*, one of `FOREIGN`, means for the request *where*.

    Args:
        timeout: Seconds that the exchange was given.
        proxy: What it went through.
    """
    if isinstance(exc, (httpcore2.ConnectTimeout, httpx2.ConnectTimeout)):
        text, hint = f"no connection within {timeout:g} s", _reach(proxy)
    elif isinstance(exc, _LATE):
        text = f"no complete answer within {timeout:g} s"
        hint = "raise 'timeout' if the API really takes that long"
    else:
        text, hint = _meaning(exc, proxy)
    return SourceUnavailable(f"{where}: {text}", hint=hint)


def _meaning(exc: Exception, proxy: Proxy | None) -> tuple[str, str]:
    """Return text and hint; of what a library says only what cannot hold our request."""
    cause = next(_causes(exc), None)
    if isinstance(exc, (httpcore2.ProxyError, httpx2.ProxyError)):
        answer = _said(exc)
        return f"the proxy {proxy.url if proxy else ''} refuses: {answer}", _proxy_hint(proxy)
    if isinstance(cause, ssl.SSLCertVerificationError):
        reason = getattr(cause, "verify_message", "") or "it cannot be verified"
        return f"the certificate is not trusted: {reason}", _trust(cause)
    if isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "reason", "") or type(cause).__name__
        return f"TLS failed: {reason}", "does the API speak https on this port? mend 'get'"
    if isinstance(cause, (socket.gaierror, UnicodeError)):
        reason = cause.strerror if isinstance(cause, OSError) else "it is no name of a host"
        whose = "the proxy's name" if proxy else "the name"
        return f"{whose} cannot be resolved: {reason}", _reach(proxy)
    if isinstance(exc, (httpcore2.ConnectError, httpx2.ConnectError)):
        return f"no connection: {_reason(cause or exc)}", _reach(proxy)
    if isinstance(exc, _NO_HTTP):
        text = f"the answer is not HTTP, or is cut off: {_said(exc)}"
        return text, "it is asked again; if it stays, check the URL in 'get'"
    if isinstance(exc, _OURS):
        return "the request cannot be sent", "check 'headers' and 'auth' for odd characters"
    if isinstance(cause, OSError):
        return f"the connection broke: {_reason(cause)}", "it is asked again"
    return f"the exchange broke: {type(exc).__name__}", "it is asked again"


def _causes(exc: object) -> Iterator[BaseException]:
    """
    Yield the errors of the system and of TLS from which *exc* came, the innermost first.

    httpcore2 hands them on as arguments of its own errors; causes it drops.
    """
    chain: list[BaseException] = []
    while isinstance(exc, BaseException) and len(chain) < 10:
        chain.append(exc)
        inner = exc.args[0] if exc.args else None
        exc = inner if isinstance(inner, BaseException) else exc.__cause__ or exc.__context__
    yield from (e for e in reversed(chain) if isinstance(e, (OSError, UnicodeError)))


def _reason(exc: BaseException) -> str:
    text = exc.strerror if isinstance(exc, OSError) else None
    return text or _said(exc) or type(exc).__name__


def _said(text: object) -> str:
    """Return what another program said: a line, and not a long one."""
    return _plain(str(text).strip()[:_SHOWN])


def _plain(text: str) -> str:
    """Return *text* without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _trust(error: ssl.SSLCertVerificationError) -> str:
    code = getattr(error, "verify_code", 0)
    if code in _NAMES:
        return "write a name in 'get' that the certificate holds"
    if code in _TIMES:
        return "the API must renew it; or is the clock of this machine wrong?"
    return "trust its authority on this machine (SSL_CERT_FILE), or mend 'get'"


def _reach(proxy: Proxy | None) -> str:
    if proxy is not None:
        return f"is the proxy {proxy.url} right, and up? it is set by the environment"
    return "check host and port in 'get', and the network of this machine"


def _proxy_hint(proxy: Proxy | None) -> str:
    has = "are user and password right" if proxy and proxy.user else "it may want user and password"
    return f"{has}: HTTPS_PROXY=http://user:password@host:port"


def judge(response: httpx2.Response, where: str, clock: Clock, *, proxied: bool) -> SourceError:
    """Return what the status of *response*, which is not 2xx, means."""
    status = response.status_code
    reason = f"{where}: {status} {_said(response.reason_phrase)}".rstrip()
    if status in _AGAIN or status >= 500:
        retry_after = _seconds(response.headers.get("retry-after"), clock)
        hint = "the API is asked again later"
        if retry_after:
            hint += f"; it wants a wait of {retry_after:.0f} s"
        return SourceUnavailable(reason, retry_after=retry_after, hint=hint)
    if status == 407 and proxied:
        hint = "the proxy wants user and password: HTTP_PROXY=http://user:password@host:port"
    elif status in (401, 403):
        hint = "check 'auth'"
    else:
        hint = "check the URL in 'get', and 'params'"
    return RequestRefused(reason, status=status, hint=hint)


def _seconds(header: str | None, clock: Clock) -> float | None:
    """Return a Retry-After header in seconds from now, None if there is none to obey."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
            date = date if date.tzinfo else date.replace(tzinfo=UTC)
            seconds = max(0.0, date.timestamp() - clock.now())
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST) if 0 <= seconds < float("inf") else None
