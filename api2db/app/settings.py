"""What the program runs on: the configuration after all checks, immutable."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from api2db.sink.target import Folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from api2db.ingest.auth import Auth, OAuth2
    from api2db.ingest.pages import Pages
    from api2db.sink.target import Target


@dataclass(frozen=True, slots=True)
class SinceConfig:
    """The `since` block. *lag* is seconds for instants, units for numbers."""

    field: str
    param: str | None = None
    initial: str | int | float | None = None
    lag: float | None = None
    format: str = "{}"


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """
    A Python function: *target* is ``module:name`` in *folder*.

    Attributes:
        call: The function itself, where it has been imported: that of a `Collector`.
    """

    folder: Path
    target: str
    call: Callable[[], Iterable[object]] | None = None


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """A database to read from: either *table* or *query*; *folder* is where paths begin."""

    url: str = field(repr=False)
    folder: Path
    table: str | None = None
    query: str | None = None
    key: tuple[str, ...] = ()
    page_size: int = 10_000


@dataclass(frozen=True, slots=True)
class FolderConfig:
    """
    The shards that a store composes.

    Attributes:
        drop_duplicates: False, True, or the columns that tell rows apart.
        ignored: With True: columns that do not tell rows apart.
        keep_shards: Where shards go that have landed; None removes them.
        keep_composed: Where compositions go; None keeps none.
    """

    path: Path
    fmt: str = "parquet"
    drop_duplicates: bool | tuple[str, ...] = False
    ignored: tuple[str, ...] = ()
    keep_shards: Path | None = None
    keep_composed: Path | None = None


@dataclass(frozen=True, slots=True)
class ColumnConfig:
    """One declared column."""

    name: str
    type: str
    path: str
    default: object = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """
    One entry of `to`.

    Attributes:
        upsert: The key columns; none means append.
        replace: Whether each poll takes the place of what is there.
        attempts: Before batches are spilled; None never spills.
        timeout: For one transaction, in seconds; then its connection is cut off.
        must_be_new: Whether nothing is delivered into a table that was there before.
        distinct: Whether equal rows of a batch are delivered once; or the columns that tell
            rows apart: the first of each stays.
        chunk: Most rows that are sent to a database at a time, 0 for no limit.
        type: Names its folder in ``upload_failed``; None: as the sink is called.
    """

    stream: str
    table: str
    upsert: tuple[str, ...] = ()
    replace: bool = False
    attempts: int | None = None
    timeout: float = 120.0
    must_be_new: bool = False
    distinct: bool | tuple[str, ...] = False
    chunk: int = 0
    type: str | None = None


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """
    A source and where its rows go. Durations are seconds, sizes bytes.

    One of *get*, *python*, *sql* and, for a store, *shards* is set. *place* is where errors say
    that the source is written: file, line and key.
    """

    name: str
    to: Mapping[str, Destination]
    get: str | None = field(default=None, repr=False)
    python: FunctionConfig | None = None
    sql: DatabaseConfig | None = None
    shards: FolderConfig | None = None
    every: float | None = None
    cron: str | None = None
    auth: Auth | OAuth2 | None = None
    rows: str | None = None
    pages: Pages | None = None
    since: SinceConfig | None = None
    params: Mapping[str, object] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 30.0
    max_bytes: int = 256 * 10**6
    max_pages: int = 100_000
    retries: int = 5
    columns: tuple[ColumnConfig, ...] | None = None
    schema: Literal["evolve", "freeze", "ignore"] = "evolve"
    quota: int = 10 * 10**9
    max_age: float = 900.0
    jitter: float = 0.0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What `defaults` says of delivery, for collectors that are declared in Python."""

    attempts: int | None = 5
    quota: int = 10 * 10**9
    max_age: float = 900.0


@dataclass(frozen=True, slots=True)
class StatusConfig:
    """Where the status page listens."""

    host: str = "127.0.0.1"
    port: int = 8282
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Config:
    """
    The whole configuration.

    Attributes:
        folder: Where the file lies; relative paths start here.
        store: The state folder.
        grace: Longest time that ending may take, in seconds.
        secrets: Texts that must never be shown.
        stores: By name; they run as collectors do.
        limits: For collectors that are declared in Python.
        disabled: Names of collectors that are declared with an interval of 0.
    """

    path: Path
    folder: Path
    store: Path
    streams: Mapping[str, Target]
    collectors: Mapping[str, CollectorConfig]
    status: StatusConfig
    grace: float = 25.0
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    stores: Mapping[str, CollectorConfig] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    disabled: tuple[str, ...] = ()

    @property
    def lines(self) -> dict[str, CollectorConfig]:
        """All that has a log of its own: collectors, and stores."""
        return {**self.collectors, **self.stores}

    @property
    def uses_pandas(self) -> bool:
        """Whether anything may be, or become, a DataFrame."""
        functions = any(c.python is not None for c in self.collectors.values())
        files = [target.fmt for target in self.streams.values() if isinstance(target, Folder)]
        files += [c.shards.fmt for c in self.stores.values() if c.shards]
        return functions or "pickle" in files
