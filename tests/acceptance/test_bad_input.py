"""Whatever an API or a target does wrong: it is told, good rows land once, bad rows are kept."""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from tests.acceptance.world import World, ended, thing, wait_for
from tests.fixtures.api_server import ApiServer, Reply
from tests.fixtures.postgres import Postgres, binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

TARGETS = ["sqlite", "postgresql"]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Run a private PostgreSQL."""
    with Postgres(durable=False) as postgres:
        yield postgres


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """Run a scripted API."""
    with ApiServer() as scripted:
        yield scripted


def dsn(target: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of an empty database."""
    if target == "sqlite":
        return "sqlite:///things.db"
    if binaries() is None:
        pytest.skip("no PostgreSQL server here")
    postgres: Postgres = request.getfixturevalue("server")
    return postgres.create_database(f"bad_{time.monotonic_ns()}")


@pytest.fixture(params=TARGETS)
def world(request: pytest.FixtureRequest, tmp_path: Path, api: ApiServer) -> World:
    """Set up a project for each kind of target."""
    return World(tmp_path, api, dsn(request.param, request))


@dataclass
class Act:
    """
    What one `run --once` over many feeds did, by feed.

    Attributes:
        logged: Lines of the log.
        landed: How often each id is in the table.
        status: What is printed, and said with ``--json``; after some acts only.
    """

    logged: dict[str, list[dict[str, Any]]]
    landed: dict[str, Counter[int]]
    dead: dict[str, list[dict[str, Any]]]
    status: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)


def act(world: World, *, code: int, healthy: bool | None = None) -> Act:
    """Let every collector of *world* poll once, and look."""
    told = world.run("run", "--once", code=code).stderr
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    return Act(
        {name: [line for line in lines if line.get("collector") == name] for name in world.feeds},
        {name: world.landed(name) for name in world.feeds},
        {name: world.dead(name) for name in world.feeds},
        {} if healthy is None else world.statuses(healthy=healthy),
    )


def said(lines: Iterable[dict[str, Any]], event: str) -> dict[str, Any]:
    """Return the first line of *event*."""
    return next(line for line in lines if line["event"] == event)


# -- pages that cannot be used ---------------------------------------------------------------


def _bomb() -> bytes:
    packer = zlib.compressobj(9, wbits=31)
    return b"".join(packer.compress(b"\0" * 10**6) for _ in range(100)) + packer.flush()


GZIP = {"Content-Encoding": "gzip"}
PAGE = json.dumps({"data": [thing(3), thing(4)], "next": 4}).encode()
HTML = b"<!DOCTYPE html><html><body>Please log in</body></html>"
#: What comes in place of the second page, and what is told about it.
BAD_PAGES = {
    "malformed": (Reply(b'{"data": [{"id": 3,]}'), "not JSON"),
    "html": (Reply(HTML, headers={"Content-Type": "text/html"}), "HTML, not JSON"),
    "truncated": (Reply(PAGE, cut=40), "complete message body|incomplete"),
    "truncated-without-length": (Reply(PAGE, length=-1, cut=40), "the body is cut off"),
    "gzip-cut": (Reply(gzip.compress(PAGE)[:-9], headers=GZIP), "gzip body is cut off"),
    "bomb": (Reply(_bomb(), headers=GZIP), "larger than 16,000,000 bytes.*max_bytes"),
    "drip": (Reply(PAGE, drip=0.1), "no complete answer within 3 s"),
    "silence": (Reply(PAGE, hang=True), "no complete answer within 3 s"),
    "reset": (Reply(reset=True), "/reset: "),
    "empty": (Reply(b""), "the body is empty"),
    "no-rows": (Reply({"error": "busy"}), "rows: 'data' is missing or null.*error"),
    "rows-no-list": (Reply({"data": {"id": 3}}), "rows: 'data' is an object, not a list"),
    "deep": (Reply(b'{"data": [' + b"[" * 100_000), "nested too deeply|cut off"),
    "odd-cursor": (Reply({"data": [], "next": {"a": 1}}), "'next' is a dict, not a text"),
    "http-500": (Reply(status=500), "500 Internal Server Error"),
    "http-401": (Reply(status=401), "401 Unauthorized.*check 'auth'"),
    "http-429": (Reply(status=429, headers={"Retry-After": "3600"}), "429 Too Many Requests"),
    "file": (Reply(status=302, headers={"Location": "file:///etc/passwd"}), "redirects to file"),
}


