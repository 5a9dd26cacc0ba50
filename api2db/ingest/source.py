"""What a poll asks of an API: one request, one body."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api2db.ingest.chunk import Chunk

#: What a source returns for a request: JSON, or rows that need no decoding.
Body: TypeAlias = "bytes | Chunk"


@dataclass(frozen=True, slots=True)
class Request:
    """
    One page's request, as data: it is stored in the checkpoint as JSON.

    Attributes:
        url: Absolute URL without secrets; credentials are added when it is sent.
        params: Query parameters to add, in order; a value may be given more than once.
    """

    url: str
    params: tuple[tuple[str, str], ...] = field(default=())

    def to_json(self) -> dict[str, object]:
        """Return a value that `from_json` turns back into an equal request."""
        return {"url": self.url, "params": [list(pair) for pair in self.params]}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Request:
        """Undo `to_json`."""
        params = value["params"]
        assert isinstance(params, list)
        return cls(str(value["url"]), tuple((str(k), str(v)) for k, v in params))


class Response(Protocol):
    """A request, perhaps sent already; its body is read later."""

    def read(self) -> Body:
        """
        Return the whole decoded body; no bytes mean that there are no rows and no next page.

        Retries as configured, obeying Retry-After, within the total deadline of each try.

        Raises:
            SourceUnavailable: No answer, cut off or too slow, each time it was tried.
            RequestRefused: 4xx other than 408, 425, 429.
            FormError: Too large, empty without being a 204, or in an unknown coding.
        """
        ...

    def close(self) -> None:
        """Give the connection back, whether or not the body was read. Idempotent."""
        ...


class Source(ABC):
    """
    An API. One thread at a time uses a source.

    Attributes:
        patience: Longest time that one page may take, all tries included, in seconds; a
            poller that is silent for longer counts as hung. Infinite where nobody knows.
        counts: Whether `follow` gets the number of rows on the page as its *cursor*.
    """

    patience: float = math.inf
    counts: bool = False

    @abstractmethod
    def first(self, since: str | None) -> Request:
        """Return the first request of a poll; *since* is the value to send, None for none."""

    @abstractmethod
    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        """
        Return the request of the page after *request*, None if that was the last.

        Args:
            cursor: What the body of *request* holds at the pagination path, None if
                it is missing or null.
            since: The value that the poll sends.

        Raises:
            PageLoop: It is *request* again.
            FormError: *cursor* is no text or number, or leads to another host.
        """

    @abstractmethod
    def send(self, request: Request) -> Response:
        """
        Send *request* if that needs no waiting; whatever else is to do, `Response.read` does.

        So the API works while the page before is built and stored, and an API that hangs
        delays nobody. The answer is read, or closed, before the next request is sent.
        """

    def types(self) -> dict[str, str]:
        """
        Return the columns that the source itself declares, by name, with their types.

        Asked once, before the first rows of a collector; {} where only the rows tell.

        Raises:
            SourceError: The source cannot be reached.
        """
        return {}

    def prepare(self) -> None:  # noqa: B027 -- optional
        """
        Import what the source needs of the user's, before anything runs.

        Raises:
            ConfigError: It cannot be had.
        """

    def close(self) -> None:  # noqa: B027 -- optional
        """Release connections. Idempotent; may be called from another thread to stop a wait."""
