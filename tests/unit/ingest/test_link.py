"""The Link header, in all the ways in which RFC 8288 lets it be written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.ingest.link import find


@pytest.mark.parametrize(
    ("headers", "target"),
    [
        ([], None),
        ([""], None),
        (['<https://a/x?p=2>; rel="next"'], "https://a/x?p=2"),
        (["</x?p=2>;rel=next"], "/x?p=2"),
        (["<?p=2> ; REL = NEXT"], "?p=2"),
        (['<a>; rel="prev", <b>; rel="next", <c>; rel="last"'], "b"),
        (['<a>; rel="prev"', '<b>; rel="next"'], "b"),
        (['<b>; rel="next last"'], "b"),
        (['<b>; rel="last  NEXT"'], "b"),
        (['<a,b;c=d>; rel="next"'], "a,b;c=d"),
        ([r'<a>; title="x, <evil>; rel=\"next\""; rel="last", <b>; rel="next"'], "b"),
        (['<a>; title="rel=next"; rel="last"'], None),
        (["<a>; title*=UTF-8''n%c3%a4chste; rel=next"], "a"),
        (['<a>; rel="next"; rel="prev"'], "a"),
        (['<a>; rel="prev"; rel="next"'], None),
        (['<a>; rel="next"; anchor="#other", <b>; rel=next'], "b"),
        (["<a>;; rel=next;"], "a"),
        ([", <a>; rel=next,,"], "a"),
        (['< a >; rel="next"'], "a"),
        (["<a>"], None),
        (["<a>; rel"], None),
        (['<a>; rel="nextish", <b>; rel="x-next"'], None),
        (['<https://a.test/rel/next>; rel="https://a.test/rel/next"'], None),
    ],
)
def test_the_target_of_next(headers: list[str], target: str | None) -> None:
    """Quotes, commas, several relations, several headers; the first ``rel`` of a link counts."""
    assert find(headers, "next") == target


@pytest.mark.parametrize(
    "header", ["https://a/x; rel=next", "<a; rel=next", '<a>; rel="next', "<a> rel=next", "x, <a>"]
)
def test_what_is_no_link_is_an_error(header: str) -> None:
    """It may hide the next page: never taken for the last one."""
    with pytest.raises(ValueError, match="damaged"):
        find([header], "next")


@given(st.text(st.characters(exclude_characters='<>"\\\\'), max_size=20), st.text(max_size=20))
def test_any_text_in_quotes_is_passed_over(target: str, title: str) -> None:
    """Whatever a title says, the target behind it is found."""
    quoted = title.replace("\\", "\\\\").replace('"', '\\"')
    header = f'<other>; title="{quoted}"; rel=last, <{target}>; title="{quoted}"; rel=next'
    assert find([header], "next") == target.strip()
