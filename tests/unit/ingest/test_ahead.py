"""Pages fetched ahead by a thread of their own."""

from __future__ import annotations

import threading

import pytest

from api2db.core.errors import SourceUnavailable
from api2db.ingest.ahead import Ahead
from api2db.ingest.source import Request, Response, Source


class Reply(Response):
    """Answers when it may."""

    def __init__(self, api: Api, url: str) -> None:
        self.api = api
        self.url = url

    def read(self) -> bytes:
        assert self.api.may_answer.wait(10)
        if self.url == "broken":
            raise SourceUnavailable("cut off")
        return self.url.encode()

    def close(self) -> None:
        self.api.closed.append(self.url)


class Api(Source):
    """An API that answers each request with its URL, when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = threading.Event()
        self.closed: list[str] = []

    def first(self, since: str | None) -> Request:
        raise NotImplementedError

    def follow(self, request: Request, cursor: object, *, since: str | None) -> Request | None:
        raise NotImplementedError

    def send(self, request: Request) -> Response:
        self.asked.set()
        return Reply(self, request.url)


def test_the_request_is_sent_at_once_and_read_later() -> None:
    """`begin` returns while the API still thinks; `body` brings the answer, errors included."""
    api = Api()
    ahead = Ahead(api)
    ahead.begin(Request("one"))
    assert api.asked.wait(10)
    assert api.closed == []
    api.may_answer.set()
    assert ahead.body() == b"one"
    ahead.begin(Request("broken"))
    with pytest.raises(SourceUnavailable, match="cut off"):
        ahead.body()
    ahead.begin(Request("two"))
    assert ahead.body() == b"two"
    ahead.close()
    assert api.closed == ["one", "broken", "two"]


def test_close_waits_until_the_source_is_free() -> None:
    """An answer that nobody asks for any more is awaited, and its connection given back."""
    api = Api()
    ahead = Ahead(api)
    ahead.begin(Request("one"))
    closing = threading.Thread(target=ahead.close)
    closing.start()
    assert api.asked.wait(10)
    assert closing.is_alive()
    api.may_answer.set()
    closing.join(10)
    assert api.closed == ["one"]
