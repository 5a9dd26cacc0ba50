"""The shape of config.yaml: every key, its type, and what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from api2db.app.field import (
    Attempts,
    Bind,
    Count,
    Cron,
    DatabaseUrl,
    Duration,
    Format,
    FunctionName,
    HeaderName,
    HeaderValue,
    JmesPath,
    Keys,
    Name,
    Scalar,
    Scalars,
    Size,
    WebUrl,
    bind,
    column,
    is_loopback,
)
from api2db.app.request_model import (
    ApiKeyModel,
    AuthModel,
    BasicModel,
    Model,
    OAuth2Model,
    PagesModel,
)
from api2db.app.target_model import StreamModel


class SinceModel(Model):
    """Ask only for what is new."""

    field: JmesPath = Field(description="JMESPath of the value on the raw row.")
    param: str | None = Field(
        None, description="With 'get': query parameter that sends the greatest value seen."
    )
    format: str | None = Field(
        None,
        description="With 'get': what the parameter says, '{}' in the place of the value;"
        " default: the value alone.",
    )
    initial: Scalar | None = Field(None, description="Value of the first request.")
    lag: Duration | None = Field(
        None, description="Reach back: a duration for times, a number for numbers."
    )

    @field_validator("format")
    @classmethod
    def _one_place(cls, value: str | None) -> str | None:
        if value is not None and value.count("{}") != 1:
            raise ValueError("write '{}' once, in the place of the value: 'updated_on >= {}'")
        return value


class ColumnModel(Model):
    """A typed column."""

    type: Literal["int", "float", "bool", "str", "datetime", "date", "decimal", "json"] = Field(
        description="Type of the values."
    )
    path: JmesPath | None = Field(None, description="JMESPath on the raw row; default: the name.")
    default: Any = Field(None, description="Value where the path leads nowhere.")
    required: bool = Field(False, description="A row without it is a dead letter.")


class ToModel(Model):
    """How rows go into one stream."""

    table: str | None = Field(None, min_length=1, description="Default: the collector's name.")
    append: bool | None = Field(None, description="Add rows (the default).")
    upsert: Keys | None = Field(
        None, min_length=1, description="Key column or columns: the last arrival per key wins."
    )
    replace: bool | None = Field(
        None, description="Each complete poll takes the place of all rows of the table."
    )

    @model_validator(mode="after")
    def _one(self) -> ToModel:
        given = [key for key in ("append", "upsert", "replace") if getattr(self, key)]
        if len(given) > 1:
            raise ValueError(f"give either '{given[0]}' or '{given[1]}'")
        if self.append is False and not given:
            raise ValueError("'append: false' needs 'upsert' or 'replace'")
        return self


Destinations = dict[Name, Annotated[ToModel, BeforeValidator(lambda v: {} if v is None else v)]]


class DefaultsModel(Model):
    """What every collector inherits; a collector's own key wins."""

    every: Duration | None = Field(None, description="Interval between polls; starts at once.")
    cron: Cron | None = Field(None, description="Five fields, local time: '*/5 * * * *'.")
    auth: AuthModel | None = Field(None, description="How requests identify themselves.")
    params: dict[str, Scalars] = Field({}, description="Query parameters.")
    headers: dict[HeaderName, HeaderValue] = Field({}, description="Request headers.")
    timeout: Duration = Field(30.0, description="For one request in all, body included.")
    max_bytes: Size = Field(256 * 10**6, description="Cap on a decompressed body.")
    max_pages: Count = Field(100_000, ge=1, description="Cap on the pages of one poll.")
    retries: Count = Field(5, ge=0, description="Tries after the first one, per request.")
    attempts: Attempts = Field(
        5, description="Before batches are spilled to upload_failed; null: they wait in the queue."
    )
    quota: Size = Field(10 * 10**9, description="Most bytes that may wait for the targets.")
    retain: Literal[0] = Field(0, description="Keep delivered batches; only 0 in this version.")
    max_age: Duration = Field(900.0, description="Older unsent batches make /readyz fail.")
    jitter: Duration | None = Field(None, description="Random delay of each poll, at most.")
    schema_: Literal["evolve", "freeze", "ignore"] = Field(
        "evolve", alias="schema", description="What happens to unknown columns."
    )


class RootDefaultsModel(DefaultsModel):
    """Defaults of collectors, and of the daemon."""

    grace: Duration = Field(25.0, description="Longest time from SIGTERM to the end.")


_REQUEST = frozenset({"auth", "params", "headers", "max_bytes", "rows", "pages"})
_DATABASE = frozenset({"table", "query", "key", "page_size"})
#: Kinds of source, one of which a collector names, and the keys that do not go with each.
FOREIGN: dict[str, frozenset[str]] = {
    "get": _DATABASE,
    "python": _REQUEST | _DATABASE | {"timeout", "max_pages", "retries"},
    "sql": _REQUEST,
}


