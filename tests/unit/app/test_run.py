"""`Run`, `Api2Db`, `auth_manage`: what a project's own Python calls."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import api2db
from api2db.app.api2db import Api2Db
from api2db.app.auth_manager import auth_manage
from api2db.app.run import Run
from api2db.core.errors import ConfigError
from api2db.ingest import ApiForm, Collector, Feature, ListExtract
from api2db.stream import Stream2Local

MAIN = """\
import os, signal, threading
import pandas as pd
from api2db import Run
from api2db.ingest import ApiForm, Collector, Feature, ListExtract
from api2db.stream import Stream, Stream2Local

class Mine(Stream):
    def stream(self, data):
        print("got", data["id"].tolist(), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

def rows():
    return [{"rows": [{"id": 1}, {"id": 2}]}]

def form():
    pre = [ListExtract(lam=lambda x: x["rows"])]
    return ApiForm("x", pre, [Feature("id", lambda x: x["id"], int)], [])

one = Collector("one", 3600, rows, form, lambda: [Mine("one")], lambda: [])
two = Collector("two", 0, rows, form, lambda: 1 / 0, lambda: [])

if __name__ == "__main__":
    Run([one, two]).run()
    print("ended", flush=True)
"""


def test_a_main_of_2021_runs_until_a_signal(tmp_path: Path) -> None:
    """`Run([c1, c2]).run()` collects, delivers, and ends in order; `seconds=0` is left out."""
    (tmp_path / "main.py").write_text(MAIN)
    done = subprocess.run(
        [sys.executable, "main.py"],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(api2db.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "got [1, 2]\nended\n"), done.stderr
    assert (tmp_path / "STORE/spool/one").is_dir()


def _collector(name: str = "one", seconds: int = 5) -> Collector:
    def rows() -> list[dict[str, object]]:
        return [{"rows": [{"id": 1}]}, None, {"rows": [{"id": 2}]}]  # type: ignore[list-item]

    def form() -> ApiForm:
        pre = [ListExtract(lam=lambda x: x["rows"])]
        return ApiForm("x", pre, [Feature("id", lambda x: x["id"], int)], [])

    return Collector(name, seconds, rows, form, lambda: [Stream2Local(name)], list)


def test_config_yaml_beside_main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says where the STORE and the status page are; its own collectors are not run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(
        "store: S\nstatus: { bind: '127.0.0.1:0' }\nstreams: { a: { local: x } }\n"
        "collectors: { c: { every: 1s, get: 'http://h/', to: { a: } } }\n"
    )
    config = Run([_collector()]).config()
    assert list(config.collectors) == ["one"]
    assert (config.store, config.status.port) == (tmp_path / "S", 0)
    with pytest.raises(
        ConfigError, match=r"test_run.py:\d+: the name 'One' is taken by .*test_run"
    ):
        Run([_collector(), _collector("One")]).config()


def test_collect_puts_a_frame_of_its_own_into_each_queue() -> None:
    """A queue's reader may change its DataFrame; a response that is None loses no other."""
    collector = _collector()
    qs: list[queue.Queue[pd.DataFrame]] = [queue.Queue(), queue.Queue()]
    Api2Db.collect(collector.import_target, collector.api_form, qs)
    first, second = ([q.get_nowait(), q.get_nowait()] for q in qs)
    assert [frame["id"].tolist() for frame in first] == [[1], [2]]
    first[0].loc[0, "id"] = 99
    assert second[0]["id"].tolist() == [1]


def test_auth_manage(tmp_path: Path) -> None:
    """Credentials as a dict; None without the file; never a value in an error."""
    path = tmp_path / "sql.json"
    assert auth_manage(str(path)) is None
    path.write_text('{"username": "me", "password": "hunter2"}')
    path.chmod(0o600)
    assert auth_manage(str(path)) == {"username": "me", "password": "hunter2"}
    path.write_text('{"password": "hunter2"')
    with pytest.raises(ConfigError, match="not JSON") as caught:
        auth_manage(str(path))
    assert "hunter2" not in str(caught.value)


def test_import_is_cheap() -> None:
    """`from api2db import Run` is not paid for by those who do not ask for it."""
    code = "import sys, api2db; sys.exit(any(m.startswith('api2db.') for m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == 0
    assert api2db.Run is Run
