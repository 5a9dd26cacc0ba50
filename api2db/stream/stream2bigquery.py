"""Rows into BigQuery."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core import types
from api2db.core.errors import ConfigError
from api2db.files import credentials, frame
from api2db.sink.target import Bigquery
from api2db.stream import existing
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from google.cloud import bigquery
    from google.oauth2.service_account import Credentials
    from pandas import DataFrame

logger = logging.getLogger(__name__)

#: What a service account's file must hold.
_KEYS = ("type", "project_id", "private_key", "client_email", "token_uri")
#: What `connect` makes; not pickled.
_LIVE: dict[str, Any] = {"cred": None, "client": None, "dataset": None, "table": None}


class Stream2Bigquery(Stream):
    """
    Streams the rows of a collector into a table of BigQuery.

    Dataset and table are made, and the table widened, by what the rows hold.

    Args:
        name: The collector.
        auth_path: The service account's file, as Google hands it out.
        pid: Google's project.
        did: The dataset.
        tid: The table.
        location: Of the dataset.
        if_exists: ``append``: rows are added; ``replace``: each DataFrame takes the place of all
            rows; ``fail``: nothing is written into a table that was there before.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        store: Whether a store owns the stream.

    Attributes:
        cred: The credentials, once `connect` has read them.
        client: BigQuery's client, once `connect` has made it.
        dataset: The dataset, once `connect` has found it.
        table: The table, once `connect` has found it.
        connected: Whether `connect` has found it.

    Raises:
        ConfigError: *if_exists* or *chunk_size* is none of those above. It is a ValueError.
    """

    def __init__(
        self,
        name: str,
        auth_path: str,
        pid: str,
        did: str,
        tid: str,
        location: str = "US",
        if_exists: str = "append",
        chunk_size: int = 0,
        store: bool = False,
    ) -> None:
        super().__init__(name=name, chunk_size=chunk_size, stream_type="bigquery", store=store)
        self.auth_path = auth_path
        self.pid = pid
        self.did = did
        self.tid = tid
        self.location = location
        self.if_exists = existing.checked(name, if_exists)
        self.cred: Credentials | None = None
        self.client: bigquery.Client | None = None
        self.dataset: bigquery.Dataset | None = None
        self.table: bigquery.Table | None = None
        self.connected = False

    @property
    def schema(self) -> list[bigquery.SchemaField] | None:
        """What `build_schema` returns."""
        return self.build_schema()

    @property
    def bq_schema(self) -> list[dict[str, str]] | None:
        """What `build_bq_schema` returns."""
        return self.build_bq_schema()

    def build_schema(self) -> list[bigquery.SchemaField] | None:
        """
        Return the table's fields, None before the collector has brought data.

        Raises:
            ConfigError: BigQuery's client is not installed.
        """
        fields = self.build_bq_schema()
        if fields is None:
            return None
        try:
            from google.cloud.bigquery import SchemaField
        except ImportError as exc:
            hint = "pip install 'api2db[bigquery]>=2'"
            raise ConfigError("BigQuery's client is not installed", hint=hint) from exc
        return [SchemaField(field["name"], field["type"]) for field in fields]

    def build_bq_schema(self) -> list[dict[str, str]] | None:
        """Return name and type of each column, None before the collector has brought data."""
        if self.dtypes is None:
            return None
        found = frame.schema_of(self.dtypes)
        # The catalog has the sizes of decimals elsewhere.
        kinds = (types.sql_type(field.type, "bigquery").partition("(")[0] for field in found)
        return [{"name": f.name, "type": kind} for f, kind in zip(found, kinds, strict=True)]

    def connect(self) -> bool:
        """
        Log in, and find or make the dataset and the table; return whether `table` is there.

        A table is made only once the collector has brought data.
        """
        try:
            self._connect()
        except Exception as exc:  # noqa: BLE001 - whatever the client raises: it is told
            where = f"{self.pid}.{self.did}.{self.tid}"
            fields = {"target": where, "error": f"{type(exc).__name__}: {exc}"}
            logger.warning("connection_failed", extra=fields)
            self.table = None
        self.connected = self.table is not None
        return self.connected

    def _connect(self) -> None:
        from google.api_core.exceptions import NotFound
        from google.cloud import bigquery
        from google.oauth2.service_account import Credentials

        self._check_auth()
        make = Credentials.from_service_account_file
        self.cred = make(self.auth_path)  # type: ignore[no-untyped-call]
        self.client = bigquery.Client(credentials=self.cred, project=self.pid)
        dataset = bigquery.Dataset(f"{self.pid}.{self.did}")
        dataset.location = self.location
        self.dataset = self.client.create_dataset(dataset, exists_ok=True, timeout=60)
        place = f"{self.pid}.{self.did}.{self.tid}"
        try:
            self.table = self.client.get_table(place)
        except NotFound:
            fields = self.build_schema()
            if fields is None:
                raise ConfigError("no data has come yet: there is no schema") from None
            self.table = self.client.create_table(bigquery.Table(place, schema=fields))

    def stream(self, data: DataFrame, retry_depth: int = 5) -> None:
        """
        Write *data* into the table; blocks until then.

        What could not be written after *retry_depth* more attempts, with growing waits, lies
        in ``STORE/upload_failed/<name>/bigquery/<timestamp_ns>.parquet``.
        """
        self._deliver(data, retry_depth)

    def _check_auth(self) -> None:
        credentials.read(Path(self.auth_path), _KEYS)

    def _target(self) -> Bigquery:
        self._check_auth()
        return Bigquery(self.pid, self.did, self.location, Path(self.auth_path))

    def _delivery(self) -> dict[str, Any]:
        return existing.delivery(self.tid, self.if_exists)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), **_LIVE, "connected": False}
