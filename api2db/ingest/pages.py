"""Which request comes next: pure logic, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urldefrag, urljoin

import httpx2

from api2db.core.errors import FormError, PageLoop
from api2db.ingest.source import Request

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Pages:
    """
    How pages follow each other.

    Attributes:
        kind: ``cursor``: a value in the body, sent back as *param*; ``next``: a URL in the body.
        path: JMESPath of that value in the body.
    """

    kind: Literal["cursor", "next"]
    path: str
    param: str = ""


def first(
    url: str, params: Mapping[str, object], since_param: str | None, since: str | None
) -> Request:
    """Return the first request of a poll; a list in *params* repeats its parameter."""
    pairs = [
        (name, _text(item))
        for name, value in params.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
    ]
    if since_param is not None and since is not None:
        pairs = [pair for pair in pairs if pair[0] != since_param]
        pairs.append((since_param, since))
    return Request(url, tuple(pairs))


def following(
    pages: Pages | None, base: Request, request: Request, cursor: object
) -> Request | None:
    """
    Return the request after *request*, None if that was the last page.

    Args:
        base: The poll's first request: its parameters go with every cursor.
        cursor: What the body holds at `Pages.path`; missing, null, empty and false end.

    Raises:
        FormError: *cursor* cannot be followed.
        PageLoop: It leads to *request* itself.
    """
    if pages is None or cursor is None or cursor is False or cursor == "":
        return None
    if isinstance(cursor, bool) or not isinstance(cursor, (str, int)):
        kind = type(cursor).__name__
        raise FormError(
            f"the value at {pages.path!r} is a {kind}, not a text or a whole number",
            hint="check 'pages'",
        )
    if isinstance(cursor, str) and not _is_text(cursor):
        raise FormError(f"the value at {pages.path!r} holds half a character")
    if pages.kind == "cursor":
        kept = [pair for pair in base.params if pair[0] != pages.param]
        after = Request(base.url, (*kept, (pages.param, str(cursor))))
    else:
        after = Request(_link(request.url, str(cursor)))
    if after == request:
        raise PageLoop(
            "the next page is the same page again",
            hint="check 'pages': the cursor that the API returns does not move on",
        )
    return after


def _link(current: str, link: str) -> str:
    """Return the absolute URL of *link*, if it stays with the API: credentials go with it."""
    try:
        url = httpx2.URL(urldefrag(urljoin(current, link.strip())).url)
    except (httpx2.InvalidURL, ValueError) as exc:
        raise FormError("the link to the next page is not a URL", hint="check 'pages'") from exc
    if origin(url) != origin(httpx2.URL(current)):
        raise FormError(
            f"the next page leads to {url.scheme}://{url.host}, away from the API",
            hint="api2db follows links to the same scheme, host and port only",
        )
    # Links lie in the checkpoint: no user and password there.
    return str(url.copy_with(userinfo=b"") if url.userinfo else url)


def origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    """
    Return scheme, host and port of *url*, with the scheme's own port spelled out.

    The URL is the one that is sent: a second parser might see another host in it.
    """
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _is_text(value: str) -> bool:
    """Return False for lone surrogates, which no URL can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
