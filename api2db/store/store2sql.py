"""Shards into SQL databases."""

from __future__ import annotations

from api2db.store.store import Store
from api2db.stream.stream2sql import Stream2Sql


class Store2Sql(Store):
    """
    Composes shards, and stores their rows in a table of a SQL database, each row once.

    The arguments are those of `Store` and of `Stream2Sql`.
    """

    stream: Stream2Sql

    def __init__(
        self,
        name: str,
        seconds: int,
        db_name: str,
        dialect: str,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        auth_path: str | None = None,
        port: str = "",
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
        self.stream = Stream2Sql(
            name=name,
            db_name=db_name,
            dialect=dialect,
            username=username,
            password=password,
            host=host,
            auth_path=auth_path,
            port=port,
            if_exists=if_exists,
            chunk_size=chunk_size,
            store=True,
        )
        self.store_str = f"storing {{}} rows to {self.stream.log_str}"
