"""Which request comes next: pure logic, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
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
        kind: ``cursor``: a value in the body, sent back as *param*; ``next``: a URL in the body;
            ``link``: a URL in the Link header; ``page`` and ``offset``: a number that is counted
            up in *param* until a page is empty.
        path: JMESPath of the cursor or URL in the body.
        start: Number of the first page, or offset of the first row.
        size: Further parameters of every page, such as ``(("per_page", "100"),)``.
    """

    kind: Literal["cursor", "next", "link", "page", "offset"]
    path: str | None = None
    param: str = ""
    start: int = 0
    size: tuple[tuple[str, str], ...] = field(default=())

    @property
    def counts(self) -> bool:
        """Whether the next page follows from the number of rows on this one."""
        return self.kind in ("page", "offset")


def first(
    url: str,
    params: Mapping[str, object],
    since_param: str | None,
    since: str | None,
    pages: Pages | None = None,
) -> Request:
    """
    Return the first request of a poll; a list in *params* repeats its parameter.

    `since` and the parameters of *pages* take the place of those of the same name.
    """
    pairs = [
        (name, _text(item))
        for name, value in params.items()
        for item in (value if isinstance(value, (list, tuple)) else [value])
    ]
    own = []
    if since_param is not None and since is not None:
        own.append((since_param, since))
    if pages is not None:
        own += pages.size
        own += [(pages.param, str(pages.start))] if pages.counts else []
    names = {name for name, _ in own}
    return Request(url, (*(pair for pair in pairs if pair[0] not in names), *own))


def following(
    pages: Pages | None, base: Request, request: Request, cursor: object
) -> Request | None:
    """
    Return the request after *request*, None if that was the last page.

    Args:
        base: The poll's first request: its parameters go with every cursor and number.
        cursor: What the body holds at `Pages.path`, or the URL in the Link header: missing,
            null, empty and false end. Where `Pages.counts`, the number of rows on the page: 0
            ends, for a page may be short in the middle.

    Raises:
        FormError: *cursor* cannot be followed.
        PageLoop: It leads to *request* itself.
    """
    if pages is None or cursor is None or cursor is False or cursor == "":
        return None
    where = "the URL in the Link header" if pages.kind == "link" else f"the value at {pages.path!r}"
    if isinstance(cursor, bool) or not isinstance(cursor, (str, int)):
        kind = type(cursor).__name__
        raise FormError(
            f"{where} is a {kind}, not a text or a whole number",
            hint="check 'pages'",
        )
    if pages.counts:
        return _counted(pages, base, request, int(cursor))
    if isinstance(cursor, str) and not _is_text(cursor):
        raise FormError(f"{where} holds half a character", hint="check 'pages'")
    if pages.kind == "cursor":
        after = _with(base, pages.param, str(cursor))
    else:
        after = Request(_link(request.url, str(cursor)))
    if after == request:
        raise PageLoop(
            "the next page is the same page again",
            hint="check 'pages': the cursor that the API returns does not move on",
        )
    return after


def _counted(pages: Pages, base: Request, request: Request, n_rows: int) -> Request | None:
    """
    Return the request of the page after one with *n_rows* rows.

    An offset moves on by the rows that came, not by the limit: an API that gives fewer rows
    than it is asked for would be read with gaps.
    """
    if n_rows == 0:
        return None
    at = [value for name, value in request.params if name == pages.param]
    number = int(at[-1]) if at and at[-1].isdecimal() else pages.start
    return _with(base, pages.param, str(number + (1 if pages.kind == "page" else n_rows)))


def _with(base: Request, name: str, value: str) -> Request:
    kept = (pair for pair in base.params if pair[0] != name)
    return Request(base.url, (*kept, (name, value)))


def _link(current: str, link: str) -> str:
    """Return the absolute URL of *link*, if it stays with the API: credentials go with it."""
    try:
        url = httpx2.URL(urldefrag(urljoin(current, link.strip())).url)
    except (httpx2.InvalidURL, ValueError) as exc:
        raise FormError("the link to the next page is not a URL", hint="check 'pages'") from exc
    if origin(url) != origin(httpx2.URL(current)):
        raise FormError(
            f"the next page leads to {site(url)}, away from the API",
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


def site(url: httpx2.URL) -> str:
    """Return scheme, host and port of *url*, as a person writes them."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}"


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