Scene: TypeAlias = tuple[World, list[Act]]


@pytest.fixture(scope="module")
def pages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Scene]:
    """Return what happens to all bad pages on a target: played once, in one project for all."""
    scenes: dict[str, Scene] = {}

    def play(target: str) -> Scene:
        if target not in scenes:
            names = list(BAD_PAGES) if target == "sqlite" else ["truncated"]
            folder = tmp_path_factory.mktemp("pages")
            with ApiServer() as api:
                url = dsn(target, request)
                world = World(folder, api, url, [*names, "endless", "again"], timeout="3s")
                scenes[target] = world, scene(world, names)
        return scenes[target]

    return play


def scene(world: World, names: Iterable[str]) -> list[Act]:
    """Poll twice while pages are bad, and twice after all are mended."""
    for name in names:
        world.feeds[name].rows = [thing(n) for n in range(1, 7)]
        world.feeds[name].bad = second(BAD_PAGES[name][0])
    endless, again = world.feeds["endless"], world.feeds["again"]
    endless.rows = [thing(n) for n in range(1, 100)]
    again.rows = [thing(1), thing(2)]
    again.bad = lambda page, good: Reply({"data": again.rows, "next": 2})
    acts = [act(world, code=1), act(world, code=1, healthy=False)]
    for feed in world.feeds.values():
        feed.heal()
    endless.rows[9:] = [thing(10)]
    return [*acts, act(world, code=0), act(world, code=0, healthy=True)]


def second(reply: Reply) -> Callable[[int, Reply], Reply]:
    """Return what sends *reply* in place of the second page."""
    return lambda page, good: reply if page == 1 else good


@pytest.mark.parametrize(
    ("target", "name"),
    [("sqlite", name) for name in BAD_PAGES] + [("postgresql", "truncated")],
)
def test_a_bad_page_is_told_and_the_poll_resumes(
    pages: Callable[[str], Scene], target: str, name: str
) -> None:
    """The pages before land; log and status say what is wrong; mended, each row lands once."""
    world, (first, second, third, fourth) = pages(target)
    reply, words = BAD_PAGES[name]
    for failed in (first, second):
        assert re.search(words, said(failed.logged[name], "poll_failed")["error"])
        assert failed.landed[name] == Counter([1, 2])
    text, picture = second.status[name]
    assert re.search(words, text)
    assert re.search(words, picture["error"])
    assert picture["state"] == "failing"
    if name in ("malformed", "html"):
        kept = world.responses(name)
        assert [path.read_bytes() for path in kept.glob("*.body")] == [reply.content()]
        (reason,) = kept.glob("*.reason")
        assert re.search(words, reason.read_text())
    for mended in (third, fourth):
        assert mended.landed[name] == Counter(range(1, 7))
        assert mended.dead[name] == []
    assert fourth.status[name][1]["error"] == ""


@pytest.mark.parametrize("target", TARGETS)
def test_endless_pages_end(pages: Callable[[str], Scene], target: str) -> None:
    """`max_pages` ends the poll; its rows land once however often it comes to that."""
    _, (first, second, third, fourth) = pages(target)
    for failed in (first, second):
        told = said(failed.logged["endless"], "poll_failed")["error"]
        assert "more than 5 pages" in told
        assert "max_pages" in told
        assert failed.landed["endless"] == Counter(range(1, 11))
    text, picture = second.status["endless"]
    assert "more than 5 pages" in text
    assert "more than 5 pages" in picture["error"]
    assert third.landed["endless"] == Counter(range(1, 11))
    assert fourth.landed["endless"] == Counter(range(1, 11))


@pytest.mark.parametrize("target", TARGETS)
def test_a_page_that_comes_again_ends_the_poll(pages: Callable[[str], Scene], target: str) -> None:
    """An API that ignores the cursor doubles nothing; the error names 'pages'."""
    for failed in pages(target)[1][:2]:
        assert "check 'pages'" in said(failed.logged["again"], "poll_failed")["error"]
        assert failed.landed["again"] == Counter([1, 2])


