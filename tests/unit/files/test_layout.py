"""The paths of a STORE."""

from __future__ import annotations

from pathlib import Path

import pytest

from api2db.core.errors import ConfigError
from api2db.files.layout import Layout

LAYOUT = Layout(Path("/s"))


def test_paths() -> None:
    """Each thing has the place that the documentation names."""
    assert LAYOUT.spool("orders") == Path("/s/spool/orders")
    assert LAYOUT.dead_letter("orders", "pg") == Path("/s/dead_letter/orders/pg")
    assert LAYOUT.dead_letter("orders", "_rows") == Path("/s/dead_letter/orders/_rows")
    assert LAYOUT.responses("orders") == Path("/s/dead_letter/orders/_responses")
    assert LAYOUT.lock.parent == LAYOUT.status.parent == Path("/s")


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/b", "/a", "a@", "1a", "-", "_", "a b", "a\n", "a\0", "é", "a" * 129],
)
def test_names(name: str) -> None:
    """A name can lead nowhere else: it is refused before it becomes a path."""
    with pytest.raises(ConfigError, match="cannot be a name; use up to 128 of"):
        LAYOUT.spool(name)


@pytest.mark.parametrize("stream", ["_", "_../x", "_a/b", "..", "A@"])
def test_streams(stream: str) -> None:
    """So is a stream's; only words like ``_rows`` may stand beside them."""
    with pytest.raises(ConfigError, match="cannot be a name"):
        LAYOUT.dead_letter("a", stream)


@pytest.mark.parametrize("name", ["a", "a" * 128, "a-b_c9", "Foo", "sql.mysql.shop"])
def test_right_names(name: str) -> None:
    """Letters, digits, '_', '-' and '.' make a name, up to 128."""
    assert LAYOUT.spool(name).name == name
