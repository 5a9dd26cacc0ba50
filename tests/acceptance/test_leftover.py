"""Rows that wait for a collector or a stream which the configuration names no more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.api_server import ApiServer, Reply

COMMAND = Path(sys.executable).with_name("api2db")
DOWN = "postgresql://me:pw@127.0.0.1:1/none"
CONFIG = """\
streams:
  {stream}: {{ url: "{url}" }}
  other: {{ local: out }}
defaults: {{ every: 1h, attempts: {attempts} }}
collectors:
  {collector}: {{ get: "{get}", to: {{ {stream}: , other: }} }}
"""


@pytest.mark.parametrize(("attempts", "all_rows"), [("null", 3), ("1", 2)], ids=["log", "shards"])
def test_what_waits_is_said_and_lands_when_its_name_is_back(
    tmp_path: Path, attempts: str, all_rows: int
) -> None:
    """By `check`, `status` and `run --once`, for a stream and for a collector; nothing goes."""

    def call(*args: str, collector: str, stream: str, url: str, code: int = 0) -> str:
        fields = {"collector": collector, "stream": stream, "url": url, "attempts": attempts}
        (tmp_path / "config.yaml").write_text(CONFIG.format(get=get, **fields))
        command = [COMMAND, *args]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    with ApiServer() as api:
        get = api.on("/rows", Reply([{"id": 1}]))
        here = {"collector": "things", "stream": "db"}
        call("run", "--once", "--timeout", "2s", **here, url=DOWN, code=1)

        renamed = {"collector": "things", "stream": "sqlite", "url": "sqlite:///new.db"}
        said = "things: 1 batches wait for the stream 'db', which is configured no more"
        for args in (["check"], ["status"], ["run", "--once"]):
            assert said in call(*args, **renamed)

        other = {"collector": "stuff", "stream": "sqlite", "url": "sqlite:///new.db"}
        said = "batches of the collector 'things', which is configured no more, wait for 'db'"
        for args in (["check"], ["run", "--once"]):
            assert said in call(*args, **other)
        picture = json.loads(call("status", "--json", **other))
        assert picture["removed_collectors"] == {"things": {"db": all_rows - 1}}

        landed = call("run", "--once", **here, url="sqlite:///old.db")
        assert f"db: landed {all_rows} rows" in landed
