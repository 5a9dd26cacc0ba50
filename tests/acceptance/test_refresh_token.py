"""A refresh token that the server replaces, from one process to the next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fixtures.api_server import ApiServer, Reply, Seen

COMMAND = Path(sys.executable).with_name("api2db")
CONFIG = """\
streams:
  out: {{ local: out }}
collectors:
  things:
    every: 1h
    retries: 0
    get: {url}
    auth: {{ oauth2: {{ token_url: {token_url}, client_id: me, refresh_token: r0 }} }}
    to: {{ out: }}
"""


def test_every_process_sends_the_newest_token(tmp_path: Path) -> None:
    """`run`, `check --connect` and `preview`, one after the other; no output shows a token."""
    used: list[str] = []

    def give(seen: Seen) -> Reply:
        used.append(seen.form["refresh_token"])
        if used[-1] != f"r{len(used) - 1}":
            return Reply({"error": "invalid_grant"}, 400)
        return Reply({"access_token": "t", "refresh_token": f"r{len(used)}"})

    with ApiServer() as api:
        url, token_url = api.on("/rows", Reply([{"id": 1}])), api.on("/token", give)
        (tmp_path / "config.yaml").write_text(CONFIG.format(url=url, token_url=token_url))
        for args in (["run", "--once"], ["check", "--connect"], ["preview", "things"]):
            done = subprocess.run(
                [COMMAND, *args], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert not any(token in done.stdout + done.stderr for token in used)
    assert used == ["r0", "r1", "r2"]
