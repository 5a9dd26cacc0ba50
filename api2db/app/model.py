"""The shape of config.yaml: every key, its type, and what it is for."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from api2db.app.quantity import duration, size
from api2db.files.layout import NAME

TYPES = ("int", "float", "bool", "str", "datetime", "date", "decimal", "json")
_NOT_YET = "is not supported yet in this version"


def _jmespath(value: object) -> object:
    if isinstance(value, str):
        try:
            jmespath.compile(value)
        except JMESPathError as exc:
            reason = str(exc).splitlines()[0].removesuffix(", for expression:").rstrip(":")
            raise ValueError(f"not a JMESPath expression: {reason}") from exc
    return value


def _name(value: object) -> object:
    if isinstance(value, str) and NAME.fullmatch(value) is None:
        raise ValueError("a name has 1 to 63 of a-z, 0-9, '_' and '-', and begins with a letter")
    return value


def _web(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write a URL that begins with http:// or https://")
        _port(value)
    return value


def _port(url: str) -> None:
    try:
        _ = urlsplit(url).port
    except ValueError as exc:  # its own message would show what stands there: half a password
        raise ValueError("the port of the URL is no number from 0 to 65535") from exc


def _target(value: object) -> object:
    if isinstance(value, str):
        scheme = value.partition(":")[0].partition("+")[0]
        if not re.match(r"[A-Za-z][\w+.-]*:", value):
            raise ValueError("write a URL such as postgresql://user@host/db or sqlite:///file.db")
        if scheme in ("mysql", "mariadb", "duckdb"):
            raise ValueError(f"{scheme} {_NOT_YET}; there are postgresql and sqlite")
        if scheme not in ("postgresql", "postgres", "sqlite"):
            raise ValueError("unknown kind of target; there are postgresql and sqlite")
        _port(value)
    return value


def _cron(value: object) -> object:
    if isinstance(value, str):
        from apscheduler.triggers.cron import CronTrigger  # slow to import, seldom needed

        try:
            CronTrigger.from_crontab(value)
        except ValueError as exc:
            raise ValueError(f"not a cron expression of five fields: {exc}") from exc
    return value


def _scalar(value: object) -> object:
    if not isinstance(value, (str, int, float)):
        raise ValueError("write a text, a number, true or false")
    return value


def _scalars(value: object) -> object:
    if isinstance(value, list):
        return [_scalar(item) for item in value]
    if not isinstance(value, (str, int, float)):
        raise ValueError("write a text, a number, true, false, or a list of them")
    return value


def _count(value: object) -> object:
    if isinstance(value, (bool, float)):
        raise ValueError("write a whole number")
    return value


def _format(value: object) -> object:
    if value in ("json", "csv", "pickle"):
        raise ValueError(f"{value} {_NOT_YET}; there is parquet")
    return value


def _mode(value: object) -> object:
    if value in ("update", "replace"):
        raise ValueError(f"{value} {_NOT_YET}; there is shard")
    return value


def _absent(value: object) -> object:
    raise ValueError(_NOT_YET)


Duration = Annotated[
    float,
    BeforeValidator(duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["30s", "200ms", "5m", "1h", 10]}),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["256MB", "10GB", "1GiB"]}),
]
JmesPath = Annotated[str, BeforeValidator(_jmespath)]
Name = Annotated[str, BeforeValidator(_name)]
NotYet = Annotated[Any, BeforeValidator(_absent), WithJsonSchema({"not": {}})]
Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]
Scalars = Annotated[
    str | int | float | bool | list[str | int | float | bool], BeforeValidator(_scalars)
]
Count = Annotated[int, BeforeValidator(_count)]


class Model(BaseModel):
    """A mapping in which unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BasicModel(Model):
    """User and password."""

    user: str = Field(description="User name.")
    password: str = Field(description="Password; write ${NAME} to take it from the environment.")


class ApiKeyModel(Model):
    """An API key in a header or in the query."""

    header: str | None = Field(None, description="Name of the header that carries the key.")
    query: str | None = Field(None, description="Name of the query parameter that carries it.")
    value: str = Field(description="The key; write ${NAME} to take it from the environment.")

    @model_validator(mode="after")
    def _one(self) -> ApiKeyModel:
        if (self.header is None) == (self.query is None):
            raise ValueError("give either 'header' or 'query'")
        return self


