"""The shape of targets that are services, each with keys of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from api2db.app.field import Count, Duration, WebUrl
from api2db.app.request_model import Model
from api2db.files import credentials
from api2db.sink.target import LOAD_PACE, Bigquery, Bitio, Ikv, Omnisci, Siridb

if TYPE_CHECKING:
    from pathlib import Path


class BigqueryModel(Model):
    """A dataset of BigQuery."""

    project: str = Field(min_length=1, description="Id of the project.")
    dataset: str = Field(min_length=1, description="Name of the dataset; made if it is missing.")
    location: str = Field("US", min_length=1, description="Where the dataset lies.")
    auth: str | None = Field(
        None,
        min_length=1,
        description="File of AUTH/ with a service account; relative to this file. Without it the"
        " machine's own credentials.",
    )
    latency: Duration = Field(
        60.0,
        description="Least time between two loads of a table. Below a minute rows go through the"
        " Storage Write API: a table takes 1,500 load jobs a day.",
    )
    endpoint: WebUrl | None = Field(None, description="URL of an emulator.")
    write_endpoint: str | None = Field(
        None, pattern=r"^[^/\s]+:\d+$", description="host:port of its Storage Write API."
    )

    @model_validator(mode="after")
    def _reachable(self) -> BigqueryModel:
        if self.write_endpoint is not None and self.endpoint is None:
            raise ValueError("'write_endpoint' needs 'endpoint'")
        if self.endpoint and not self.write_endpoint and self.latency < LOAD_PACE:
            raise ValueError("a 'latency' below 60s needs the emulator's 'write_endpoint'")
        return self

    def target(self, folder: Path) -> Bigquery:
        """Return the dataset; raises as `StreamModel.target`."""
        auth = None if self.auth is None else folder / self.auth
        if auth is not None:
            credentials.read(auth, ("private_key", "client_email", "token_uri"))
        return Bigquery(
            self.project,
            self.dataset,
            self.location,
            auth,
            self.endpoint,
            self.write_endpoint,
            self.latency,
        )


class BitioModel(Model):
    """A database of bit.io."""

    database: str = Field(pattern=r"^[^/]+/[^/]+$", description="owner/name.")
    auth: str = Field(min_length=1, description="File of AUTH/ with 'api_key'; relative to this.")
    base_url: WebUrl | None = Field(None, description="Where the HTTP API begins.")
    host: str | None = Field(None, min_length=1, description="Of the PostgreSQL behind it.")
    port: Count | None = Field(None, ge=1, le=65535, description="Of the PostgreSQL behind it.")
    ca: str | None = Field(
        None, min_length=1, description="File of certificates to trust; relative to this file."
    )

    def target(self, folder: Path) -> Bitio:
        """Return the database; raises as `StreamModel.target`."""
        file = folder / self.auth
        found = credentials.read(file, ("api_key",), ("base_url", "host", "port"))
        given = self.model_dump(include={"base_url", "host", "port"}, exclude_none=True)
        ca = None if self.ca is None else folder / self.ca
        return Bitio.of(self.database, {**found, **given}, ca)


class IkvModel(Model):
    """A store of IKV."""

    auth: str = Field(
        min_length=1,
        description="File of AUTH/ with 'account_id', 'account_passkey' and 'store_name';"
        " relative to this file.",
    )
    primary_key: str = Field(
        pattern=r"\S", description="The store's primary key: the column that 'upsert' names."
    )
    endpoint: str | None = Field(
        None,
        pattern=r"^[^/\s]+:\d+$",
        description="host:port of the gateway; over TLS but on this machine.",
    )
    ca: str | None = Field(
        None, min_length=1, description="File of certificates to trust; relative to this file."
    )

    def target(self, folder: Path) -> Ikv:
        """Return the store; raises as `StreamModel.target`."""
        found = credentials.read(folder / self.auth, Ikv.REQUIRED, ("endpoint",))
        if self.endpoint is not None:
            found["endpoint"] = self.endpoint
        ca = None if self.ca is None else folder / self.ca
        return Ikv(primary_key=self.primary_key, ca=ca, **found)


class SiridbModel(Model):
    """A database of SiriDB."""

    auth: str = Field(
        min_length=1,
        description="File of AUTH/ with 'username', 'password', 'dbname' and 'hostlist';"
        " relative to this file.",
    )
    tags: tuple[str, ...] = Field((), description="Columns whose values name series.")
    time: str | None = Field(
        None, min_length=1, description="Column of the points' time; else that of the batch."
    )

    @model_validator(mode="after")
    def _apart(self) -> SiridbModel:
        if self.time in self.tags:
            raise ValueError(f"'{self.time}' cannot be 'time' and one of 'tags'")
        return self

    def target(self, folder: Path) -> Siridb:
        """Return the database; raises as `StreamModel.target`."""
        file = folder / self.auth
        found = credentials.read(file, ("username", "password", "dbname"))
        hosts = credentials.read_object(file).get("hostlist")
        return Siridb.of(found, hosts, file=str(file), tags=self.tags, time=self.time)


class OmnisciModel(Model):
    """A database of OmniSci, which is called HeavyDB today."""

    db: str = Field(min_length=1, description="Name of the database; it must be there.")
    auth: str = Field(
        min_length=1,
        description="File of AUTH/ with username, password and host; relative to this file.",
    )
    protocol: Literal["binary", "http", "https"] = Field(
        "binary", description="How the server is spoken to."
    )

    def target(self, folder: Path) -> Omnisci:
        """Return the database; raises as `StreamModel.target`."""
        wanted = ("username", "password", "host")
        found = credentials.read(folder / self.auth, wanted, ("port",))
        port = int(found.pop("port", Omnisci.PORTS[self.protocol]))
        return Omnisci(self.db, **found, port=port, protocol=self.protocol)
