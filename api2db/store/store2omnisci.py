"""Shards into OmniSci."""

from __future__ import annotations

from api2db.store.store import Store
from api2db.stream.stream2omnisci import Stream2Omnisci


class Store2Omnisci(Store):
    """
    Composes shards, and stores their rows in the table ``<name>_stream`` of OmniSci.

    The arguments are those of `Store` and of `Stream2Omnisci`.
    """

    stream: Stream2Omnisci

    def __init__(
        self,
        name: str,
        seconds: int,
        db_name: str,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        auth_path: str | None = None,
        path: str | None = None,
        fmt: str = "parquet",
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
        protocol: str = "binary",
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
        self.stream = Stream2Omnisci(
            name=name,
            db_name=db_name,
            username=username,
            password=password,
            host=host,
            auth_path=auth_path,
            protocol=protocol,
            chunk_size=chunk_size,
            store=True,
        )
        self.store_str = f"storing {{}} rows to {self.stream.log_str}"
