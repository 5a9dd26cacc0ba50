"""The shape of `streams` in config.yaml: what a stream leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from api2db.app.field import Attempts, Duration, Format, Mode, NotYet, TargetUrl, WebUrl
from api2db.app.request_model import Model
from api2db.files import credentials
from api2db.sink.target import LOAD_PACE, Bigquery, Database, Folder, Target

if TYPE_CHECKING:
    from pathlib import Path

#: Keys of a stream of which exactly one says what it leads to.
KINDS = ("url", "dialect", "local", "bigquery", "omnisci", "bitio", "siridb", "ikv")


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


class StreamModel(Model):
    """A target."""

    url: TargetUrl | None = Field(
        None, description="postgresql://..., mysql://..., mariadb://... or sqlite:///file.db."
    )
    dialect: Literal["postgresql", "mysql", "mariadb"] | None = Field(
        None, description="In place of a URL: the kind of database, with 'auth' and 'db'."
    )
    auth: str | None = Field(
        None, min_length=1, description="With 'dialect': file of AUTH/; relative to this file."
    )
    db: str | None = Field(None, min_length=1, description="With 'dialect': name of the database.")
    local: str | None = Field(None, description="Folder for files; relative to this file.")
    fmt: Format = Field("parquet", description="Format of local files.")
    mode: Mode = Field("shard", description="What a file holds: a batch, all, or the last poll.")
    attempts: Attempts = Field(None, description="In place of the collectors' own.")
    timeout: Duration = Field(120.0, description="For one transaction; then it is cut off.")
    bigquery: BigqueryModel | None = Field(None, description="A dataset of BigQuery.")
    omnisci: NotYet = Field(None, description="Not in this version.")
    bitio: NotYet = Field(None, description="Not in this version.")
    siridb: NotYet = Field(None, description="Not in this version.")
    ikv: NotYet = Field(None, description="Not in this version.")

    @model_validator(mode="after")
    def _one(self) -> StreamModel:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(
                "give one of 'url', 'local', 'bigquery', and 'dialect' with 'auth' and 'db'"
            )
        if self.local is None and {"fmt", "mode"} & self.model_fields_set:
            raise ValueError("'fmt' and 'mode' go with 'local'")
        wanted = self.dialect is not None
        for key in ("auth", "db"):
            if (getattr(self, key) is not None) != wanted:
                one, other = ("dialect", key) if wanted else (key, "dialect")
                raise ValueError(f"'{one}' needs '{other}'")
        return self

    def target(self, folder: Path) -> Target:
        """
        Return what the stream leads to; relative paths begin at *folder*.

        Raises:
            ConfigError: A file of AUTH/ cannot be used.
        """
        if self.local is not None:
            return Folder(folder / self.local, self.fmt, self.mode)
        if self.url is not None:
            return Database(self.url)
        if self.bigquery is not None:
            return self.bigquery.target(folder)
        assert self.dialect is not None and self.auth is not None and self.db is not None
        wanted = ("username", "password", "host")
        found = credentials.read(folder / self.auth, wanted, ("port",))
        return Database.of(self.dialect, self.db, **found)
