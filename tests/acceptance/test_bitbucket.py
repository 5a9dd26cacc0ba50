"""The shipped Bitbucket collectors, through the installed command, against a stand-in."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.bitbucket_api import KEY, SECRET, Bitbucket
from tests.fixtures.api_server import ApiServer

COMMAND = Path(sys.executable).with_name("api2db")
ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.backend("sqlite"), pytest.mark.timeout(180)]


class Project:
    """A project as `api2db init` makes it, with the shipped example as its configuration."""

    def __init__(self, folder: Path, service: Bitbucket) -> None:
        self.folder = folder
        self.service = service
        self.run("init", ".")
        example = (folder / "collectors" / "examples" / "bitbucket.yaml").read_text()
        for host in ("https://api.bitbucket.org", "https://bitbucket.org"):
            example = example.replace(f"{host}/", f"{service.server.url}/")
        self.config = folder / "config.yaml"
        self.config.write_text(example)
        self.write_auth(SECRET)

    def write_auth(self, secret: str) -> None:
        """Fill in a copy of the template."""
        template = self.folder / "AUTH" / "bitbucket_auth_template.json"
        filled = {**json.loads(template.read_text()), "key": KEY, "secret": secret}
        file = self.folder / "AUTH" / "bitbucket.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(filled))

    def run(self, *args: str, crash: str = "", code: int = 0) -> str:
        """Run ``api2db *args*``, check its exit code, and return what it says."""
        done = subprocess.run(
            [COMMAND, *args],
            cwd=self.folder,
            env={**os.environ, "API2DB_CRASH": crash},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{args}: {done.returncode}\n{said}"
        assert not [secret for secret in (SECRET, *self.service.tokens) if secret in said]
        return said

    def rows(self, select: str) -> list[tuple[Any, ...]]:
        """Ask the target."""
        with closing(sqlite3.connect(self.folder / "bitbucket.db")) as db:
            return db.execute(select).fetchall()

    def check(self) -> None:
        """Every item has landed once, as the service has it now."""
        items = self.service.items
        repositories = self.rows("select slug from repositories")
        assert Counter(repositories) == Counter((each["slug"],) for each in items[""])
        for table, name in (("issues", "/shop/issues"), ("pull_requests", "/shop/pullrequests")):
            landed = self.rows(f"select repository, id, title from {table}")
            assert Counter(landed) == Counter(
                ("acme/shop", each["id"], each["title"]) for each in items[name]
            )
        landed = self.rows("select hash, message from commits")
        there = items["/shop/commits"]
        assert Counter(landed) == Counter((each["hash"], each["message"]) for each in there)


@pytest.fixture
def service() -> Iterator[Bitbucket]:
    """Run the stand-in."""
    with ApiServer() as server:
        yield Bitbucket(server)


@pytest.fixture
def project(tmp_path: Path, service: Bitbucket) -> Project:
    """Set up the shipped example."""
    return Project(tmp_path, service)


def test_two_polls_with_changes_between(project: Project, service: Bitbucket) -> None:
    """All pages land although tokens end and requests are limited; then only what is new comes."""
    project.run("check", "--connect")
    service.statuses.clear()
    service.limited = {3, 9}
    project.run("run", "--once")
    project.check()
    assert service.statuses.count(401) >= 3
    assert service.statuses.count(429) == 2
    assert len(service.waited) == 2
    assert min(service.waited) >= 1.0
    assert set(service.statuses) == {200, 401, 429}
    issue = project.rows("select content_raw, reporter, assignee, votes from issues where id = 7")
    assert issue == [("body 7 é😀", "Ada", None, 7)]
    issues, requests = service.items["/shop/issues"], service.items["/shop/pullrequests"]
    for i in (3, 130, 249):
        issues[i] = service.issue(i + 1, 1000 + i, "changed")
        requests[i // 3] = service.pull_request(i // 3 + 1, 1000 + i, "changed")
    issues += [service.issue(i, 2000 + i) for i in range(251, 256)]
    service.items["/shop/commits"] += [service.commit(i) for i in range(230, 245)]
    before = dict(service.given)
    project.run("run", "--once")
    project.check()
    came = {name: service.given[name] - before[name] for name in before}
    assert came["/shop/issues"] <= 8 + 6  # the changes, and the last minute once more
    assert came["/shop/pullrequests"] <= 3 + 2
    assert came[""] <= 2


def test_changed_while_pages_are_read(project: Project, service: Bitbucket) -> None:
    """An issue that moves between two pages costs no other issue its place."""
    issues = service.items["/shop/issues"]

    def change(name: str, pages: int) -> None:
        if name == "/shop/issues" and pages in (1, 2):
            issues[pages] = service.issue(pages + 1, 500 + pages, f"changed {pages}")
            issues[245] = service.issue(246, 600 + pages, f"changed {pages}")

    service.after_page = change
    project.run("run", "--once")
    project.run("run", "--once")
    project.check()


def test_killed_in_the_middle(project: Project, service: Bitbucket) -> None:
    """Kill -9 between pages, loads and acknowledgements: each version of an issue lands once."""
    text = project.config.read_text()
    text = text.replace("to: { db: { upsert: [repository, id] } }", "to: { db: }")
    project.config.write_text(text)
    versions = Counter((each["id"], each["updated_on"]) for each in service.items["/shop/issues"])
    for crash in ("poller.after_put:3", "poller.before_put:2", "sink.after_commit:1", ""):
        project.run("run", "--once", crash=crash, code=-9 if crash else 0)
    changed = [service.issue(i, 1000 + i, "changed") for i in range(1, 181)]
    service.items["/shop/issues"][:180] = changed
    versions.update((each["id"], each["updated_on"]) for each in changed)
    for crash in ("poller.after_put:2", "sink.before_commit:1", ""):
        project.run("run", "--once", crash=crash, code=-9 if crash else 0)
    landed = project.rows("select id, updated_on from issues")
    assert len(landed) == sum(versions.values()) == 430
    assert {i for i, _ in landed} == {i for i, _ in versions}
    assert max(Counter(landed).values()) == 1


def test_a_wrong_secret(project: Project) -> None:
    """It is said what to mend, and shown nowhere; so is a file that is missing."""
    project.write_auth("wr0ng-secret")
    said = project.run("check", "--connect", code=1)
    assert "the token server refuses: 401 unauthorized_client" in said
    assert "wr0ng-secret" not in said
    (project.folder / "AUTH" / "bitbucket.json").unlink()
    said = project.run("check", code=2)
    assert "defaults.auth: " in said
    assert "AUTH/bitbucket.json: there is no such file; copy its template from AUTH/" in said


def test_a_repository_that_is_not_there(project: Project, service: Bitbucket) -> None:
    """The names are filled in as the head says, and an error shows them."""
    (fill_in,) = re.findall(r"^#   (sed .*)$", project.config.read_text(), re.MULTILINE)
    for name in ("WORKSPACE", "REPOSITORY"):
        fill_in = fill_in.replace(f"YOUR-{name}", name.lower())
    subprocess.run(fill_in, shell=True, cwd=project.folder, check=True)
    said = project.run("check", "--connect", code=1)
    assert f"{service.server.url}/2.0/repositories/workspace/repository/issues: 404" in said


def test_the_repository_has_the_example() -> None:
    """The root's own folder holds the same file that `init` writes."""
    shipped = ROOT / "api2db/install/project/collectors/examples/bitbucket.yaml"
    assert (ROOT / "collectors/examples/bitbucket.yaml").read_text() == shipped.read_text()
