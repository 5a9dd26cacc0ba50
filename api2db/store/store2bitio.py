"""Shards into databases of bit.io."""

from __future__ import annotations

from api2db.store.store import Store
from api2db.stream.stream2bitio import Stream2Bitio


class Store2Bitio(Store):
    """
    Composes shards, and stores their rows in a table of a database of bit.io, each row once.

    The arguments are those of `Store` and of `Stream2Bitio`.
    """

    stream: Stream2Bitio

    def __init__(
        self,
        name: str,
        seconds: int,
        db_name: str,
        auth_path: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        host: str | None = None,
        port: str | int = "",
        ca_path: str | None = None,
        path: str | None = None,
        fmt: str = "parquet",
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
        if_exists: str = "append",
        chunk_size: int = 0,
    ) -> None:
        super().__init__(
            name=name,
            seconds=seconds,
            path=path,
            fmt=fmt,
            drop_duplicate_exclude=drop_duplicate_exclude,
            move_shards_path=move_shards_path,
            move_composed_path=move_composed_path,
            chunk_size=chunk_size,
        )
        self.stream = Stream2Bitio(
            name=name,
            db_name=db_name,
            auth_path=auth_path,
            api_key=api_key,
            base_url=base_url,
            host=host,
            port=port,
            ca_path=ca_path,
            if_exists=if_exists,
            chunk_size=chunk_size,
            store=True,
        )
        self.store_str = f"storing {{}} rows to bit.io {db_name}"
