"""Requests to one API: credentials, redirects, one deadline, bodies up to a cap."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import httpx2

from api2db.core.errors import FormError, RequestRefused, SourceUnavailable
from api2db.ingest import redirect
from api2db.ingest.auth import Auth, OAuth2, secret_params
from api2db.ingest.coding import Inflater
from api2db.ingest.httperrors import FOREIGN, judge, shown, translate
from api2db.ingest.oauth2 import Tokens
from api2db.ingest.transport import Transport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.ingest.direct import Exchange

#: Cap on the answer of a token server, in bytes.
TOKEN_BYTES = 1_000_000

_UNAUTHORIZED = (401, 403)
_ASKED_AGAIN = "it is asked again"


class Client:
    """
    Sends requests to one API, each in one try. One thread at a time; `close` is for any.

    Credentials, *headers* and cookies go to the scheme, host and port of *home* alone. A redirect
    that leads elsewhere is followed with `redirect.HARMLESS` headers only, and without the
    query parameters that hold a secret.

    Args:
        home: The API, without userinfo.
        params: The parameters that requests have, for those that are secrets.
        timeout: For one exchange in all, from the name's look-up to the last byte, in
            seconds; a token that must be fetched has as much again.
        tokens: The folder of refresh tokens that a server replaced.
    """

    def __init__(
        self,
        home: httpx2.URL,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, object],
        auth: Auth | OAuth2 | None,
        timeout: float,
        clock: Clock,
        tokens: Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._home = home
        self._headers = headers
        self._auth = auth if isinstance(auth, Auth) else None
        self._timeout = timeout
        self._clock = clock
        self._transport = Transport(ssl_context=ssl_context)
        self._cookies = httpx2.Cookies()
        self._tokens = None
        if isinstance(auth, OAuth2):
            self._tokens = Tokens(auth, post=self._post, clock=clock, folder=tokens)
        texts = {name: value for name, value in params.items() if isinstance(value, str)}
        self._secrets = secret_params({**dict(home.params), **texts})
        self._secrets |= {value for _, value in (self._auth.params if self._auth else ())}
        self.closed = False

    def begin(self, url: httpx2.URL) -> Exchange | None:
        """Write the request of *url* if nothing must be waited for; else None. Raises nothing."""
        if self.closed or (self._tokens is not None and not self._tokens.valid):
            return None
        self._transport.deadline.set(self._timeout)
        try:
            return self._transport.begin(self._request(url))
        except FOREIGN:  # `get` will say what is wrong
            return None

    def get(self, url: httpx2.URL, where: str, begun: Exchange | None = None) -> httpx2.Response:
        """
        Return the open response of a 2xx; after a 401 a token is renewed, once.

        Args:
            where: How errors call the request.
            begun: What `begin` returned for *url*.

        Raises:
            SourceUnavailable: There is no answer, or 408, 425, 429 or 5xx.
            RequestRefused: Any other status.
        """
        response, last = self._follow(url, where, begun)
        if response.status_code == 401 and self._tokens and not self._is_foreign(last):
            response.close()
            self._tokens.forget()
            response, last = self._follow(url, where)
        if response.is_success:
            return response
        response.close()
        proxied = self._transport.proxy(last) is not None
        error = judge(response, where, self._clock, proxied=proxied)
        if response.status_code in _UNAUTHORIZED and self._is_foreign(last):
            error.hint = redirect.hint(last, url)
        raise error

    def pieces(self, response: httpx2.Response, where: str, limit: int) -> Iterator[bytes]:
        """
        Yield the body of an open response, decompressed, and close it.

        Raises:
            SourceUnavailable: It is cut off, damaged or too slow.
            FormError: It has more than *limit* bytes, or is in an unknown coding.
        """
        coding = response.headers.get("content-encoding", "").strip().lower()
        coding = coding.removeprefix("x-")
        size = 0
        try:
            if coding not in ("identity", "", "gzip", "deflate"):
                hint = "leave Accept-Encoding out of 'headers'"
                raise FormError(f"{where}: unknown Content-Encoding {coding[:40]!r}", hint=hint)
            inflater = Inflater(coding) if coding in ("gzip", "deflate") else None
            for chunk in response.iter_raw():
                for piece in inflater.pieces(chunk) if inflater else (chunk,):
                    size += len(piece)
                    if size > limit:
                        raise FormError(
                            f"{where}: the body is larger than {limit:,} bytes",
                            hint="ask for smaller pages, or raise 'max_bytes'",
                        )
                    yield piece
        except FOREIGN as exc:
            raise self._translated(exc, where, response.request.url) from None
        except zlib.error as exc:
            raise SourceUnavailable(f"{where}: damaged {coding} body", hint=_ASKED_AGAIN) from exc
        finally:
            response.close()
        if inflater is not None and not inflater.complete:
            raise SourceUnavailable(f"{where}: the {coding} body is cut off", hint=_ASKED_AGAIN)

    def close(self) -> None:
        """Break off what is under way, and close the connections. Idempotent."""
        self.closed = True
        self._transport.abort()
        self._transport.close()

    def _follow(
        self, url: httpx2.URL, where: str, begun: Exchange | None = None
    ) -> tuple[httpx2.Response, httpx2.URL]:
        """Send one request, follow redirects; return the open response, and whose it is."""
        self._transport.deadline.set(self._timeout)
        for _ in range(redirect.REDIRECTS + 1):
            request = self._request(url) if begun is None else begun.request
            response = self._send(request, where, begun)
            if not response.has_redirect_location:
                return response, url
            response.close()
            begun = None
            location = response.headers["location"]
            url = redirect.follow(url, location, response.status_code, where)
            if self._is_foreign(url):
                url = redirect.foreign(url, self._secrets)
        text = f"{where}: more than {redirect.REDIRECTS} redirects"
        raise RequestRefused(text, status=310, hint="put the URL to which they lead into 'get'")

    def _request(self, url: httpx2.URL) -> httpx2.Request:
        if self._is_foreign(url):
            return self._stranger("GET", url, {})
        headers = httpx2.Headers(self._headers)
        if self._tokens is not None:
            headers.update(self._tokens.headers())
        elif self._auth is not None:
            headers.update(self._auth.headers)
        request = httpx2.Request("GET", url, headers=headers)
        self._cookies.set_cookie_header(request)
        return request

    def _is_foreign(self, url: httpx2.URL) -> bool:
        return redirect.is_foreign(url, self._home)

    def _stranger(
        self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> httpx2.Request:
        """Return a request to a place that must not know ours: no credentials, no cookies."""
        known = redirect.harmless(self._headers)
        return httpx2.Request(method, url, headers={**known, **headers}, content=body)

    def _send(
        self, request: httpx2.Request, where: str, begun: Exchange | None = None
    ) -> httpx2.Response:
        """
        Return the open response, whatever its status, of *request* or of what was *begun*.

        Not by httpx2.Client: it writes whole URLs into the log.
        """
        if self.closed:
            raise SourceUnavailable(f"{where}: the source is closed", hint="make another one")
        try:
            response = self._transport.send(request) if begun is None else begun.response()
            response.request = request
            if not self._is_foreign(request.url):
                self._cookies.extract_cookies(response)
        except FOREIGN as exc:
            raise self._translated(exc, where, request.url) from None
        return response

    def _translated(self, exc: Exception, where: str, url: httpx2.URL) -> SourceUnavailable:
        return translate(exc, where, self._timeout, self._transport.proxy(url))

    def _post(
        self, url: httpx2.URL, headers: Mapping[str, str], body: bytes
    ) -> tuple[httpx2.Response, bytes]:
        """Ask the token server; see `oauth2.Post`."""
        where = shown(url)
        self._transport.deadline.set(self._timeout)
        headers = {**headers, "Accept-Encoding": "identity"}
        try:
            response = self._send(self._stranger("POST", url, headers, body), where)
            answer = b"".join(self.pieces(response, where, TOKEN_BYTES))
        except SourceUnavailable as exc:
            exc.hint = exc.hint and exc.hint.replace("'get'", "'token_url'")
            raise
        if response.status_code == 429 or response.status_code >= 500:
            raise judge(response, where, self._clock, proxied=False)
        return response, answer
