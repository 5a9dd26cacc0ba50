"""The status page."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from api2db.app.page import _span, render
from tests.fixtures.picture import collector, picture, stream, troubled

HOSTILE = "<script>alert(1)</script><img src=x onerror=\"alert('1')\">&amp;$nonce"


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements, their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "

    def tags(self) -> list[str]:
        return [tag for tag, _ in self.elements]


def test_nothing_from_outside_becomes_markup() -> None:
    """Hostile names, errors and damage are shown as text, wherever they come from."""
    streams = {HOSTILE: stream(state=HOSTILE, error=HOSTILE, retry_seconds=1.0)}
    hostile = collector(
        streams,
        state=HOSTILE,
        error=HOSTILE,
        last_result=HOSTILE,
        damage=[HOSTILE],
        removed_streams={HOSTILE: 1},
    )
    plain = collector(
        {"s": stream(error="e", retry_seconds=1.0)},
        error="e",
        damage=["d"],
        removed_streams={"r": 1},
    )
    read = Reader(render(picture({HOSTILE: hostile}, hung=[HOSTILE]), "abc"))
    usual = Reader(render(picture({"c": plain}, hung=["h"]), "abc"))
    assert read.tags() == usual.tags()
    assert read.text.count(HOSTILE) == 10
    assert not any(name.startswith("on") for _, attributes in read.elements for name in attributes)


def test_nothing_is_fetched_from_elsewhere() -> None:
    """Style and script are in the page, by the nonce; links stay on this server."""
    read = Reader(render(troubled(), "abc"))
    for tag, attributes in read.elements:
        assert "src" not in attributes
        assert "style" not in attributes
        assert (attributes.get("href") or "/").startswith(("/", "data:"))
        if tag in ("style", "script"):
            assert attributes["nonce"] == "abc"


def test_what_is_told() -> None:
    """A person sees what waits, since when, why, and when it is tried again."""
    text = " ".join(Reader(render(troubled(), "abc")).text.split())
    for told in (
        "needs attention",
        "poller scores hangs",
        "https://api.acme.com/v1/orders: HTTP 503",
        "12 s ago",
        "in 18 s",
        "31 of 2,913",
        "17 rows did not fit",
        "damaged: 000012.seg",
        "4 batches wait for old",
        "1,200 batches",
        "1 h 23 min",
        "310 batches",
        "2 rows",
        "PostgreSQL: connection refused attempt 8 in 42 s",
        "under way",
    ):
        assert told in text


def test_all_is_well() -> None:
    """A healthy daemon is said to be so, in words and in the colour of the icon."""
    page = render(picture({"orders": collector({"pg": stream()})}), "abc")
    assert "all is well" in page
    assert "needs attention" not in page
    assert page != render(picture({}, healthy=False), "abc")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (9.94, "9.9 s"),
        (59.0, "59 s"),
        (60.0, "1 min"),
        (320.0, "5 min 20 s"),
        (7_325.0, "2 h 2 min"),
        (90_000.0, "1 d 1 h"),
        (float("inf"), "never"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    """Durations are told in the two units that matter."""
    assert _span(seconds) == text
