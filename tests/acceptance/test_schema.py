"""``schema: freeze`` and ``ignore`` through the installed command, beside a table that is there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.world import World, thing
from tests.fixtures.api_server import ApiServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120), pytest.mark.backend("sqlite")]


@pytest.mark.parametrize(
    ("schema", "code", "landed"), [("freeze", 1, [1]), ("ignore", 0, [1, 2, 3, 4])]
)
def test_unknown_columns(tmp_path: Path, schema: str, code: int, landed: list[int]) -> None:
    """What the table or the first rows do not know is refused by row, or left out and said."""
    with ApiServer() as api:
        world = World(tmp_path, api, "sqlite:///things.db")
        text = world.config.read_text()
        world.config.write_text(text.replace("  things:\n", f"  things:\n    schema: {schema}\n"))
        world.sql("create table things (id INTEGER, at INTEGER, name TEXT)")
        for row in (thing(1), thing(2, extra=1), thing(3), thing(4, new=1)):
            del row["v"]
            world.things.rows.append(row)
        # The first page decides what the form knows: `extra` and `late`, but not `new`.
        world.things.rows[0]["late"] = None
        world.things.rows[2]["late"] = "x"
        told = world.run("run", "--once", code=code).stderr
        assert world.landed() == Counter(landed)
        assert [c[1] for c in world.sql("pragma table_info(things)")] == ["id", "at", "name"]
        reasons = sorted(letter["reason"] for letter in world.dead())
        if schema == "ignore":
            assert reasons == []
            assert told.count("columns_ignored") == 2  # by the form, and by the sink
        else:
            assert len(reasons) == 3
            assert all(reason.endswith("and the schema is frozen") for reason in reasons)