def test_no_content_is_a_good_poll(world: World) -> None:
    """204 is success without rows, before the first row ever and after."""
    world.things.bad = lambda page, good: Reply(status=204)
    world.run("run", "--once", code=0)
    world.things.rows = [thing(1)]
    world.things.heal()
    world.run("run", "--once", code=0)
    world.things.bad = lambda page, good: Reply(status=204)
    world.run("run", "--once", code=0)
    assert world.landed() == Counter([1])


# -- rows that cannot be used ----------------------------------------------------------------

#: The JSON of `v` or `name` in a row after good ones, and what its dead letter says.
BAD_ROWS = {
    "type-changes": ('"v": "five", "name": "x"', "'v'.*string"),
    "nan": ('"v": NaN, "name": "x"', "NaN"),
    "infinity": ('"v": -Infinity, "name": "x"', "Infinity"),
    "surrogate": ('"v": 5, "name": "a\\ud800b"', "surrogate|half|not a character|UTF|escape"),
    "latin-1": ('"v": 5, "name": "\udce9"', "UTF-8"),
    "no-object": (None, "not an object|number"),
}


@pytest.fixture(scope="module", params=TARGETS)
def rows(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Act]]:
    """A poll of good rows, two with a bad one among them: one project for all."""
    with ApiServer() as api:
        folder = tmp_path_factory.mktemp("rows")
        world = World(folder, api, dsn(request.param, request), BAD_ROWS, timeout="4s")
        for feed in world.feeds.values():
            feed.rows = [thing(1), thing(2)]
        acts = [act(world, code=0)]
        for name, feed in world.feeds.items():
            feed.rows += [thing(3), {"at": 5, "raw": bad_row(name)}, thing(5)]
        # It comes again, for `since` is inclusive.
        acts += [act(world, code=1, healthy=False), act(world, code=1)]
        yield acts


def bad_row(name: str) -> str:
    """Return the JSON of a bad row."""
    fields, _ = BAD_ROWS[name]
    return "5" if fields is None else f'{{"id": 4, "at": 5, {fields}}}'


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_kept_with_its_reason(rows: list[Act], name: str) -> None:
    """The rows around it land once; it is a dead letter once, told in log and status."""
    good, bad, again = rows
    words, sent = BAD_ROWS[name][1], bad_row(name)
    assert good.landed[name] == Counter([1, 2])
    assert re.search(words, said(bad.logged[name], "rows_dead")["reason"])
    assert bad.landed[name] == Counter([1, 2, 3, 5])
    (letter,) = bad.dead[name]
    assert re.search(words, letter["reason"])
    kept = letter["content"].encode("utf-8", "surrogateescape")
    assert kept == sent.encode("utf-8", "surrogateescape") or name == "latin-1"
    text, picture = bad.status[name]
    assert "1 rows did not fit" in text
    assert picture["dead_rows"] == 1
    assert again.landed[name] == Counter([1, 2, 3, 5])
    assert again.dead[name] == [letter]


def test_nul_in_text_is_refused_or_kept_as_it_is(world: World) -> None:
    """Where a target cannot hold it, it is a dead letter of the stream; others land once."""
    world.things.rows = [thing(1), thing(2, name="a\0b"), thing(3)]
    if world.dsn.startswith("sqlite"):
        world.run("run", "--once", code=0)
        assert world.sql("select name from things where id = 2") == [("a\0b",)]
        return
    told = world.run("run", "--once", code=1).stderr
    assert "rows_dead" in told or "dead" in told
    assert world.landed() == Counter([1, 3])
    (letter,) = world.dead()
    assert re.search("0x00|NUL|null character", letter["reason"])
    text, picture = world.status(healthy=False)
    assert "1 dead" in text
    assert picture["streams"]["db"]["dead_rows"] == 1
    world.things.rows.append(thing(4))
    world.run("run", "--once", code=1)
    assert world.landed() == Counter([1, 3, 4])
    assert len(world.dead()) == 1


def test_integers_beyond_64_bits_keep_every_digit(world: World) -> None:
    """A column of integers becomes decimal; nothing is rounded, nothing is lost."""
    world.things.rows = [thing(1), thing(2)]
    world.run("run", "--once", code=0)
    world.things.rows += [thing(3, v=2**70), thing(4)]
    world.run("run", "--once", code=0)
    values = {i: int(v) for i, v in world.sql("select id, v from things")}
    assert values == {1: 1, 2: 2, 3: 2**70, 4: 4}
    assert world.landed() == Counter([1, 2, 3, 4])
    assert world.dead() == []


