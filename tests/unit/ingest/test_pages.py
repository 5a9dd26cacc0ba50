"""Which request comes next, and which links are not followed."""

from __future__ import annotations

import json
from contextlib import suppress

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.errors import FormError, PageLoop
from api2db.ingest.pages import Pages, first, following, origin
from api2db.ingest.source import Request

URL = "https://api.acme.com/v1/orders"
CURSOR = Pages("cursor", "meta.next", "cursor")
NEXT = Pages("next", "links.next")
BASE = Request(URL, (("since", "5"), ("tag", "a"), ("tag", "b")))


def link(to: str, current: str = URL) -> str:
    """Return the URL to which a link in the body of *current* leads."""
    after = following(NEXT, Request(current), Request(current), to)
    assert after is not None
    assert after.params == (), "parameters are not added to links"
    return after.url


def test_params_are_text_and_lists_repeat() -> None:
    """Booleans are lower case; a list gives its parameter once for each item, in order."""
    params = {"a": 1, "b": True, "c": False, "d": 1.5, "e": "x y", "f": ["p", 2], "g": []}
    assert first(URL, params, None, None).params == (
        ("a", "1"),
        ("b", "true"),
        ("c", "false"),
        ("d", "1.5"),
        ("e", "x y"),
        ("f", "p"),
        ("f", "2"),
    )


def test_since_is_sent_if_there_is_a_value() -> None:
    """The first poll ever sends none; a value takes the place of a parameter of that name."""
    assert first(URL, {"a": 1}, "since", None).params == (("a", "1"),)
    assert first(URL, {"since": 0}, "since", "2026").params == (("since", "2026"),)
    assert first(URL, {}, None, "2026").params == ()
    assert first(URL, {}, "since", "").params == (("since", ""),)


@pytest.mark.parametrize("cursor", [None, "", False])
def test_nothing_ends_a_poll(cursor: object) -> None:
    """Missing, null, empty and false mean that this was the last page, of both kinds."""
    assert following(CURSOR, BASE, BASE, cursor) is None
    assert following(NEXT, BASE, BASE, cursor) is None
    assert following(None, BASE, BASE, "more") is None


def test_zero_is_a_cursor() -> None:
    """A whole number is a cursor, 0 too."""
    after = following(CURSOR, BASE, BASE, 0)
    assert after is not None
    assert after.params[-1] == ("cursor", "0")


@pytest.mark.parametrize("cursor", [True, 1.5, {"a": 1}, ["x"], b"x"])
def test_other_values_are_no_cursor(cursor: object) -> None:
    """A cursor is a text or a whole number; the error names the path and the option."""
    with pytest.raises(FormError, match=r"meta\.next.*check 'pages'"):
        following(CURSOR, BASE, BASE, cursor)


def test_a_cursor_goes_with_the_parameters_of_the_first_request() -> None:
    """`since` and params go with every page; the cursor before is replaced, not added."""
    second = following(CURSOR, BASE, BASE, "c2")
    assert second is not None
    assert second == Request(URL, (*BASE.params, ("cursor", "c2")))
    assert following(CURSOR, BASE, second, "c3") == Request(URL, (*BASE.params, ("cursor", "c3")))


@pytest.mark.parametrize(
    ("to", "url"),
    [
        ("?page=2", f"{URL}?page=2"),
        ("/v2/rows?p=2", "https://api.acme.com/v2/rows?p=2"),
        ("more?p=2", "https://api.acme.com/v1/more?p=2"),
        ("//api.acme.com/x", "https://api.acme.com/x"),
        (f"{URL}?p=2#top", f"{URL}?p=2"),
        ("https://API.ACME.COM:443/x", "https://api.acme.com/x"),
        (" /x?p=2\n", "https://api.acme.com/x?p=2"),
    ],
)
def test_links_are_absolute_or_relative_to_their_page(to: str, url: str) -> None:
    """RFC 3986; the fragment is dropped, the default port may be written out."""
    assert link(to) == url


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/v1/orders",
        "https://api.acme.com.evil.example/x",
        "https://api.acme.com@evil.example/x",
        "https://api.acme.com:8443/x",
        "http://api.acme.com/v1/orders?p=2",
        "//evil.example/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "https://[::1/x",
        "https://api.acme.com:99999/x",
        "https://api.acme.com:port/x",
        "https://api.acme.com/\x00",
        "https://api.acme.com/" + "x" * 100_000,
        "?p=\ud800",
        "https://api.acme.com\\@evil.example/x",
    ],
)
def test_links_away_from_the_api_are_refused(to: str) -> None:
    """Another scheme, host or port would receive the credentials."""
    with pytest.raises(FormError):
        link(to)


