from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from api2db.core.errors import ConfigError
from api2db.store import Store, Store2Local, Store2Sql
from api2db.stream import FileConverter, direct

NOBODY = {"username": "u", "password": "s3cret-word", "host": "127.0.0.1", "port": "1"}


@pytest.fixture(autouse=True)
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards, of which the second repeats a row of the first but for its arrival."""
    monkeypatch.chdir(tmp_path)
    for i, rows in enumerate([[(1, 7), (2, 7)], [(2, 8)], [(3, 9)]]):
        frame = pd.DataFrame(rows, columns=["id", "at"])
        FileConverter.parquet_store(f"in/{i}.parquet", frame)
    return tmp_path / "in"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_store(shards: Path) -> None:
    """The rows of all shards land, each once but for its arrival; then the shards move."""
    store = Store2Local(
        *("quakes", 60, "out/all.parquet"),
        path="in/",
        mode="update",
        drop_duplicate_exclude=["at"],
        move_shards_path="old/",
        move_composed_path="whole/",
    )
    store.store()
    found = pd.read_parquet("out/all.parquet")
    assert found.to_numpy().tolist() == [[1, 7], [2, 7], [3, 9]]
    assert (names(shards), len(names(Path("old")))) == ([], 3)
    assert names(Path("whole")) == ["0_2.parquet"]
    store.store()  # nothing is new
    assert len(pd.read_parquet("out/all.parquet")) == 3


def test_shards_go_when_their_rows_are_safe(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They went before the upload; now with the target down the rows lie in `upload_failed`."""
    store = Store2Sql("quakes", 60, "d", "mysql", path="in/", **NOBODY)
    whole = direct.deliver
    monkeypatch.setattr(direct, "deliver", lambda out, data: whole(out, data, 0))
    store.store()
    assert names(shards) == []
    (kept,) = Path("STORE/upload_failed/quakes/sql.mysql").glob("*.parquet")
    assert len(pd.read_parquet(kept)) == 4


def test_a_disk_that_fails_costs_no_shard(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither target nor disk took the rows: all shards stay."""

    def fails(*_: Any) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(direct, "deliver", fails)
    with pytest.raises(OSError, match="No space"):
        Store2Sql("quakes", 60, "d", "mysql", path="in/", **NOBODY).store()
    assert len(names(shards)) == 3


def test_folders_are_made_when_asked() -> None:
    """Declaring makes none; `build_dependencies` makes those to move to."""
    store = Store("quakes", 60, move_shards_path="a/b/", move_composed_path="c/")
    assert not Path("a").exists()
    store.build_dependencies()
    assert Path("a/b").is_dir() and Path("c").is_dir()
    with pytest.raises(ConfigError, match="the store leads nowhere"):
        store.store()
