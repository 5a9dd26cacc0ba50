"""The shape of `streams` in config.yaml: what a stream leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from api2db.app.field import Attempts, Duration, Format, Mode, TargetUrl
from api2db.app.request_model import Model
from api2db.app.service_model import (
    BigqueryModel,
    BitioModel,
    IkvModel,
    OmnisciModel,
    SiridbModel,
)
from api2db.files import credentials
from api2db.sink.target import Database, Folder, Target

if TYPE_CHECKING:
    from pathlib import Path

#: Keys of services: each has a model of its own, which makes the target.
SERVICES = ("bigquery", "omnisci", "bitio", "siridb", "ikv")
#: Keys of a stream of which exactly one says what it leads to.
KINDS = ("url", "dialect", "local", *SERVICES)


class StreamModel(Model):
    """A target."""

    url: TargetUrl | None = Field(
        None,
        description="SQLAlchemy's: postgresql://..., mysql://..., mariadb://..., sqlite:///file.db,"
        " duckdb:///file.db, oracle://... or mssql://....",
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
    omnisci: OmnisciModel | None = Field(None, description="A database of OmniSci (HeavyDB).")
    bitio: BitioModel | None = Field(None, description="A database of bit.io.")
    siridb: SiridbModel | None = Field(None, description="A database of SiriDB.")
    ikv: IkvModel | None = Field(None, description="A store of IKV.")

    @model_validator(mode="after")
    def _one(self) -> StreamModel:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            others = "and 'dialect' with 'auth' and 'db'"
            services = ", ".join(f"'{kind}'" for kind in SERVICES)
            raise ValueError(f"give one of 'url', 'local', {services}, {others}")
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
        for kind in SERVICES:
            service = getattr(self, kind)
            if service is not None:
                target: Target = service.target(folder)
                return target
        assert self.dialect is not None and self.auth is not None and self.db is not None
        wanted = ("username", "password", "host")
        found = credentials.read(folder / self.auth, wanted, ("port",))
        return Database.of(self.dialect, self.db, **found)
