"""Facts about names in a target."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api2db.core.errors import SinkMisconfigured
from api2db.sink.identifier import Fold, fitted, mapped, quote

if TYPE_CHECKING:
    import random

FOLDS: tuple[Fold, ...] = ("none", "ascii", "unicode")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=90) | st.sampled_from(
    ["a", "A", "aA", "Aa", "x" * 70, "x" * 71, "é" * 40, "É" * 40, "", "\0", "a\0", "a_"]
)


@given(
    st.lists(NAMES, max_size=12), st.lists(NAMES, max_size=5), st.sampled_from(FOLDS), st.randoms()
)
def test_names_are_different_fit_and_do_not_depend_on_order(
    names: list[str], existing: list[str], fold: Fold, rng: random.Random
) -> None:
    """Any set of names maps to names that the target keeps apart, whatever their order."""
    there = [name for name in existing if name and "\0" not in name]
    result = mapped(names, there, limit=63, fold=fold)
    assert list(result) == list(dict.fromkeys(names))
    idents = list(result.values())
    folded = [_fold(ident, fold) for ident in idents]
    assert len(set(folded)) == len(folded)
    for ident in idents:
        assert ident in there or 0 < len(ident.encode()) <= 63
        assert "\0" not in ident
    shuffled = list(names)
    rng.shuffle(shuffled)
    assert mapped(shuffled, there, limit=63, fold=fold) == result


@given(st.lists(NAMES, max_size=8, unique=True))
def test_a_table_made_from_names_takes_them_again(names: list[str]) -> None:
    """With the columns that a first call made, a second call finds the same ones."""
    for fold in FOLDS:
        first = mapped(names, [], limit=63, fold=fold)
        assert mapped(names, list(first.values()), limit=63, fold=fold) == first


def _fold(name: str, fold: Fold) -> str:
    if fold != "ascii":
        return name.lower() if fold == "unicode" else name
    return re.sub("[A-Z]", lambda match: match[0].lower(), name)


def test_a_name_takes_the_column_of_another_case() -> None:
    """``id`` goes into a user's column ``ID`` where case does not matter."""
    assert mapped(["id"], ["ID"], limit=63, fold="ascii") == {"id": "ID"}
    assert mapped(["id"], ["ID"], limit=63) == {"id": "id"}


def test_names_that_the_target_keeps_for_itself() -> None:
    """A reserved name gets the form with a hash."""
    assert mapped(["ctid"], [], limit=63, reserved={"ctid"}) == {"ctid": "ctid_a6768917"}


def test_the_hash_is_the_same_in_every_process() -> None:
    """The short form is fixed: a table of years ago has it."""
    assert fitted("a" * 64, 63) == "a" * 54 + "_ffe054fe"
    assert fitted("a" * 63, 63) == "a" * 63


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_quotes_cannot_be_left(name: str) -> None:
    """Every quote inside a quoted name is doubled."""
    inside = quote(name)[1:-1]
    assert '"' not in inside.replace('""', "")
    assert inside.replace('""', '"') == name


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_that_cannot_be_quoted(name: str) -> None:
    """Nothing and NUL are refused, never cut off."""
    with pytest.raises(SinkMisconfigured):
        quote(name)