class CollectorModel(DefaultsModel):
    """An API, and where its rows go."""

    get: WebUrl | None = Field(None, description="URL of the API.")
    python: FunctionName | None = Field(
        None, description="module:name of a function in 'collectors' beside this file."
    )
    sql: DatabaseUrl | None = Field(None, description="SQLAlchemy URL of a database to read from.")
    table: str | None = Field(None, min_length=1, description="With 'sql': table or view.")
    query: str | None = Field(None, min_length=1, description="With 'sql': a select.")
    key: Keys | None = Field(
        None, min_length=1, description="With 'sql': unique columns; default: the primary key."
    )
    page_size: Count = Field(10_000, ge=1, description="With 'sql': rows of a page, at most.")
    rows: JmesPath | None = Field(None, description="JMESPath of the list of rows in the body.")
    pages: PagesModel | None = Field(None, description="How pages follow each other.")
    since: SinceModel | None = Field(None, description="Ask only for what is new.")
    columns: dict[str, Annotated[ColumnModel, BeforeValidator(column)]] | None = Field(
        None, min_length=1, description="Typed columns; without it types are inferred."
    )
    to: Destinations = Field(min_length=1, description="Streams that the rows go to.")

    @model_validator(mode="after")
    def _one(self) -> CollectorModel:
        if (self.every is None) == (self.cron is None):
            raise ValueError("give either 'every' or 'cron', here or in 'defaults'")
        return self


class StoreModel(Model):
    """Shards of a folder, composed and loaded into other targets."""

    collector: Name | None = Field(None, description="Whose shards these are: the default table.")
    from_: str = Field(alias="from", description="Folder of the shards; relative to this file.")
    fmt: Format = Field("parquet", description="Format of the shards.")
    every: Duration = Field(description="Time between compositions; the first is at start.")
    to: Destinations = Field(min_length=1, description="Streams that the rows go to.")
    drop_duplicates: bool | Keys = Field(
        False, description="true: rows that are equal; keys: all but the last row of each key."
    )
    keep_shards: str | None = Field(None, description="Folder for shards that have landed.")
    keep_composed: str | None = Field(None, description="Folder for what was composed.")


class StatusModel(Model):
    """The status server."""

    bind: Bind = Field("127.0.0.1:8282", description="host:port; port 0 takes any free one.")
    token: str | None = Field(None, min_length=8, description="Needed off loopback.")

    @model_validator(mode="after")
    def _guarded(self) -> StatusModel:
        host, _ = bind(self.bind)
        if self.token is None and not is_loopback(host):
            raise ValueError(f"{host} is not loopback: set 'token', or bind 127.0.0.1")
        return self


class RootModel(Model):
    """The whole of config.yaml."""

    streams: dict[Name, StreamModel] = Field(min_length=1, description="Targets, by name.")
    collectors: dict[Name, CollectorModel] = Field(min_length=1, description="APIs, by name.")
    defaults: RootDefaultsModel = Field(RootDefaultsModel(), description="Inherited by all.")
    stores: dict[Name, StoreModel] = Field({}, description="Folders of shards, by name.")
    store: str = Field("STORE", description="State folder; relative to this file.")
    status: StatusModel = Field(StatusModel(), description="Status page, metrics, health.")


class BesideModel(RootModel):
    """The whole of a config.yaml beside which collectors are declared in Python."""

    streams: dict[Name, StreamModel] = Field({}, description="Targets, by name.")
    collectors: dict[Name, CollectorModel] = Field({}, description="APIs, by name.")


#: Which model a mapping must fit, by place; ``*`` is any name.
MODELS: dict[tuple[str, ...], type[Model]] = {
    (): RootModel,
    ("defaults",): RootDefaultsModel,
    ("defaults", "auth"): AuthModel,
    ("status",): StatusModel,
    ("streams", "*"): StreamModel,
    ("collectors", "*"): CollectorModel,
    ("collectors", "*", "auth"): AuthModel,
    ("collectors", "*", "auth", "basic"): BasicModel,
    ("collectors", "*", "auth", "api_key"): ApiKeyModel,
    ("collectors", "*", "auth", "oauth2"): OAuth2Model,
    ("collectors", "*", "pages"): PagesModel,
    ("collectors", "*", "since"): SinceModel,
    ("collectors", "*", "columns", "*"): ColumnModel,
    ("collectors", "*", "to", "*"): ToModel,
    ("stores", "*"): StoreModel,
    ("stores", "*", "to", "*"): ToModel,
}
