"""Rows into OmniSci, which is called HeavyDB today."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError
from api2db.sink.target import Omnisci
from api2db.stream.login import login
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pandas import DataFrame

logger = logging.getLogger(__name__)

#: Added to the names of columns in the database, where some are words of its own.
SUFFIX = "_t"


class Stream2Omnisci(Stream):
    """
    Streams the rows of a collector into the table ``<name>_stream`` of OmniSci.

    There the columns' names end in ``_t``, and texts are dictionary-encoded.

    Args:
        name: The collector.
        db_name: The database; it must be there.
        username: With *password* and *host*: in place of *auth_path*, or above it.
        auth_path: File of AUTH/ with ``username``, ``password`` and ``host``.
        protocol: ``binary``, ``http`` or ``https``.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        store: Whether a store owns the stream.

    Attributes:
        con: The connection, None until somebody keeps what `connect` returns there.
        log_str: The table, for logs.

    Raises:
        ConfigError: The credentials are incomplete, or *protocol* is none of those above. It is a
            ValueError, and never shows a secret.
    """

    def __init__(
        self,
        name: str,
        db_name: str,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        auth_path: str | None = None,
        protocol: str = "binary",
        chunk_size: int = 0,
        store: bool = False,
    ) -> None:
        super().__init__(name=name, chunk_size=chunk_size, stream_type="omnisci", store=store)
        given = {"username": username, "password": password, "host": host}
        found = login(name, auth_path, {**given, "port": None}, optional=("port",))
        if protocol not in Omnisci.PORTS:
            known = ", ".join(Omnisci.PORTS)
            raise ConfigError(f"{name}: protocol={protocol!r}", hint=f"use one of {known}")
        self.username, self.password, self.host = (found[key] for key in given)
        self.port = int(found.get("port", Omnisci.PORTS[protocol]))
        self.db_name = db_name
        self.protocol = protocol
        self.con: Any = None
        self.log_str = f"omnisci://{self.host}/{db_name}.{name}_stream"

    @staticmethod
    def connected(con: Any) -> bool:
        """Return whether *con* is an open connection."""
        return con is not None and not con.closed

    def connect(self) -> Any:
        """Return a new connection, None if there is none; the log says why."""
        try:
            from heavydb import connect

            return connect(
                user=self.username,
                password=self.password,
                host=self.host,
                port=self.port,
                dbname=self.db_name,
                protocol=self.protocol,
            )
        except Exception as exc:  # noqa: BLE001 - whatever the client raises: it is told
            fields = {"target": self.log_str, "error": type(exc).__name__}
            logger.warning("connection_failed", extra=fields)
            return None

    @staticmethod
    def cast_categorical(data: DataFrame, dtypes: Mapping[str, Any] | None) -> DataFrame:
        """
        Return *data* as OmniSci takes it: texts as categories, ``_t`` behind columns' names.

        *data* stays as it is, and NULL stays NULL.

        Args:
            dtypes: The columns' dtypes; None returns *data* itself.
        """
        if dtypes is None:
            return data
        names = dict(dtypes)
        texts = [name for name, dtype in names.items() if _is_text(data[name], dtype)]
        cast = data.astype(dict.fromkeys(texts, "category"))
        return cast.rename(columns={name: f"{name}{SUFFIX}" for name in names})

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into the table; blocks until then.

        What could not be written after *retry_depth* more attempts, with growing waits, lies
        in ``STORE/upload_failed/<name>/omnisci/<timestamp_ns>.parquet``.
        """
        self._deliver(data, retry_depth)

    def _target(self) -> Omnisci:
        return Omnisci(
            self.db_name, self.host, self.username, self.password, self.port, self.protocol
        )

    def _delivery(self) -> dict[str, Any]:
        return {"table": f"{self.name}_stream"}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "con": None}


def _is_text(column: Any, dtype: Any) -> bool:
    import pandas as pd

    name = getattr(dtype, "name", str(dtype))
    if name == "object":
        return bool(pd.api.types.infer_dtype(column, skipna=True) == "string")
    return name == "str" or name.startswith("string")
