"""Rows into stores of IKV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.sink.target import Ikv
from api2db.stream.login import login
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame


class Stream2Ikv(Stream):
    """
    Streams the rows of a collector into a store of IKV, a document for each key.

    The last row of a key wins, as a whole; every value is text.

    Args:
        name: The collector.
        primary_key: The column whose value names a document; the store has it for a key.
        auth_path: File of AUTH/ with ``account_id``, ``account_passkey``, ``store_name``, and
            perhaps ``endpoint``.
        account_id: With *account_passkey* and *store_name*: in place of *auth_path*, or above it.
        endpoint: ``host:port``, if it is not the vendor's.
        ca_path: Certificates to trust in place of gRPC's own.
        chunk_size: Most rows that are sent at a time; 0 for no limit.

    Raises:
        ConfigError: The credentials are incomplete; it never shows them.
    """

    def __init__(
        self,
        name: str,
        primary_key: str,
        auth_path: str | None = None,
        account_id: str | None = None,
        account_passkey: str | None = None,
        store_name: str | None = None,
        endpoint: str | None = None,
        ca_path: str | None = None,
        chunk_size: int = 0,
    ) -> None:
        super().__init__(name=name, chunk_size=chunk_size, stream_type="ikv")
        given = {
            "account_id": account_id,
            "account_passkey": account_passkey,
            "store_name": store_name,
            "endpoint": endpoint,
        }
        found = login(name, auth_path, given, optional=("endpoint",))
        ca = None if ca_path is None else Path(ca_path)
        self._store = Ikv(primary_key=primary_key, ca=ca, **found)

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into the store; blocks until then.

        What could not be written after *retry_depth* more attempts lies in
        ``STORE/upload_failed/<name>/ikv/<timestamp_ns>.parquet``.
        """
        self._deliver(data, retry_depth)

    def _target(self) -> Ikv:
        return self._store

    def _delivery(self) -> dict[str, Any]:
        return {"table": self.name, "upsert": (self._store.primary_key,)}