# -- while the daemon runs -------------------------------------------------------------------


def test_the_daemon_goes_on_when_the_api_is_mended(world: World) -> None:
    """Failure and recovery are one line each; nobody starts anything again."""
    world.things.rows = [thing(n) for n in range(1, 7)]
    world.things.bad = lambda page, good: Reply(HTML) if page == 1 else good
    daemon = world.daemon()
    try:
        wait_for(lambda: "poll_failed" in world.log(), "the failure is logged")
        wait_for(lambda: world.landed() == Counter([1, 2]), "the first page landed")
        text, picture = world.status(healthy=False)
        assert "HTML" in text
        assert "HTML" in picture["error"]
        world.things.heal()
        wait_for(lambda: world.landed() == Counter(range(1, 7)), "all rows landed")
        wait_for(lambda: "poll_recovered" in world.log(), "the recovery is logged")
        world.status(healthy=True)
    finally:
        assert ended(daemon) == 0
    assert world.landed() == Counter(range(1, 7))


@pytest.mark.parametrize("world", ["sqlite"], indirect=True)
def test_a_hanging_api_does_not_hold_the_end(world: World) -> None:
    """SIGTERM ends a daemon whose request would wait for a minute; no row is lost or doubled."""
    world.config.write_text(world.config.read_text().replace("timeout: 2s", "timeout: 60s"))
    world.things.rows = [thing(n) for n in range(1, 7)]
    world.things.bad = lambda page, good: Reply(hang=True) if page == 1 else good
    daemon = world.daemon()
    try:
        wait_for(lambda: len(world.api.seen) == 2, "the second page is asked for")
    finally:
        begun = time.monotonic()
        code = ended(daemon)
    assert code == 0
    assert time.monotonic() - begun < 10
    assert "Traceback" not in world.log()
    world.things.heal()
    world.run("run", "--once", code=0)
    assert world.landed() == Counter(range(1, 7))


def test_a_table_that_is_dropped_is_made_again(world: World) -> None:
    """New rows land in a new table; the stream goes on by itself and says what happened."""
    world.things.rows = [thing(1), thing(2)]
    daemon = world.daemon()
    try:
        wait_for(lambda: world.landed() == Counter([1, 2]), "two rows landed")
        world.sql("drop table things")
        world.things.rows += [thing(3, late="x"), thing(4)]
        wait_for(lambda: set(world.landed()) >= {3, 4}, "new rows landed")
        assert world.landed() == Counter([3, 4])
        assert "drop" in world.log() or "created" in world.log()
        wait_for(lambda: world.status(healthy=True), "healthy")
    finally:
        assert ended(daemon) == 0


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_a_wrong_password_pauses_the_stream_until_it_is_mended(
    world: World, server: Postgres
) -> None:
    """Polls go on; log and status say what to mend, without the password; then all land."""
    database = world.dsn.rpartition("/")[2]
    role = f"app_{time.monotonic_ns()}"
    hba = server.folder / "data" / "pg_hba.conf"
    hba.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n" + hba.read_text())
    admin = world.dsn
    with server.connect() as db:
        db.execute(f"create role {role} login password 'right-s3cret'")
        db.execute(f'alter database "{database}" owner to {role}')
        db.execute("select pg_reload_conf()")
    world.things.rows = [thing(1), thing(2)]
    world.dsn = f"postgresql://{role}:wrong-s3cret@127.0.0.1:{server.port}/{database}"
    daemon = world.daemon()
    try:
        wait_for(lambda: "stream_paused" in world.log(), "the pause is logged")
        text, picture = world.status(healthy=False)
        stream = picture["streams"]["db"]
        assert stream["state"] == "paused"
        assert "password authentication failed" in stream["error"]
        assert "password authentication failed" in text
        world.things.rows.append(thing(3))
        wait_for(lambda: world.status(healthy=False)[1]["rows_collected"] == 3, "polls go on")
        with server.connect() as db:
            db.execute(f"alter role {role} password 'wrong-s3cret'")
        world.dsn = admin
        wait_for(lambda: world.landed() == Counter([1, 2, 3]), "all rows landed", 60)
        wait_for(lambda: world.status(healthy=True), "healthy")
    finally:
        assert ended(daemon) == 0
    assert "s3cret" not in world.log() + text
