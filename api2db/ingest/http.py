"""An HTTP API as a source: one GET per page."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import httpx2

from api2db import __version__
from api2db.core.backoff import Backoff
from api2db.core.errors import ConfigError, FormError, SourceUnavailable
from api2db.ingest import link
from api2db.ingest import pages as paging
from api2db.ingest.auth import Auth, OAuth2, fault_of_header, fault_of_text
from api2db.ingest.client import Client
from api2db.ingest.coding import to_utf8
from api2db.ingest.httperrors import shown
from api2db.ingest.source import Request, Response, Source

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.ingest.direct import Exchange
    from api2db.ingest.pages import Pages

logger = logging.getLogger(__name__)

#: Longest Retry-After that is waited for within a poll, in seconds.
PATIENCE = 60.0

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"api2db/{__version__}",
}
_NO_CONTENT = 204


class HttpSource(Source):
    """
    One API. Used by one thread at a time; `close` may come from another.

    Credentials, headers and cookies never go to another scheme, host or port: see `Client`.

    Args:
        since_param: Query parameter that sends the watermark; None sends none.
        since_format: What it says, with ``{}`` in the place of the watermark.
        timeout: For one try in all, from the name's look-up to the last byte, in seconds.
        max_bytes: Cap on a body after decompression.
        retries: Tries after the first, per page.
        stop: Ends every wait.
        tokens: Folder in which refresh tokens are kept that a server replaced; None: in memory.

    Raises:
        ConfigError: The URL, a header, a parameter or the credential cannot be sent.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        stop: threading.Event,
        auth: Auth | OAuth2 | None = None,
        pages: Pages | None = None,
        since_param: str | None = None,
        since_format: str = "{}",
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
        max_bytes: int = 256 * 10**6,
        retries: int = 5,
        backoff: Backoff | None = None,
        tokens: Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        home = _parsed(url)
        if home.userinfo:  # a credential like any other: it must not get into a checkpoint
            auth = auth or Auth("basic", home.password, home.username)
            home = home.copy_with(userinfo=b"")
        self._url = str(home)
        self._key = auth.params if isinstance(auth, Auth) else ()
        self._pages = pages
        self.counts = pages is not None and pages.counts
        self._since_param = since_param
        self._since_format = since_format
        self._params = dict(params or {})
        self._max_bytes = max_bytes
        self._retries = retries
        exchanges = 4 if isinstance(auth, OAuth2) else 1  # a token and a page, each of them twice
        self.patience = timeout * exchanges * (retries + 1) + PATIENCE * retries
        self._clock = clock
        self._stop = stop
        self._backoff = backoff or Backoff()
        self._linked: tuple[Request, list[str]] | None = None
        self._check(headers or {}, auth)
        sent = httpx2.Headers(_HEADERS)
        sent.update(headers)  # whatever case their names have
        self._client = Client(
            home,
            headers=sent,
            params=self._params,
            auth=auth,
            timeout=timeout,
            clock=clock,
            tokens=tokens,
            ssl_context=ssl_context,
        )

    def _check(self, headers: Mapping[str, str], auth: Auth | OAuth2 | None) -> None:
        """Refuse at once what could not be sent: a library would show the value it refuses."""
        faults = {f"headers.{name}": fault_of_header(name, v) for name, v in headers.items()}
        if isinstance(auth, Auth):
            faults["auth"] = auth.fault()
        for name, value in paging.first("", self._params, None, None, self._pages).params:
            faults[f"params.{name}"] = fault_of_text(name + value)
        for where, fault in faults.items():
            if fault is not None:
                url = shown(httpx2.URL(self._url))
                raise ConfigError(f"{url}: {where} cannot be sent: {fault}")

    def first(self, since: str | None) -> Request:
        """Return the request of the first page."""
        said = None if since is None else self._since_format.replace("{}", since)
        return paging.first(self._url, self._params, self._since_param, said, self._pages)

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        """Return the request of the page after *request*, None after the last."""
        if self._pages is not None and self._pages.kind == "link":
            cursor = self._link(request)
        after = paging.following(self._pages, self.first(since), request, cursor)
        if after is None:
            return None
        for name, _ in self._key:  # an API may repeat the key in its links
            if name in httpx2.URL(after.url).params:
                url = str(httpx2.URL(after.url).copy_remove_param(name))
                after = Request(url, after.params)
        return after

    def _link(self, request: Request) -> str | None:
        """Return the link in the head of the answer to *request*, which was the last one."""
        assert self._linked is not None
        asked, headers = self._linked
        assert asked == request
        try:
            return link.find(headers, "next")
        except ValueError as exc:
            raise FormError(f"{_where(request)}: {exc}", hint="check 'pages'") from exc

    def send(self, request: Request) -> Response:
        """Write *request* if that needs no waiting; the rest is done when it is read."""
        return _Answer(self, request, self._begin(request))

    def close(self) -> None:
        """Break off what is under way, and close the connections."""
        self._client.close()

    # -- one try -------------------------------------------------------------------

    def _begin(self, request: Request) -> Exchange | None:
        try:
            return self._client.begin(_with(request, self._key))
        except (httpx2.InvalidURL, ValueError):  # `_try` will say so
            return None

    def _try(self, request: Request, begun: Exchange | None) -> bytes:
        """Send *request* once, unless it was *begun*; return the body of a 2xx."""
        where = _where(request)
        try:
            url = _with(request, self._key)
        except (httpx2.InvalidURL, ValueError):  # it would show the value
            hint = "check 'pages', and the value that 'since' sends"
            raise FormError(f"{where}: cannot be written as a URL", hint=hint) from None
        response = self._client.get(url, where, begun)
        self._linked = request, response.headers.get_list("link")
        body = b"".join(self._client.pieces(response, where, self._max_bytes))
        if not body and response.status_code != _NO_CONTENT:
            raise FormError(f"{where}: the body is empty", hint="an API without rows sends []")
        return to_utf8(body, response.charset_encoding)

    def _wait(self, error: SourceUnavailable, tries: int) -> None:
        """Wait before the next try, or raise *error* if there is none."""
        delay = self._backoff.delay(tries) if error.retry_after is None else error.retry_after
        if tries > self._retries or delay > PATIENCE or self._client.closed:
            raise error
        fields = {"error": str(error), "try": tries, "delay": round(delay, 3)}
        logger.info("request_retried", extra=fields)
        if self._clock.wait(self._stop, delay):
            raise error


class _Answer(Response):
    """A request with its tries."""

    def __init__(self, source: HttpSource, request: Request, begun: Exchange | None) -> None:
        self._source = source
        self._request = request
        self._begun = begun

    def read(self) -> bytes:
        """Return the body; no bytes for 204 only."""
        tries = 0
        while True:
            tries += 1
            begun, self._begun = self._begun, None
            try:
                return self._source._try(self._request, begun)
            except SourceUnavailable as exc:
                self._source._wait(exc, tries)

    def close(self) -> None:
        """Give the connection back, if nobody wants the answer."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.close()


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


def _where(request: Request) -> str:
    """Return how errors call *request*: without its query, which may hold secrets."""
    try:
        return shown(httpx2.URL(request.url))
    except (httpx2.InvalidURL, ValueError):
        return "the request in the checkpoint"


def _parsed(url: str) -> httpx2.URL:
    """Return *url* as it will be sent; its text may hold a password and is in no error."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        raise ConfigError("'get' is not a URL", hint="write https://host/path") from None
    is_web = parsed.scheme in ("http", "https") and parsed.host
    if not is_web or not 0 < (parsed.port or 80) < 65536:
        raise ConfigError("'get' is not the URL of an API", hint="write https://host/path")
    return parsed
