"""Rows into databases of bit.io."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.sink.target import Bitio
from api2db.stream import existing
from api2db.stream.login import login
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame


class Stream2Bitio(Stream):
    """
    Streams the rows of a collector into a table of a database of bit.io, each row once.

    The table is made, and widened, by what the rows hold.

    Args:
        name: The collector, and the table.
        db_name: ``owner/name``; the database must be there.
        auth_path: File of AUTH/ with ``api_key``, and perhaps ``base_url``, ``host``, ``port``.
        api_key: In place of *auth_path*, or above it.
        base_url: Where the HTTP API begins, if not at bit.io.
        host: Of the PostgreSQL behind it, with *port*.
        ca_path: Certificates to trust in place of the machine's.
        if_exists: ``append``, ``replace`` or ``fail``, as of `Stream2Sql`.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        store: Whether a store owns the stream.

    Raises:
        ConfigError: The credentials are incomplete; it never shows them.
    """

    def __init__(
        self,
        name: str,
        db_name: str,
        auth_path: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        host: str | None = None,
        port: str | int = "",
        ca_path: str | None = None,
        if_exists: str = "append",
        chunk_size: int = 0,
        store: bool = False,
    ) -> None:
        super().__init__(name=name, chunk_size=chunk_size, stream_type="bitio", store=store)
        where = {"base_url": base_url, "host": host, "port": port or None}
        found = login(name, auth_path, {"api_key": api_key, **where}, optional=where)
        self._database = Bitio.of(db_name, found, None if ca_path is None else Path(ca_path))
        self.db_name = db_name
        self.if_exists = existing.checked(name, if_exists)

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into the table, once; blocks until then.

        What could not be written after *retry_depth* more attempts lies in
        ``STORE/upload_failed/<name>/bitio/<timestamp_ns>.parquet``.
        """
        self._deliver(data, retry_depth)

    def _target(self) -> Bitio:
        return self._database

    def _delivery(self) -> dict[str, Any]:
        return existing.delivery(self.name, self.if_exists)