class AuthModel(Model):
    """How requests identify themselves: one of these."""

    bearer: str | None = Field(None, description="Sent as 'Authorization: Bearer ...'.")
    basic: BasicModel | None = Field(None, description="HTTP basic authentication.")
    api_key: ApiKeyModel | None = Field(None, description="An API key.")
    oauth2: NotYet = Field(None, description="OAuth 2 client credentials; not in this version.")

    @model_validator(mode="after")
    def _one(self) -> AuthModel:
        if sum(given is not None for given in (self.bearer, self.basic, self.api_key)) != 1:
            raise ValueError("give exactly one of bearer, basic, api_key")
        return self


class PagesModel(Model):
    """How pages follow each other."""

    cursor: JmesPath | None = Field(None, description="JMESPath of the next cursor in the body.")
    param: str | None = Field(None, description="Query parameter that sends the cursor back.")
    next: JmesPath | None = Field(None, description="JMESPath of the next page's URL in the body.")
    link: NotYet = Field(None, description="Link header (RFC 8288); not in this version.")
    page: NotYet = Field(None, description="Page numbers; not in this version.")
    start: NotYet = Field(None, description="First page number; not in this version.")
    size: NotYet = Field(None, description="Page size; not in this version.")
    offset: NotYet = Field(None, description="Offsets; not in this version.")
    limit: NotYet = Field(None, description="Limit; not in this version.")

    @model_validator(mode="after")
    def _one(self) -> PagesModel:
        if (self.cursor is None) == (self.next is None):
            raise ValueError("give either 'cursor' with 'param', or 'next'")
        if (self.cursor is None) != (self.param is None):
            raise ValueError("'cursor' and 'param' go together")
        return self


class SinceModel(Model):
    """Ask only for what is new."""

    field: JmesPath = Field(description="JMESPath of the value on the raw row.")
    param: str = Field(description="Query parameter that sends the greatest value seen.")
    initial: Annotated[str | int | float, BeforeValidator(_scalar)] | None = Field(
        None, description="Value of the first request."
    )
    lag: Duration | None = Field(
        None, description="Reach back: a duration for times, a number for numbers."
    )


class ColumnModel(Model):
    """A typed column."""

    type: Literal["int", "float", "bool", "str", "datetime", "date", "decimal", "json"] = Field(
        description="Type of the values."
    )
    path: JmesPath | None = Field(None, description="JMESPath on the raw row; default: the name.")
    default: Any = Field(None, description="Value where the path leads nowhere.")
    required: bool = Field(False, description="A row without it is a dead letter.")


def _column(value: object) -> object:
    if isinstance(value, str):
        if value not in TYPES:
            raise ValueError(f"unknown type {value!r}; there are {', '.join(TYPES)}")
        return {"type": value}
    return value


def _keys(value: object) -> object:
    keys = [value] if isinstance(value, str) else value
    if keys is not None and not (isinstance(keys, list) and all(isinstance(k, str) for k in keys)):
        raise ValueError("write the name of a column, or a list of names")
    return keys


class ToModel(Model):
    """How rows go into one stream."""

    table: str | None = Field(None, min_length=1, description="Default: the collector's name.")
    append: bool | None = Field(None, description="Add rows (the default).")
    upsert: Annotated[list[str], BeforeValidator(_keys)] | None = Field(
        None, min_length=1, description="Key column or columns: the last arrival per key wins."
    )
    replace: NotYet = Field(None, description="Swap the table per poll; not in this version.")

    @model_validator(mode="after")
    def _one(self) -> ToModel:
        if self.append and self.upsert:
            raise ValueError("give either 'append' or 'upsert'")
        if self.append is False and not self.upsert:
            raise ValueError("'append: false' needs 'upsert'")
        return self


class StreamModel(Model):
    """A target."""

    url: Annotated[str, BeforeValidator(_target)] | None = Field(
        None, description="postgresql://... or sqlite:///file.db (relative to this file)."
    )
    local: str | None = Field(None, description="Folder for files; relative to this file.")
    fmt: Annotated[Literal["parquet"], BeforeValidator(_format)] = Field(
        "parquet", description="Format of local files."
    )
    mode: Annotated[Literal["shard"], BeforeValidator(_mode)] = Field(
        "shard", description="One file per batch."
    )
    auth: NotYet = Field(None, description="AUTH/ file; not in this version.")
    dialect: NotYet = Field(None, description="With auth; not in this version.")
    db: NotYet = Field(None, description="With auth; not in this version.")
    bigquery: NotYet = Field(None, description="Not in this version.")
    omnisci: NotYet = Field(None, description="Not in this version.")
    bitio: NotYet = Field(None, description="Not in this version.")
    siridb: NotYet = Field(None, description="Not in this version.")
    ikv: NotYet = Field(None, description="Not in this version.")

    @model_validator(mode="after")
    def _one(self) -> StreamModel:
        if (self.url is None) == (self.local is None):
            raise ValueError("give either 'url' or 'local'")
        return self


