"""What a stream leads to: a database, a folder or a service, with what it takes to get in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pandas import DataFrame


@dataclass(frozen=True, slots=True)
class Database:
    """A database with a SQLAlchemy URL; a relative path in it begins at the sink's *base*."""

    url: str = field(repr=False)

    @staticmethod
    def of(
        dialect: str, db: str, *, host: str, username: str, password: str, port: str = ""
    ) -> Database:
        """Return the database of these parts, whatever characters they have."""
        user = f"{quote(username, safe='')}:{quote(password, safe='')}"
        if ":" in host and not host.startswith("[") and host.count(":") > 1:
            host = f"[{host}]"  # an IPv6 address
        where = f"{host}:{port}" if port else host
        return Database(f"{dialect}://{user}@{where}/{quote(db, safe='')}")


@dataclass(frozen=True, slots=True)
class Folder:
    """
    A folder of files.

    Attributes:
        fmt: ``parquet``, ``json``, ``csv`` or ``pickle``.
        mode: What a file holds: a batch (``shard``), all (``update``), the last poll (``replace``).
        named: Whether the table is the whole name of a file, its suffix too.
    """

    path: Path
    fmt: str = "parquet"
    mode: str = "shard"
    named: bool = False


#: Seconds between two load jobs of a table that BigQuery allows all day long.
LOAD_PACE = 60.0


@dataclass(frozen=True, slots=True)
class Bigquery:
    """
    A dataset of BigQuery.

    Attributes:
        auth: The service account's JSON file, read at each connection; None takes the
            credentials of the machine, and none at all with *endpoint*.
        endpoint: URL of an emulator, in place of Google's own.
        write_endpoint: ``host:port`` of its Storage Write API.
        latency: Least seconds between two loads of a table. Below a minute rows go through
            the Storage Write API, for a table takes 1,500 load jobs a day.
    """

    project: str
    dataset: str
    location: str = "US"
    auth: Path | None = None
    endpoint: str | None = None
    write_endpoint: str | None = None
    latency: float = LOAD_PACE


@dataclass(frozen=True, slots=True)
class Siridb:
    """
    A database of SiriDB, in which each column of a table is a series, or one for each tag.

    Attributes:
        hosts: Host and port of its servers; the first that answers is taken.
        tags: Columns whose values are part of a series' name.
        time: The column that holds the points' time. None takes the batch's own: each row gets
            an instant of its own, in nanoseconds, if the database has them.
    """

    hosts: tuple[tuple[str, int], ...]
    database: str
    username: str
    password: str = field(repr=False)
    tags: tuple[str, ...] = ()
    time: str | None = None

    @staticmethod
    def of(
        found: Mapping[str, str],
        hostlist: object,
        *,
        file: str,
        tags: Sequence[str] = (),
        time: str | None = None,
    ) -> Siridb:
        """
        Return the database, with ``username``, ``password`` and ``dbname`` of *found*.

        Args:
            hostlist: ``[[host, port], ...]``, perhaps with options, which are left alone.
            file: Where it stands, for people.

        Raises:
            ConfigError: The list is no such list.
        """
        hosts: list[tuple[str, int]] = []
        for each in hostlist if isinstance(hostlist, list) else ():
            host, port = each[:2] if isinstance(each, list) and len(each) > 1 else ("", 0)
            if not (host and isinstance(host, str) and type(port) is int and 0 < port < 65536):
                hosts = []
                break
            hosts.append((host, port))
        if not hosts:
            hint = 'write "hostlist": [["127.0.0.1", 9000]]'
            raise ConfigError(f"{file}: 'hostlist' is no list of hosts with ports", hint=hint)
        user, password = found["username"], found["password"]
        return Siridb(tuple(hosts), found["dbname"], user, password, tuple(tags), time)


@dataclass(frozen=True, slots=True)
class Bitio:
    """
    A database of bit.io, or of a PostgreSQL with an API like its own.

    Attributes:
        database: ``owner/name``.
        base_url: Where the HTTP API begins.
        host: Of the PostgreSQL, with *port*.
        ca: Certificates to trust; None takes those of the machine.
    """

    PORT: ClassVar[int] = 5432

    database: str
    api_key: str = field(repr=False)
    base_url: str = "https://api.bit.io/"
    host: str = "db.bit.io"
    port: int = PORT
    ca: Path | None = None

    @staticmethod
    def of(database: str, found: Mapping[str, Any], ca: Path | None = None) -> Bitio:
        """Return the database, with what a file of AUTH/ holds; a port may be text."""
        port = int(found.get("port", Bitio.PORT))
        return Bitio(database, ca=ca, **{**found, "port": port})


@dataclass(frozen=True, slots=True)
class Ikv:
    """
    A store of IKV, whose vendor has fixed its primary key.

    Attributes:
        primary_key: The column whose value names a document.
        endpoint: ``host:port`` of the gateway, over TLS but on this machine.
        ca: Certificates to trust, on this machine, too; None takes gRPC's own.
    """

    ENDPOINT: ClassVar[str] = "gateway.inlined.io:443"
    #: What a file of AUTH/ must hold.
    REQUIRED: ClassVar[tuple[str, ...]] = ("account_id", "account_passkey", "store_name")

    account_id: str
    account_passkey: str = field(repr=False)
    store_name: str
    primary_key: str
    endpoint: str = ENDPOINT
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Omnisci:
    """
    A database of OmniSci, which is called HeavyDB today.

    Attributes:
        protocol: A key of `PORTS`, which says where the server listens for it.
    """

    PORTS: ClassVar[Mapping[str, int]] = {"binary": 6274, "http": 6278, "https": 443}

    db: str
    host: str
    username: str
    password: str = field(repr=False)
    port: int = 6274
    protocol: str = "binary"


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """
    A function of the user's that delivers.

    Attributes:
        call: Takes a DataFrame of its own; the rows are delivered when it returns.
        type: What `Sink.name` is, such as ``stream``.
    """

    call: Callable[[DataFrame], object] = field(repr=False)
    type: str


Target = Database | Folder | Bigquery | Bitio | Ikv | Omnisci | Siridb | Method
