"""Pages that repeat, or never end: what one run of a poll has seen of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import google_crc32c

from api2db.core.errors import PageLoop

if TYPE_CHECKING:
    from api2db.ingest.source import Body, Request


class Loops:
    """The bodies and requests of one run; used by its poll. Pages are counted from zero."""

    def __init__(self, max_pages: int) -> None:
        self._max_pages = max_pages
        self._bodies: set[tuple[int, int, int]] = set()
        self._requests: set[Request] = set()

    def repeated(self, body: Body, page: int) -> PageLoop | None:
        """Return an error if an earlier page than *page* had this very body."""
        if not isinstance(body, bytes):
            return None  # a source that counts its pages itself
        # 32 bits of the whole, 64 of where pages differ first: quicker than any hash of 64.
        checksum = (len(body), google_crc32c.value(body), hash(body[:4096]))
        if checksum in self._bodies:
            return PageLoop(
                f"page {page + 1} is the same as an earlier page",
                hint="check 'pages': the API may ignore the cursor's parameter",
            )
        self._bodies.add(checksum)
        return None

    def endless(self, request: Request, following: Request | None, page: int) -> PageLoop | None:
        """Return an error if *page*, which *request* gave, leads back, or to one too many."""
        self._requests.add(request)
        if following in self._requests:
            return PageLoop(
                f"page {page + 1} leads back to an earlier page",
                hint="check 'pages': the cursor that the API returns does not move on",
            )
        if following is not None and page + 1 >= self._max_pages:
            return PageLoop(
                f"there are more than {self._max_pages} pages",
                hint="raise 'max_pages' if the API really has that many",
            )
        return None
