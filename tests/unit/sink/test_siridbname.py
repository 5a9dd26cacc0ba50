"""Names of series: no two for one, and each as it stands in a query."""

from __future__ import annotations

import re
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from api2db.sink.siridbname import column_pattern, escape, quote, series_name, table_pattern

_text = st.text(st.characters(exclude_categories=["Cs"]))
_names = st.tuples(_text, st.lists(st.tuples(_text, _text), max_size=2), _text)


@given(_names, _names)
def test_different_places_have_different_names(
    one: tuple[str, list[tuple[str, str]], str], two: tuple[str, list[tuple[str, str]], str]
) -> None:
    """Whatever the texts of table, tags and column are; and a part can be read back."""
    assert (series_name(*one) == series_name(*two)) == (one == two)
    assert unquote(escape(one[0])) == one[0]


@given(_text, _text)
def test_a_pattern_finds_its_own(table: str, column: str) -> None:
    """With and without tags, and beside; never the series of another table or column."""
    plain = series_name(table, [], column)
    tagged = series_name(table, [("a", "b")], column)
    ours = [plain, tagged, f"{plain}|float"]
    for pattern in (table_pattern(table), column_pattern(table, column)):
        found = re.compile(pattern[1:-1].replace(r"\/", "/"))
        assert all(found.search(name) for name in ours)
        assert not found.search(series_name(table + "x", [], column))
    assert not found.search(series_name(table, [], column + "x"))


def test_how_names_look() -> None:
    """People read them."""
    assert series_name("weather", [("station", "A 1")], "temp") == "weather|station=A 1|temp"
    assert series_name("a|b", [], "50%\n") == "a%7Cb|50%25%0A"
    assert quote('say "x"') == '"say ""x"""'
