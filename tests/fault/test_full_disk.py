"""STORE on a disk that is full, by itself or by others, through the installed command."""

from __future__ import annotations

import json
import random
import sqlite3
import urllib.request
from collections import Counter
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.world import World, ended, thing, wait_for
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.postgres import Postgres
from tests.fixtures.small_disk import SmallDisk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow, pytest.mark.backend("sqlite")]

HEAD = """
  pg: {{ url: "{pg}", attempts: 2 }}
defaults: {{ every: 300ms, retries: 0, timeout: 5s, quota: 16MB, max_pages: 1000, grace: 5s }}
stores:
  shelf: {{ from: {shards}, fmt: json, every: 300ms, to: {{ db: {{ table: shelf }} }} }}
collectors:
"""
#: A collector for each place that writes, and how it ends.
COLLECTORS = {
    "log": "to: { db: {}, pg: {} }",
    "letters": "to: { db: { upsert: id } }",
    "form": "columns: { id: int, at: int, v: int }\n    to: { db: {} }",
}
#: What the log says of append, dead letter and intent.
REFUSED = (
    "poll_waits_for_room",
    "no dead letters: [Errno 28] No space left on device; make room",
    "shelf: [Errno 28] No space left on device; check the folders, their rights, and the room",
)
#: What `status` says of spill, dead letter and intent.
SHOWN = (
    "No space left on device; make room on the disk; the batches wait in the log",
    *REFUSED[1:],
)
#: What each table holds in the end.
LANDED = {
    "log": Counter(range(30)),
    "letters": Counter([*range(10), 11]),
    "form": Counter([*range(10), 11]),
    "shelf": Counter(range(4)),
}


def project(folder: Path, api: ApiServer, pg: str) -> World:
    """Set up a project with a store, and with `COLLECTORS`, which have ten rows each."""
    world = World(folder, api, "sqlite:///things.db", feeds=COLLECTORS)
    head, _, tail = world.config.read_text().partition("defaults:")
    text = head.rstrip() + HEAD.format(pg=pg, shards=folder / "shards")
    sections = tail.partition("collectors:\n")[2].split("    to: { db: {} }\n")
    for section, end in zip(sections, COLLECTORS.values(), strict=False):
        text += f"{section}    {end}\n"
    world.config.write_text(text)
    for feed in world.feeds.values():
        feed.rows = [long(n) for n in range(10)]
    (folder / "shards").mkdir()
    shard(world, "1.json", 0, 1)
    # What a check refuses is found out in the transaction, which has to wait for a lock.
    world.sql("create table letters (id integer primary key, v integer check (v < 1000))")
    return world


def long(number: int, **more: Any) -> dict[str, Any]:
    """Return a row that is larger than what is left of a block."""
    return thing(number, text="0123456789abcdef" * 640, **more)


def shard(world: World, name: str, *numbers: int) -> None:
    """Write a shard for the store, whole at once."""
    path = world.folder / "shards" / name
    path.with_suffix(".tmp").write_text(json.dumps([thing(n) for n in numbers]))
    path.with_suffix(".tmp").rename(path)


@contextmanager
def running(world: World) -> Iterator[None]:
    """Run the daemon for the block."""
    daemon = world.daemon()
    try:
        yield
    finally:
        assert ended(daemon) == 0


@contextmanager
def held(world: World) -> Iterator[None]:
    """Keep others from writing to the SQLite file for the block."""
    file = world.folder / "things.db"
    with closing(sqlite3.connect(file, isolation_level=None, timeout=10)) as other:
        other.execute("begin exclusive")
        yield


def state(world: World, name: str, stream: str) -> Any:
    """Return what the running daemon says of a stream."""
    with urllib.request.urlopen(f"http://127.0.0.1:{world.port}/api/status", timeout=5) as answer:
        return json.load(answer)["collectors"][name]["streams"][stream]


def await_queued(world: World, name: str, stream: str, rows: int) -> None:
    """Wait until so many rows of a collector wait in the log for a stream."""
    said = partial(state, world, name, stream)
    wait_for(lambda: said()["queued_rows"] == rows, f"{rows} rows of {name} wait for {stream}")


def await_landed(world: World, name: str, rows: Counter[int]) -> None:
    """Wait until a table holds *rows*."""
    wait_for(lambda: world.landed(name) == rows, f"the rows of {name}")


