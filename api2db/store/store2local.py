"""Shards into other local files."""

from __future__ import annotations

from api2db.store.store import Store
from api2db.stream.stream2local import Stream2Local


class Store2Local(Store):
    """
    Composes shards, and stores their rows as local files.

    The arguments are those of `Store`, and as follows.

    Args:
        store_path: Folder, with ``mode="shard"``, or file that the rows go to.
        mode: ``shard``: a file for each composition; ``update``: one file that grows.
        store_fmt: Format of what is written; by default that of the shards.
    """

    stream: Stream2Local

    def __init__(
        self,
        name: str,
        seconds: int,
        store_path: str,
        path: str | None = None,
        fmt: str = "parquet",
        mode: str = "shard",
        store_fmt: str | None = None,
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
    ) -> None:
        super().__init__(
            name=name,
            seconds=seconds,
            path=path,
            fmt=fmt,
            drop_duplicate_exclude=drop_duplicate_exclude,
            move_shards_path=move_shards_path,
            move_composed_path=move_composed_path,
        )
        self.stream = Stream2Local(name=name, path=store_path, mode=mode, fmt=store_fmt or fmt)
        self.stream.is_store_instance = True
        self.store_str = f"storing {{}} rows to {store_path}"
