"""A poll whose pages need many times the quota, through the installed command."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.world import World, ended, thing, wait_for
from tests.fixtures.api_server import ApiServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

#: Rows of 2 kB, two a page: ten times the quota.
ROWS = [thing(n, text=f"{n:06d}" * 350) for n in range(300)]
ONCE = Counter(range(300))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Set up a project whose log has room for some thirty pages, its target an SQLite file."""
    with ApiServer() as api:
        world = World(tmp_path, api, "sqlite:///things.db", timeout="5s")
        text = (
            world.config.read_text().replace("max_pages: 5", "quota: 64KB").replace("300ms", "1h")
        )
        world.config.write_text(text.replace("    since: { field: at, param: since }\n", ""))
        world.things.rows = ROWS
        yield world


def log_bytes(world: World) -> int:
    """Return the bytes that the quota bounds."""
    folder = world.folder / "STORE" / "spool" / "things" / "seg"
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_poll_larger_than_the_quota_ends(world: World) -> None:
    """The target is up: each page finds room as soon as others have landed."""
    done = world.run("run", "--once", code=0)
    assert "poll_skipped" not in done.stderr
    assert world.landed() == ONCE
    assert log_bytes(world) <= 64_000
    assert not (world.folder / "STORE" / "spool" / "things" / "held.keys").exists()


def test_it_begins_again_without_the_rows_that_had_to_go(world: World) -> None:
    """The API refuses to resume when most of the poll's records have left the log."""
    world.things.bad = lambda page, good: Reply(status=500) if page == 120 else good
    world.run("run", "--once", code=1)
    assert world.landed() == Counter(range(240))
    refused = []

    def expired(page: int, good: Reply) -> Reply:
        if page >= 100 and not refused:
            refused.append(page)
            return Reply(status=410)
        return good

    world.things.bad = expired
    world.run("run", "--once", code=0)
    assert refused == [120]
    assert world.landed() == ONCE


def test_a_target_that_is_down_stops_the_poll_until_it_is_back(world: World) -> None:
    """The log fills up and says so; when the target takes rows again, the same poll goes on."""
    requests = []

    def counted(page: int, good: Reply) -> Reply:
        requests.append(page)
        return good

    world.things.bad = counted
    with closing(sqlite3.connect(world.folder / "things.db", isolation_level=None)) as other:
        other.execute("begin exclusive")
        daemon = world.daemon()
        try:
            wait_for(lambda: "poll_waits_for_room" in world.log(), "the log is full")
            assert log_bytes(world) <= 64_000
            assert len(requests) < 60
            other.execute("rollback")
            wait_for(lambda: world.landed() == ONCE, "all rows landed")
        finally:
            assert ended(daemon) == 0
    assert world.landed() == ONCE
    assert requests == list(range(150))
