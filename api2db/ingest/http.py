"""An HTTP API as a source: one GET per page."""

from __future__ import annotations

import io
import logging
import zlib
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import httpcore2
import httpx2

from api2db import __version__
from api2db.core.backoff import Backoff
from api2db.core.errors import FormError, RequestRefused, SourceUnavailable
from api2db.ingest import pages as paging
from api2db.ingest.auth import Auth
from api2db.ingest.coding import Inflater
from api2db.ingest.source import Request, Response, Source
from api2db.ingest.transport import Transport

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Mapping

    from api2db.core.clock import Clock
    from api2db.ingest.pages import Pages

logger = logging.getLogger(__name__)

#: Redirects followed for one request.
REDIRECTS = 5
#: Longest Retry-After that is waited for within a poll, in seconds.
PATIENCE = 60.0
#: Longest Retry-After that is believed, in seconds: no typing error silences a collector.
LONGEST = 86_400.0

_NO_CONTENT = 204
_AGAIN = (408, 425, 429)
_BROKEN = (httpx2.HTTPError, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError)
_LATE = (httpx2.TimeoutException, httpcore2.TimeoutException)


class HttpSource(Source):
    """
    One API. Used by one thread at a time; `close` may come from another.

    Args:
        since_param: Query parameter that sends the watermark; None sends none.
        timeout: For one try in all, from connecting to the last byte, in seconds.
        max_bytes: Cap on a body after decompression.
        retries: Tries after the first, per page.
        stop: Ends every wait.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        stop: threading.Event,
        auth: Auth | None = None,
        pages: Pages | None = None,
        since_param: str | None = None,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        max_bytes: int = 256 * 10**6,
        retries: int = 5,
        backoff: Backoff | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        parsed = httpx2.URL(url)
        if parsed.userinfo:  # a credential like any other: it must not get into a checkpoint
            auth = auth or Auth("basic", parsed.password, parsed.username)
            parsed = parsed.copy_with(userinfo=b"")
        self._url = str(parsed)
        self._auth = auth
        self._pages = pages
        self._since_param = since_param
        self._params = dict(params or {})
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._retries = retries
        self.patience = timeout * (retries + 1) + PATIENCE * retries
        self._clock = clock
        self._stop = stop
        self._backoff = backoff or Backoff()
        self._closed = False
        self._transport = Transport(self._url, ssl_context=ssl_context)
        self._client = httpx2.Client(transport=self._transport, trust_env=False)
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"api2db/{__version__}",
            **(headers or {}),
        }
        self._credentials = auth.headers if auth else {}

    def first(self, since: str | None) -> Request:
        """Return the request of the first page."""
        return paging.first(self._url, self._params, self._since_param, since)

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        """Return the request of the page after *request*, None after the last."""
        after = paging.following(self._pages, self.first(since), request, cursor)
        if after is None or self._auth is None:
            return after
        for name, _ in self._auth.params:  # an API may repeat the key in its links
            if name in httpx2.URL(after.url).params:
                url = str(httpx2.URL(after.url).copy_remove_param(name))
                after = Request(url, after.params)
        return after

    def send(self, request: Request) -> Response:
        """Send *request*, with retries; return once the head of a good response is here."""
        exchange = _Exchange(self, request)
        exchange.open()
        return exchange

    def close(self) -> None:
        """Break off what is under way, and close the connections."""
        self._closed = True
        self._transport.abort()
        self._client.close()

    # -- one try -------------------------------------------------------------------

    def _try(self, request: Request) -> httpx2.Response:
        """Send *request* once; return the open response of a 2xx."""
        if self._closed:
            raise SourceUnavailable(f"{_shown(request.url)}: the source is closed")
        self._transport.deadline.set(self._timeout)
        url = _with(request, self._auth.params if self._auth else ())
        home = paging.origin(httpx2.URL(self._url))
        for _ in range(REDIRECTS + 1):
            ours = paging.origin(url) == home
            headers = {**self._headers, **(self._credentials if ours else {})}
            try:
                response = self._client.send(
                    self._client.build_request("GET", url, headers=headers), stream=True
                )
            except (*_LATE, *_BROKEN) as exc:
                raise self._unavailable(request, exc) from exc
            if not response.has_redirect_location:
                return self._judged(request, response)
            url = self._redirect(request, response, url)
        raise RequestRefused(f"{_shown(request.url)}: more than {REDIRECTS} redirects", status=310)

    def _redirect(self, request: Request, response: httpx2.Response, url: httpx2.URL) -> httpx2.URL:
        response.close()
        try:
            after = url.join(response.headers["location"].strip())
        except (httpx2.InvalidURL, ValueError):
            after = httpx2.URL("")
        downgrade = url.scheme == "https" and after.scheme == "http"
        if after.scheme not in ("http", "https") or not after.host or downgrade:
            to = f"{after.scheme}://{after.host}" if after.scheme else "what is no URL"
            raise RequestRefused(
                f"{_shown(request.url)}: redirects to {to}",
                status=response.status_code,
                hint="put the right URL into 'get'",
            )
        if self._auth and paging.origin(after) != paging.origin(httpx2.URL(self._url)):
            for name, _ in self._auth.params:
                after = after.copy_remove_param(name)
        return after

    def _judged(self, request: Request, response: httpx2.Response) -> httpx2.Response:
        """Return *response* if it is good, else close it and raise what it means."""
        status = response.status_code
        if 200 <= status < 300:
            return response
        retry_after = _seconds(response.headers.get("retry-after"), self._clock)
        reason = f"{_shown(request.url)}: {status} {response.reason_phrase}".rstrip()
        response.close()
        if status in _AGAIN or status >= 500:
            raise SourceUnavailable(reason, retry_after=retry_after)
        hint = "check 'auth'" if status in (401, 403) else None
        raise RequestRefused(reason, status=status, hint=hint)

    def _unavailable(self, request: Request, exc: Exception) -> SourceUnavailable:
        where = _shown(request.url)
        if isinstance(exc, _LATE):
            return SourceUnavailable(
                f"{where}: no complete answer within {self._timeout:g} s",
                hint="raise 'timeout' if the API really takes that long",
            )
        return SourceUnavailable(f"{where}: {exc or type(exc).__name__}")

    def _body(self, request: Request, response: httpx2.Response) -> bytes:
        """Read the body of an open response, decompressed, up to the cap."""
        where = _shown(request.url)
        coding = response.headers.get("content-encoding", "").strip().lower()
        coding = coding.removeprefix("x-")
        body = io.BytesIO()
        try:
            if coding not in ("identity", "", "gzip", "deflate"):
                raise FormError(f"{where}: unknown Content-Encoding {coding!r}")
            inflater = Inflater(coding) if coding in ("gzip", "deflate") else None
            for chunk in response.iter_raw():
                for piece in inflater.pieces(chunk) if inflater else (chunk,):
                    body.write(piece)
                    if body.tell() > self._max_bytes:
                        raise FormError(
                            f"{where}: the body is larger than {self._max_bytes:,} bytes",
                            hint="ask for smaller pages, or raise 'max_bytes'",
                        )
        except (*_LATE, *_BROKEN) as exc:
            raise self._unavailable(request, exc) from exc
        except zlib.error as exc:
            raise SourceUnavailable(f"{where}: damaged {coding} body") from exc
        finally:
            response.close()
        if inflater is not None and not inflater.complete:
            raise SourceUnavailable(f"{where}: the {coding} body is cut off")
        if not body.tell() and response.status_code != _NO_CONTENT:
            raise FormError(f"{where}: the body is empty", hint="an API without rows sends []")
        return body.getvalue()

    def _wait(self, error: SourceUnavailable, tries: int) -> None:
        """Wait before the next try, or raise *error* if there is none."""
        delay = self._backoff.delay(tries) if error.retry_after is None else error.retry_after
        if tries > self._retries or delay > PATIENCE or self._closed:
            raise error
        fields = {"error": str(error), "try": tries, "delay": round(delay, 3)}
        logger.info("request_retried", extra=fields)
        if self._clock.wait(self._stop, delay):
            raise error


class _Exchange(Response):
    """A request with its tries; the body may need another try as well."""

    def __init__(self, source: HttpSource, request: Request) -> None:
        self._source = source
        self._request = request
        self._response: httpx2.Response | None = None
        self._tries = 0

    def open(self) -> None:
        """Try until the head of a good response is here."""
        while True:
            self._tries += 1
            try:
                self._response = self._source._try(self._request)
                return
            except SourceUnavailable as exc:
                self._source._wait(exc, self._tries)

    def read(self) -> bytes:
        """Return the body; no bytes for 204 only."""
        while True:
            response = self._response
            if response is None:
                raise SourceUnavailable(f"{_shown(self._request.url)}: the body was read already")
            self._response = None
            try:
                return self._source._body(self._request, response)
            except SourceUnavailable as exc:
                self._source._wait(exc, self._tries)
                self.open()

    def close(self) -> None:
        """Give the connection back."""
        response, self._response = self._response, None
        if response is not None:
            response.close()


def _with(request: Request, credentials: tuple[tuple[str, str], ...]) -> httpx2.URL:
    """
    Return the URL to send.

    What the URL holds already stays byte for byte: a link may be signed, and some APIs know
    ``%20`` but not ``+``.
    """
    url = httpx2.URL(request.url)
    added = urlencode((*request.params, *credentials), quote_via=quote)
    if not added:
        return url
    return url.copy_with(query=b"&".join(part for part in (url.query, added.encode()) if part))


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


def _shown(url: str) -> str:
    """Return *url* without query and userinfo, which may hold secrets."""
    parsed = httpx2.URL(url)
    port = f":{parsed.port}" if parsed.port else ""
    return f"{parsed.scheme}://{parsed.host}{port}{parsed.path}"
