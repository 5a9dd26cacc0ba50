"""A store that is declared in Python, run by the command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

COLLECTOR = """
from api2db.ingest import ApiForm, Collector, Feature
from api2db.store import Store2Local
from api2db.stream import Stream2Local

quakes = Collector(
    name="quakes",
    seconds=3600,
    import_target=lambda: [{"a": 1}],
    api_form=lambda: ApiForm("quakes", data_features=[Feature("a", lambda x: x["a"], int)]),
    streams=lambda: [Stream2Local("quakes", path="elsewhere/")],
    stores=lambda: [
        Store2Local("quakes", 1, "out/all.parquet", path="in/", mode="replace",
                    drop_duplicate_exclude=["at"], move_shards_path="old/")
    ],
)
"""


def _once(folder: Path) -> list[int]:
    command = [sys.executable, "-m", "api2db", "run", "--once"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: list[int] = pd.read_parquet(folder / "out/all.parquet")["a"].tolist()
    return found


def test_a_store_that_replaces(tmp_path: Path) -> None:
    """New shards take the place of the old rows; a look that finds none leaves them."""
    (tmp_path / "collectors").mkdir()
    (tmp_path / "collectors" / "quakes.py").write_text(COLLECTOR)
    (tmp_path / "config.yaml").write_text("collectors: {}\n")
    (tmp_path / "in").mkdir()
    pd.DataFrame({"a": [1, 1, 2], "at": [7, 8, 9]}).to_parquet(tmp_path / "in/1.parquet")
    assert _once(tmp_path) == [1, 2]
    assert [path.name for path in (tmp_path / "in").iterdir()] == []
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["1.parquet"]
    assert _once(tmp_path) == [1, 2]
    shutil.copy(tmp_path / "old/1.parquet", tmp_path / "in/2.parquet")
    pd.DataFrame({"a": [3], "at": [1]}).to_parquet(tmp_path / "in/3.parquet")
    assert _once(tmp_path) == [1, 2, 3]
