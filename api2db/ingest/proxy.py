"""Which proxy stands before an API, as the environment says."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass, field
from urllib.parse import unquote

import httpcore2
import httpx2

from api2db.core.errors import SourceUnavailable


@dataclass(frozen=True, slots=True)
class Proxy:
    """
    One proxy.

    Attributes:
        url: ``http`` or ``https``, host and port; without user and password.
        user: With *password*, sent to the proxy alone, as ``Proxy-Authorization``.
    """

    url: str
    user: bytes = field(default=b"", repr=False)
    password: bytes = field(default=b"", repr=False)

    def to_core(self) -> httpcore2.Proxy:
        """Return it as the connection pool wants it."""
        auth = (self.user, self.password) if self.user or self.password else None
        return httpcore2.Proxy(self.url, auth=auth)


class Proxies:
    """The proxies of the environment: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, read once."""

    def __init__(self) -> None:
        self._proxies = urllib.request.getproxies()

    def find(self, url: httpx2.URL) -> Proxy | None:
        """
        Return the proxy for *url*, None if there is none, or ``NO_PROXY`` names the host.

        Raises:
            SourceUnavailable: The variable holds no URL of a proxy that can be used.
        """
        kind = url.scheme if url.scheme in self._proxies else "all"
        text = self._proxies.get(kind)
        if not text or any(urllib.request.proxy_bypass(host) for host in _names(url)):
            return None
        hint = f"write http://user:password@host:port in {kind.upper()}_PROXY, or set NO_PROXY"
        try:
            parsed = httpx2.URL(text if "://" in text else f"http://{text}")
            core = httpcore2.URL(scheme=parsed.raw_scheme, host=parsed.raw_host, port=parsed.port)
        except (httpx2.InvalidURL, ValueError):  # its message would show the password
            raise SourceUnavailable("the proxy's address is not a URL", hint=hint) from None
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise SourceUnavailable(f"the proxy's scheme {parsed.scheme!r} is unknown", hint=hint)
        user, _, password = parsed.userinfo.partition(b":")
        port = core.origin.port
        return Proxy(f"{parsed.scheme}://{url_host(parsed)}:{port}", _raw(user), _raw(password))


def url_host(url: httpx2.URL) -> str:
    """Return the host of *url* as a URL holds it: an IPv6 address in brackets."""
    host = url.raw_host.decode("ascii")
    return f"[{host}]" if ":" in host else host


def _names(url: httpx2.URL) -> tuple[str, ...]:
    """Return what ``NO_PROXY`` may call the host of *url*: with its port, and without."""
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.host, f"{url.host}:{port}"


def _raw(text: bytes) -> bytes:
    return unquote(text.decode("ascii"), errors="surrogateescape").encode(errors="surrogateescape")
