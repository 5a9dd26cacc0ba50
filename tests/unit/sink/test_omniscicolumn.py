"""Names of columns in OmniSci."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.sink.omniscicolumn import idents, is_name


@pytest.mark.parametrize(
    ("name", "ident"),
    [("id", "id_t"), ("value", "value_t"), ("createdAt", "createdat_t"), ("_x", "_x_t")],
)
def test_plain_names_keep_their_letters(name: str, ident: str) -> None:
    """With the suffix of 1.x none is a word of OmniSci's, which knows no capitals."""
    assert idents([name], ()) == {name: ident}


@pytest.mark.parametrize("name", ["with space", "ünï", "1st", "x" * 80, "a.b"])
def test_other_names_get_a_hash(name: str) -> None:
    """It depends on the name alone."""
    (ident,) = idents([name], ()).values()
    assert re.fullmatch(r"[a-z_][0-9a-z_]*_[0-9a-f]{8}_t", ident)
    assert idents(["other", name], [ident])[name] == ident


def test_names_that_differ_in_case() -> None:
    """The small one has the name; the other keeps what it was given beside it."""
    both = idents(["Case", "case"], ())
    assert both["case"] == "case_t"
    assert both["Case"] != "case_t"
    assert idents(["Case"], both.values()) == {"Case": both["Case"]}
    assert idents(["Case"], ["case_t"]) == {"Case": "case_t"}


@given(st.lists(st.text(max_size=70), unique=True, max_size=8))
def test_any_names(names: list[str]) -> None:
    """All are different, all are names, in every order."""
    found = idents(names, ())
    assert len(set(found.values())) == len(names)
    assert all(is_name(ident) for ident in found.values())
    for other in itertools.islice(itertools.permutations(names), 6):
        assert idents(other, ()) == found
