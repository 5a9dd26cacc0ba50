"""Rows into SiriDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.files import credentials
from api2db.sink.target import Siridb
from api2db.stream.login import login
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pandas import DataFrame


class Stream2Siridb(Stream):
    """
    Streams the rows of a collector into series of SiriDB, one for each column, each point once.

    A series is called ``<name>|<column>``, with tags ``<name>|<tag>=<value>|<column>``.

    Args:
        name: The collector, and the first part of the names of its series.
        auth_path: File of AUTH/ with ``username``, ``password``, ``dbname`` and ``hostlist``.
        username: With *password*, *dbname* and *hostlist*: in place of *auth_path*, or above it.
        hostlist: ``[[host, port], ...]``.
        tags: Columns whose values are part of a series' name.
        time: The column of the points' time; None takes the time of arrival.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        store: Whether a store owns the stream.

    Raises:
        ConfigError: The credentials are incomplete; it never shows them.
    """

    def __init__(
        self,
        name: str,
        auth_path: str | None = None,
        username: str | None = None,
        password: str | None = None,
        dbname: str | None = None,
        hostlist: Sequence[Sequence[Any]] | None = None,
        tags: Sequence[str] = (),
        time: str | None = None,
        chunk_size: int = 0,
        store: bool = False,
    ) -> None:
        super().__init__(name=name, chunk_size=chunk_size, stream_type="siridb", store=store)
        given = {"username": username, "password": password, "dbname": dbname}
        found = login(name, auth_path, given)
        hosts: object = None if hostlist is None else [list(each) for each in hostlist]
        if hosts is None and auth_path is not None:
            hosts = credentials.read_object(Path(auth_path)).get("hostlist")
        self._database = Siridb.of(found, hosts, file=auth_path or name, tags=tags, time=time)

    @property
    def place(self) -> str:
        """The database, for logs."""
        host, port = self._database.hosts[0]
        return f"{host}:{port}/{self._database.database}"

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into its series, once; blocks until then.

        What could not be written after *retry_depth* more attempts lies in
        ``STORE/upload_failed/<name>/siridb/<timestamp_ns>.parquet``.
        """
        self._deliver(data, retry_depth)

    def _target(self) -> Siridb:
        return self._database

    def _delivery(self) -> dict[str, Any]:
        return {"table": self.name}
