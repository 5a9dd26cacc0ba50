"""BigQuery, killed on each side of a load job: the emulator keeps what the job did."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.fixtures.bigquery import BigqueryServer

#: Before and after the intent, and before and after what the load did is known to the log.
POINTS = ("sink.before_commit", "sink.after_intent", "sink.after_commit", "worker.before_ack")
CONFIG = """
streams:
  bq: {{ bigquery: {{ project: proj, dataset: d, latency: 200ms, endpoint: "{endpoint}" }} }}
collectors:
  c: {{ every: 1, python: "counted:rows", to: {{ bq: {{ table: t }} }} }}
"""
COUNTED = """
from pathlib import Path

def rows():
    '''Return a row that no poll had.'''
    count = Path(__file__).with_name("count")
    n = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(n))
    return [{"id": n}]
"""


@pytest.mark.backend("bigquery")
@pytest.mark.timeout(300)
def test_killed_around_a_load_job(tmp_path: Path) -> None:
    """Each poll's row is there once, whether its job had begun or not."""
    with BigqueryServer() as server, closing(server.client()) as client:
        (tmp_path / "config.yaml").write_text(CONFIG.format(endpoint=server.endpoint))
        (tmp_path / "collectors").mkdir()
        (tmp_path / "collectors" / "counted.py").write_text(COUNTED)

        def run(crash: str = "") -> int:
            command = [sys.executable, "-m", "tests.fault.loadjobs", "run", "--once"]
            where = [str(tmp_path), str(Path.cwd()), os.environ.get("PYTHONPATH", "")]
            env = os.environ | {"API2DB_CRASH": crash, "PYTHONPATH": os.pathsep.join(where)}
            done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
            assert done.returncode in (0, -9), done.stderr.decode()
            return done.returncode

        for point in POINTS:
            assert run(point) == -9, f"{point} was not passed"
            assert run() == 0
        found = client.query("select id from d.t order by id").result()
        assert [row[0] for row in found] == list(range(1, 2 * len(POINTS) + 1))
        staged = [t.table_id for t in client.list_tables("d") if "stage" in t.table_id]
        assert staged == []
