"""Where a redirect may lead, and what of a request may go along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from api2db.core.errors import RequestRefused
from api2db.ingest.httperrors import shown
from api2db.ingest.pages import origin, site

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Redirects followed for one request.
REDIRECTS = 5
#: The headers that another host gets: they say nothing about who asks.
HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})


def follow(url: httpx2.URL, location: str, status: int, where: str) -> httpx2.URL:
    """
    Return the URL to which the answer to *url* leads, without user and password.

    Args:
        where: How errors call the request.

    Raises:
        RequestRefused: It is no web address, or leaves TLS.
    """
    try:
        after = url.join(location.strip())
    except (httpx2.InvalidURL, ValueError):
        after = httpx2.URL("")
    downgrade = url.scheme == "https" and after.scheme == "http"
    is_web = after.scheme in ("http", "https") and after.host
    if not is_web or downgrade or not 0 < (after.port or 80) < 65536:
        to = site(after) if after.scheme else "what is no URL"
        raise RequestRefused(
            f"{where}: redirects to {to}", status=status, hint="put the right URL into 'get'"
        )
    return after.copy_with(userinfo=b"") if after.userinfo else after


def is_foreign(url: httpx2.URL, home: httpx2.URL) -> bool:
    """Return whether *url* is another place than *home*: another scheme, host or port."""
    return origin(url) != origin(home)


def foreign(url: httpx2.URL, secrets: Collection[str]) -> httpx2.URL:
    """
    Return *url*, which is another place, without what only the API may know.

    An API that moves repeats the query in its ``Location``: parameters whose value is one of
    *secrets* go. All else stays byte for byte, for the URL may be signed.
    """
    for name in {name for name, value in url.params.multi_items() if value in secrets}:
        url = url.copy_remove_param(name)
    return url


def harmless(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those of *headers* that another place may see."""
    return {name: value for name, value in headers.items() if name.lower() in HARMLESS}


def hint(url: httpx2.URL, first: httpx2.URL) -> str:
    """Return what to do about a 401 or 403 of *url*, to which *first* had led."""
    return (
        f"{site(first)} redirects to {shown(url)}, where no credentials are sent:"
        f" if that is the API, write {site(url)} in 'get'"
    )
