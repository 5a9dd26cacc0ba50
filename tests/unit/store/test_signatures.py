from __future__ import annotations

from pathlib import Path

import pytest

import api2db.store
from api2db.store import Store
from tests.fixtures.signatures import class_of, load, written

DOCUMENT = load(Path(__file__).with_name("signatures.json"))


@pytest.mark.parametrize(("name", "documented"), DOCUMENT["signatures"].items())
def test_signatures(name: str, documented: str) -> None:
    """Names, order and defaults of all arguments are those of the package of 2021."""
    assert written(name) == documented


@pytest.mark.parametrize(("name", "base"), DOCUMENT["bases"].items())
def test_bases(name: str, base: str) -> None:
    """Each class has the base that it had."""
    assert class_of(name).__bases__ == (class_of(base),)


def test_attributes() -> None:
    """A store is what it is told to be, before anything runs."""
    store = Store("a", 60)
    for name in DOCUMENT["attributes"]["api2db.store.store.Store"]:
        assert hasattr(store, name)


def test_short_imports() -> None:
    """The package gives its names when they are asked for."""
    for name in api2db.store.__all__:
        assert getattr(api2db.store, name).__name__ == name
