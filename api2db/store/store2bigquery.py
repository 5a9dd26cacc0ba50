"""Shards into BigQuery."""

from __future__ import annotations

from api2db.store.store import Store
from api2db.stream.stream2bigquery import Stream2Bigquery


class Store2Bigquery(Store):
    """
    Composes shards, and stores their rows in a table of BigQuery.

    The arguments are those of `Store` and of `Stream2Bigquery`.
    """

    stream: Stream2Bigquery

    def __init__(
        self,
        name: str,
        seconds: int,
        auth_path: str,
        pid: str,
        did: str,
        tid: str,
        path: str | None = None,
        fmt: str = "parquet",
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
        location: str = "US",
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
        self.stream = Stream2Bigquery(
            name=name,
            auth_path=auth_path,
            pid=pid,
            did=did,
            tid=tid,
            location=location,
            if_exists=if_exists,
            chunk_size=chunk_size,
            store=True,
        )
        self.store_str = f"storing {{}} rows to {pid}.{did}.{tid}"