def await_said(world: World, *events: str) -> None:
    """Wait until the daemon has logged all *events*."""
    wait_for(lambda: all(event in world.log() for event in events), f"{events}")


@pytest.mark.backend("postgresql")
def test_a_disk_that_others_fill(tmp_path: Path) -> None:
    """
    What is new is refused, by append, spill, dead letter and intent; what waits is delivered.

    When there is room again, all goes on by itself: nothing is lost, nothing comes twice.
    """
    with (
        ApiServer() as api,
        SmallDisk(tmp_path / "STORE", "24m") as disk,
        Postgres(durable=False) as server,
    ):
        world = project(tmp_path, api, server.dsn)
        log, letters, form = (world.feeds[name].rows for name in COLLECTORS)
        world.run("run", "--once", code=0)
        blocker = server.connect()
        blocker.execute("begin; lock table log in access exclusive mode")
        with running(world):
            with held(world), closing(blocker):
                log += [long(n) for n in range(10, 20)]
                letters += [thing(10) | {"v": 5000}, thing(11)]
                await_queued(world, "log", "db", 10)
                await_queued(world, "log", "pg", 10)
                await_queued(world, "letters", "db", 2)
                disk.fill()
                shard(world, "2.json", 2, 3)
                log += [long(n) for n in range(20, 30)]
                form += [thing(10) | {"v": "x" * 10_000}, thing(11)]
                await_said(world, *REFUSED)
                server.stop("immediate")
                await_said(world, "spill_failed")
                status = world.run("status", code=1).stdout
                assert [text for text in SHOWN if text not in status] == []
            # SQLite is free again: its rows land and are acknowledged, the dead one is kept.
            await_landed(world, "log", Counter(range(20)))
            await_landed(world, "letters", LANDED["letters"])
            await_queued(world, "log", "db", 0)
            await_queued(world, "log", "pg", 10)
            assert disk.left < 10_000
            disk.free()
            await_landed(world, "log", LANDED["log"])
            await_queued(world, "log", "pg", 0)
            assert state(world, "log", "pg")["spilled_batches"] > 9
            server.start()
            wait_for(lambda: state(world, "log", "pg")["rows_landed"] == 20, "all in PostgreSQL")
            for name, rows in LANDED.items():
                await_landed(world, name, rows)
        for name, rows in LANDED.items():
            assert world.landed(name) == rows
        with server.connect() as db:
            assert Counter(i for (i,) in db.execute("select id from log")) == LANDED["log"]
        assert ["CHECK" in letter["reason"] for letter in world.dead("letters")] == [True]
        assert ["string" in letter["reason"] for letter in world.dead("form")] == [True]
        assert not list((tmp_path / "shards").iterdir())


def test_a_log_that_fills_the_disk(tmp_path: Path) -> None:
    """
    The quota is larger than the disk, and one poll larger than both: it waits, and lands once.

    Others take the last bytes in the middle of it. A daemon that ends then says so, and one that
    starts on the full disk delivers, which makes the room that the poll needs to go on.
    """
    noise = random.Random(1)
    with ApiServer() as api, SmallDisk(tmp_path / "STORE", "14m") as disk:
        world = World(tmp_path, api, "sqlite:///things.db", timeout="5s")
        text = world.config.read_text().replace("max_pages: 5", "max_pages: 500, grace: 2s")
        text = text.replace("300ms", "1h").replace("    since: { field: at, param: since }\n", "")
        world.config.write_text(text)
        world.things.rows = [thing(n, text=noise.randbytes(10_000).hex()) for n in range(600)]

        def answer(page: int, good: Reply) -> Reply:
            if page == 100:
                disk.fill()
            return good

        world.things.bad = answer
        with ExitStack() as life, held(world):
            with running(world):
                await_said(world, "poll_waits_for_room")
            text, said = world.status(healthy=False)
            assert "the disk is full; make room" in text
            assert said["polls"]["skipped"] == 1
            (tmp_path / "daemon.log").unlink()
            life.enter_context(running(world))
            await_said(world, "poll_waits_for_room")
            assert disk.left == 0
            life.callback(await_landed, world, "things", Counter(range(600)))
        assert world.landed() == Counter(range(600))
