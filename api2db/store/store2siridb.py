"""Shards into SiriDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api2db.store.store import Store
from api2db.stream.stream2siridb import Stream2Siridb

if TYPE_CHECKING:
    from collections.abc import Sequence


class Store2Siridb(Store):
    """
    Composes shards, and stores their rows in series of SiriDB, each point once.

    The arguments are those of `Store` and of `Stream2Siridb`.
    """

    stream: Stream2Siridb

    def __init__(
        self,
        name: str,
        seconds: int,
        auth_path: str | None = None,
        username: str | None = None,
        password: str | None = None,
        dbname: str | None = None,
        hostlist: Sequence[Sequence[Any]] | None = None,
        tags: Sequence[str] = (),
        time: str | None = None,
        path: str | None = None,
        fmt: str = "parquet",
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
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
        self.stream = Stream2Siridb(
            name=name,
            auth_path=auth_path,
            username=username,
            password=password,
            dbname=dbname,
            hostlist=hostlist,
            tags=tags,
            time=time,
            chunk_size=chunk_size,
            store=True,
        )
        self.store_str = f"storing {{}} rows to SiriDB {self.stream.place}"
