"""The page after this one, fetched while this one is built and stored."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api2db.ingest.source import Body, Request, Source


class Ahead:
    """
    Fetches one request at a time in a thread of its own, which begins with the first one.

    So the API works while we do, and an API that hangs delays nothing but its own next page.
    All methods are for one other thread, which leaves the source alone from `begin` to `body`.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self._bodies: SimpleQueue[Body | BaseException] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, request: Request) -> None:
        """Fetch *request*; `body` says what became of it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)
            self._thread.start()
        self._requests.put(request)

    def body(self) -> Body:
        """Wait for the body and return it, or raise what `fetch` raised."""
        found = self._bodies.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Wait until the source is free, and end the thread."""
        if self._thread is not None:
            self._requests.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (request := self._requests.get()) is not None:
            try:
                self._bodies.put(fetch(self._source, request))
            except BaseException as exc:  # noqa: BLE001 -- raised by `body`
                self._bodies.put(exc)


def fetch(source: Source, request: Request) -> Body:
    """Send *request* and return its body; raises what `Source.send` and `Response.read` do."""
    response = source.send(request)
    try:
        return response.read()
    finally:
        response.close()
