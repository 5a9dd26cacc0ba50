"""Every way of paging through the installed command, killed in the middle of the pages."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.fixtures.api_server import ApiServer, Reply, Seen

COMMAND = Path(sys.executable).with_name("api2db")
pytestmark = [pytest.mark.backend("sqlite"), pytest.mark.timeout(120)]

N_ROWS = 57
TOKEN = "t0ken-9"
#: Pages are short in the middle: the API gives fewer rows than it is asked for.
SHORT = {2: 3, 4: 1}
WAYS = {
    "page": "{ page: p, start: 0, size: { per: 10 } }",
    "offset": "{ offset: skip, limit: { take: 10 } }",
    "link": "{ link: header }",
}
CONFIG = """\
streams: { db: { url: "sqlite:///out.db" } }
collectors:
  rows:
    every: 1h
    get: %s/rows
    auth: { oauth2: { token_url: "%s/token", client_id: me, client_secret: "${SECRET}" } }
    params: { kind: all }
    rows: data
    pages: %s
    to: { db: { } }
"""


class Api:
    """
    A server whose rows can be had in every way, for a token.

    Attributes:
        starts: The first row of each page that was given, in order.
    """

    def __init__(self, server: ApiServer) -> None:
        self.starts: list[int] = []
        server.on("/token", Reply({"access_token": TOKEN, "expires_in": 3600}))
        server.on("/rows", self.page)
        self._bounds = [0]
        while self._bounds[-1] < N_ROWS:
            size = SHORT.get(len(self._bounds), 10)
            self._bounds.append(min(N_ROWS, self._bounds[-1] + size))

    def page(self, seen: Seen) -> Reply:
        """Return the page that is asked for."""
        params = dict(seen.params)
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return Reply(status=401)
        if params.get("kind") != "all" and "at" not in params:
            return Reply(status=400)
        if "skip" in params:
            start = int(params["skip"])
            index = next((i for i, at in enumerate(self._bounds) if at >= start), 0)
            assert int(params["take"]) == 10
        else:
            index = int(params.get("p", params.get("at", "0")))
            start = self._bounds[min(index, len(self._bounds) - 1)]
        end = self._bounds[min(index + 1, len(self._bounds) - 1)]
        self.starts.append(start)
        link = f'</other>; rel="prev, <no>", <?{urlencode({"at": index + 1})}>; rel="last next"'
        headers = {"Link": link} if end < N_ROWS else {}
        return Reply({"data": [{"n": n} for n in range(start, end)]}, headers=headers)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    """Run a scripted server."""
    with ApiServer() as server:
        yield server


@pytest.mark.parametrize("way", WAYS)
def test_a_poll_goes_on_at_the_page_where_it_was_killed(
    tmp_path: Path, server: ApiServer, way: str
) -> None:
    """Kill -9 again and again: all rows once, and no page that was stored is asked for again."""
    api = Api(server)
    (tmp_path / "config.yaml").write_text(CONFIG % (server.url, server.url, WAYS[way]))

    def run(crash: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "run", "--once"],
            cwd=tmp_path,
            env={**os.environ, "SECRET": "s3cret-8", "API2DB_CRASH": crash},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    begins = []
    for crash in ("poller.after_put:3", "poller.before_put:2", "poller.after_put:1", ""):
        begins.append(len(api.starts))
        done = run(crash)
        assert done.returncode == (-9 if crash else 0), done.stderr
        assert TOKEN not in done.stderr
        assert "s3cret-8" not in done.stderr
    database = sqlite3.connect(tmp_path / "out.db")
    rows = Counter(database.execute("select n from rows").fetchall())
    database.close()
    assert rows == {(n,): 1 for n in range(N_ROWS)}
    # Three pages were stored in the first life, one in the second, one in the third.
    firsts = [api.starts[at] for at in begins]
    assert firsts == [0, *(api._bounds[page] for page in (3, 4, 5))]
