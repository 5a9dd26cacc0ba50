"""``replace: true`` through the installed command: the table is the last whole poll."""

from __future__ import annotations

import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from api2db.files.codec import FORMATS
from tests.acceptance.world import World, ended, thing, wait_for
from tests.contract.backends import file_rows
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.postgres import Postgres, binaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a private PostgreSQL."""
    with Postgres(durable=False) as postgres:
        yield postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Set up a project with one collector that replaces."""
    with ApiServer() as api:
        if request.param == "sqlite":
            world = World(tmp_path, api, "sqlite:///things.db")
        elif binaries() is None:
            pytest.skip("no PostgreSQL server here")
        else:
            postgres: Postgres = request.getfixturevalue("server")
            world = World(tmp_path, api, postgres.create_database(f"r_{time.monotonic_ns()}"))
        text = world.config.read_text()
        text = text.replace("    since: { field: at, param: since }\n", "")
        world.config.write_text(text.replace("db: {}", "db: { replace: true }"))
        yield world


def test_the_table_is_the_last_whole_poll(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll of pages takes the place of the one before, or does nothing until it is whole."""
    feed = world.things
    feed.rows = [thing(n) for n in range(1, 6)]
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(1, 6))
    feed.rows = [thing(n) for n in range(4, 9)]
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(4, 9))

    feed.rows = [thing(n) for n in range(10, 16)]
    feed.bad = lambda page, good: Reply(status=500) if page == 2 else good
    begun = time.monotonic()
    told = world.run("run", "--once", code=1).stderr
    assert time.monotonic() - begun < 30, "it waited for pages that cannot land"
    assert "500" in told
    assert world.landed() == Counter(range(4, 9))
    feed.heal()
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(10, 16))

    feed.rows = [thing(n) for n in range(20, 26)]
    for point in ("poller.after_put:2", "sink.mid_load:1", "sink.before_commit:1"):
        monkeypatch.setenv("API2DB_CRASH", point)
        world.run("run", "--once", code=-signal.SIGKILL)
        assert world.landed() == Counter(range(10, 16)), point
    monkeypatch.setenv("API2DB_CRASH", "sink.after_commit:1")
    world.run("run", "--once", code=-signal.SIGKILL)
    assert world.landed() == Counter(range(20, 26))
    monkeypatch.delenv("API2DB_CRASH")
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(20, 26))

    feed.rows = []
    world.run("run", "--once", code=0)
    assert world.landed() == Counter()
    assert world.dead() == []
    world.status(healthy=True)


@pytest.mark.parametrize("gone", [False, True])
def test_beside_a_stream_that_appends(tmp_path: Path, gone: bool) -> None:
    """A poll that must begin again, and holds rows that are gone, replaces nothing."""
    with ApiServer() as api:
        world = World(tmp_path, api, "sqlite:///things.db")
        text = world.config.read_text().replace("    since: { field: at, param: since }\n", "")
        text = text.replace("db: {}", "db: { table: all }, now: { table: now, replace: true }")
        url = 'url: "${DSN}"'
        world.config.write_text(text.replace(url, f"{url} }}\n  now: {{ {url}", 1))
        feed = world.things
        feed.rows = [thing(1)]
        world.run("run", "--once", code=0)
        feed.rows = [thing(n) for n in range(10, 16)]
        feed.bad = lambda page, good: Reply(status=500) if page == 2 else good
        world.run("run", "--once", code=1)
        refused: list[int] = []

        def expired(page: int, good: Reply) -> Reply:
            if page == 2 and not refused:
                refused.append(page)
                return Reply(status=410)
            return good

        feed.bad, feed.rows = expired, [*feed.rows[gone:], thing(20)]
        told = world.run("run", "--once", code=int(gone)).stderr
        whole = Counter([*range(10 + gone, 16), 20])
        assert refused
        assert world.landed("all") == Counter([1, *range(10, 16), 20])
        assert world.landed("now") == (Counter([1]) if gone else whole)
        assert ("poll_passed_over" in told) == gone
        feed.heal()
        world.run("run", "--once", code=0)
        assert world.landed("now") == whole
        world.status(healthy=True)


class FileWorld(World):
    """A project whose stream is a local file."""

    def __init__(self, folder: Path, api: ApiServer, fmt: str) -> None:
        super().__init__(folder, api, "")
        self.file = folder / "files" / f"things.{fmt}"
        text = self.config.read_text().replace("    since: { field: at, param: since }\n", "")
        stream = f"local: files, fmt: {fmt}, mode: replace"
        self.config.write_text(text.replace('url: "${DSN}"', stream))

    def landed(self, name: str = "things") -> Counter[int]:
        return Counter(row["id"] for row in file_rows(self.file))


@pytest.mark.parametrize(
    "fmt", [pytest.param(fmt, marks=pytest.mark.backend(fmt)) for fmt in FORMATS]
)
def test_the_file_is_the_last_whole_poll(
    tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of a local stream whose mode is replace."""
    with ApiServer() as api:
        world = FileWorld(tmp_path, api, fmt)
        feed = world.things
        feed.rows = [thing(n) for n in range(1, 6)]
        for point in ("poller.after_put:2", "sink.before_rename:1"):
            monkeypatch.setenv("API2DB_CRASH", point)
            world.run("run", "--once", code=-signal.SIGKILL)
            assert not world.file.exists()
        monkeypatch.setenv("API2DB_CRASH", "sink.after_rename:1")
        world.run("run", "--once", code=-signal.SIGKILL)
        assert world.landed() == Counter(range(1, 6))
        monkeypatch.delenv("API2DB_CRASH")
        # The kill may have cut off a second poll: its pages are the old ones, too.
        world.run("run", "--once", code=0)
        assert world.landed() == Counter(range(1, 6))
        feed.rows = [thing(n) for n in range(10, 16)]
        feed.bad = lambda page, good: Reply(status=500) if page == 2 else good
        world.run("run", "--once", code=1)
        assert world.landed() == Counter(range(1, 6))
        feed.heal()
        world.run("run", "--once", code=0)
        assert world.landed() == Counter(range(10, 16))
        feed.rows = []
        world.run("run", "--once", code=0)
        assert world.landed() == Counter()
        assert [path.name for path in world.file.parent.iterdir()] == [world.file.name]


def test_a_daemon_that_replaces(world: World) -> None:
    """Poll after poll, the table follows the API, and never shows half of a poll."""
    feed = world.things
    feed.rows = [thing(n) for n in range(6)]
    daemon = world.daemon()
    try:
        wait_for(lambda: world.landed() == Counter(range(6)), "six rows landed")
        for start in range(10, 40, 10):
            feed.rows = [thing(n) for n in range(start, start + 6)]
            seen = set()

            def there(start: int = start, seen: set[int] = seen) -> bool:
                seen.add(world.landed().total())
                return world.landed() == Counter(range(start, start + 6))

            wait_for(there, f"the rows from {start} on landed")
            assert seen == {6}
        feed.rows = []
        wait_for(lambda: world.landed() == Counter(), "the table is empty")
    finally:
        assert ended(daemon) == 0