def _attempts(value: object) -> object:
    if value is not None:
        raise ValueError(f"{_NOT_YET}: what a target cannot take waits in the spool, in order")
    return value


class DefaultsModel(Model):
    """What every collector inherits; a collector's own key wins."""

    every: Duration | None = Field(None, description="Interval between polls; starts at once.")
    cron: Annotated[str, BeforeValidator(_cron)] | None = Field(
        None, description="Five fields, local time: '*/5 * * * *'."
    )
    auth: AuthModel | None = Field(None, description="How requests identify themselves.")
    params: dict[str, Scalars] = Field({}, description="Query parameters.")
    headers: dict[str, Scalar] = Field({}, description="Request headers.")
    timeout: Duration = Field(30.0, description="For one request in all, body included.")
    max_bytes: Size = Field(256 * 10**6, description="Cap on a decompressed body.")
    max_pages: Count = Field(100_000, ge=1, description="Cap on the pages of one poll.")
    retries: Count = Field(5, ge=0, description="Tries after the first one, per request.")
    attempts: Annotated[None, BeforeValidator(_attempts)] = Field(
        None, description="null: a stream waits for its target for ever."
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


class CollectorModel(DefaultsModel):
    """An API, and where its rows go."""

    get: Annotated[str, BeforeValidator(_web)] = Field(description="URL of the API.")
    python: NotYet = Field(None, description="A Python function; not in this version.")
    sql: NotYet = Field(None, description="A database as the source; not in this version.")
    rows: JmesPath | None = Field(None, description="JMESPath of the list of rows in the body.")
    pages: PagesModel | None = Field(None, description="How pages follow each other.")
    since: SinceModel | None = Field(None, description="Ask only for what is new.")
    columns: dict[str, Annotated[ColumnModel, BeforeValidator(_column)]] | None = Field(
        None, min_length=1, description="Typed columns; without it types are inferred."
    )
    to: dict[Name, Annotated[ToModel, BeforeValidator(lambda v: {} if v is None else v)]] = Field(
        min_length=1, description="Streams that the rows go to."
    )

    @model_validator(mode="after")
    def _one(self) -> CollectorModel:
        if (self.every is None) == (self.cron is None):
            raise ValueError("give either 'every' or 'cron', here or in 'defaults'")
        return self


def bind(text: str) -> tuple[str, int]:
    """Return host and port of ``host:port``; ValueError if it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535 or not host:
        raise ValueError("write host:port, such as 127.0.0.1:8282")
    return host.strip("[]"), int(port)


def _bind(value: object) -> object:
    if isinstance(value, str):
        bind(value)
    return value


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class StatusModel(Model):
    """The status server."""

    bind: Annotated[str, BeforeValidator(_bind)] = Field(
        "127.0.0.1:8282", description="host:port; port 0 takes any free one."
    )
    token: str | None = Field(None, min_length=8, description="Needed off loopback.")

    @model_validator(mode="after")
    def _guarded(self) -> StatusModel:
        host, _ = bind(self.bind)
        if self.token is None and not _loopback(host):
            raise ValueError(f"{host} is not loopback: set 'token', or bind 127.0.0.1")
        return self


class RootModel(Model):
    """config.yaml"""

    streams: dict[Name, StreamModel] = Field(min_length=1, description="Targets, by name.")
    collectors: dict[Name, CollectorModel] = Field(min_length=1, description="APIs, by name.")
    defaults: RootDefaultsModel = Field(RootDefaultsModel(), description="Inherited by all.")
    stores: NotYet = Field(None, description="Recomposition of shards; not in this version.")
    store: str = Field("STORE", description="State folder; relative to this file.")
    status: StatusModel = Field(StatusModel(), description="Status page, metrics, health.")


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
    ("collectors", "*", "pages"): PagesModel,
    ("collectors", "*", "since"): SinceModel,
    ("collectors", "*", "columns", "*"): ColumnModel,
    ("collectors", "*", "to", "*"): ToModel,
}
