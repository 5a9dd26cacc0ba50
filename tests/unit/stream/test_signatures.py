from __future__ import annotations

from pathlib import Path

import pytest

import api2db.stream
from api2db.stream import (
    Stream,
    Stream2Bigquery,
    Stream2Local,
    Stream2Omnisci,
    Stream2Sql,
)
from tests.fixtures.signatures import class_of, load, written

DOCUMENT = load(Path(__file__).with_name("signatures.json"))
LOGIN = {"username": "u", "password": "p", "host": "h"}
MADE = {
    "Stream": lambda: Stream("a"),
    "Stream2Local": lambda: Stream2Local("a"),
    "Stream2Sql": lambda: Stream2Sql("a", "d", "mysql", **LOGIN),
    "Stream2Omnisci": lambda: Stream2Omnisci("a", "d", **LOGIN),
    "Stream2Bigquery": lambda: Stream2Bigquery("a", "AUTH/g.json", "p", "d", "t"),
}


@pytest.mark.parametrize(("name", "documented"), DOCUMENT["signatures"].items())
def test_signatures(name: str, documented: str) -> None:
    """Names, order and defaults of all arguments are those of the document."""
    ours = written(name)
    assert ours == documented


@pytest.mark.parametrize(("name", "base"), DOCUMENT["bases"].items())
def test_bases(name: str, base: str) -> None:
    """Each class has the documented base."""
    assert class_of(name).__bases__ == (class_of(base),)


@pytest.mark.parametrize(
    ("name", "attribute"),
    [(name, one) for name, names in DOCUMENT["attributes"].items() for one in names],
)
def test_attributes(
    name: str, attribute: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each documented attribute is there before anything runs."""
    monkeypatch.chdir(tmp_path)
    if attribute != "q":  # it makes the spool
        assert hasattr(MADE[name.rpartition(".")[2]](), attribute)


def test_short_imports() -> None:
    """The package gives its names when they are asked for, and says so when it has none."""
    for name in api2db.stream.__all__:
        assert getattr(api2db.stream, name).__name__ == name
    with pytest.raises(AttributeError, match="Stream2Nothing"):
        api2db.stream.Stream2Nothing  # noqa: B018