def test_a_link_with_userinfo_carries_no_credential_into_the_checkpoint() -> None:
    """A link that repeats user and password is followed without them."""
    assert link("https://user:s3cret@api.acme.com/x?p=2") == "https://api.acme.com/x?p=2"


@pytest.mark.parametrize(
    ("pages", "request_", "cursor"),
    [
        (CURSOR, Request(URL, (*BASE.params, ("cursor", "c2"))), "c2"),
        (NEXT, Request(URL), "orders"),
        (NEXT, Request(URL), URL + "#top"),
    ],
)
def test_a_page_that_leads_to_itself_is_a_loop(
    pages: Pages, request_: Request, cursor: str
) -> None:
    """The same cursor again, or a link to the page itself, would never end."""
    with pytest.raises(PageLoop):
        following(pages, BASE, request_, cursor)


@given(st.text(max_size=40))
def test_no_text_in_a_body_leads_elsewhere(text: str) -> None:
    """Whatever an API puts where the link should be: same origin, or a SourceError."""
    with suppress(FormError, PageLoop):
        after = following(NEXT, Request(URL), Request(URL), text)
        assert after is None or origin(httpx2.URL(after.url)) == ("https", "api.acme.com", 443)


@given(st.lists(st.tuples(st.text(), st.text())), st.text(min_size=1))
def test_requests_survive_the_checkpoint(pairs: list[tuple[str, str]], cursor: str) -> None:
    """JSON and back gives an equal request, whatever the parameters hold."""
    base = Request(URL, tuple(pairs))
    after = following(Pages("cursor", "n", "cursor"), base, base, cursor)
    if after is not None:
        assert Request.from_json(json.loads(json.dumps(after.to_json()))) == after


# -- numbers ---------------------------------------------------------------------------------

PAGE = Pages("page", param="page", start=1, size=(("per_page", "100"),))
OFFSET = Pages("offset", param="offset", size=(("limit", "100"),))
PARAMS = {"tag": ["a", "b"], "page": 9, "limit": 7}


def numbers(pages: Pages, counts: list[int]) -> list[tuple[tuple[str, str], ...]]:
    """Return the parameters of each request of a poll whose pages have *counts* rows."""
    base = first(URL, PARAMS, "since", "5", pages)
    request, seen = base, [base.params]
    for i, n_rows in enumerate(counts):
        after = following(pages, base, request, n_rows)
        if after is None:
            assert i == len(counts) - 1, "it ended too soon"
            return seen
        # A resumed poll knows the request from the checkpoint only.
        request = Request.from_json(json.loads(json.dumps(after.to_json())))
        seen.append(request.params)
    raise AssertionError("it did not end")


def test_pages_are_counted_until_one_is_empty() -> None:
    """A short page ends nothing; size, since and params go with every page."""
    seen = numbers(PAGE, [100, 1, 100, 0])
    rest = (("tag", "a"), ("tag", "b"), ("limit", "7"), ("since", "5"), ("per_page", "100"))
    assert seen == [(*rest, ("page", str(n))) for n in (1, 2, 3, 4)]
    assert numbers(Pages("page", param="p"), [0])[0][-1] == ("p", "0")


def test_an_offset_moves_on_by_the_rows_that_came() -> None:
    """An API that gives fewer rows than it was asked for is read without gaps."""
    seen = numbers(OFFSET, [100, 40, 100, 0])
    assert [dict(params)["offset"] for params in seen] == ["0", "100", "140", "240"]
    assert {dict(params)["limit"] for params in seen} == {"100"}


def test_the_url_of_a_link_header_is_a_link_like_any_other() -> None:
    """Relative ones are resolved, none adds parameters, none leads away."""
    pages = Pages("link")
    assert following(pages, BASE, BASE, "?page=2") == Request(f"{URL}?page=2")
    assert following(pages, BASE, BASE, None) is None
    with pytest.raises(FormError, match="away from the API"):
        following(pages, BASE, BASE, "https://evil.example/")
