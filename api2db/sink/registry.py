"""Which class writes to which kind of target; drivers are imported here, when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.sink.base import Delivery, Sink

#: URL scheme -> module, class, extra that brings the driver.
_SCHEMES = {
    "postgresql": ("postgresql", "PostgresSink", "postgresql"),
    "postgres": ("postgresql", "PostgresSink", "postgresql"),
    "mariadb": ("mysql", "MysqlSink", "mysql"),
    "mysql": ("mysql", "MysqlSink", "mysql"),
    "sqlite": ("sqlite", "SqliteSink", ""),
    "duckdb": ("duckdb", "DuckdbSink", "duckdb"),
}


def make_sink(
    url: str | None,
    local: Path | None,
    delivery: Delivery,
    *,
    base: Path,
    fmt: str = "parquet",
    mode: str = "shard",
) -> Sink:
    """
    Return the sink of a target, not opened.

    Args:
        url: URL of a database; or
        local: a folder for files.
        base: Folder at which a relative path in *url* begins.
        fmt: Format of local files.
        mode: What a local file holds: a batch, all batches, or the last poll.

    Raises:
        ConfigError: The kind of target is unknown, or its driver is not installed.
    """
    if local is not None:
        from api2db.sink.local import local_sink

        return local_sink(local, delivery, fmt, mode)
    if url is None:
        raise ConfigError(f"streams.{delivery.stream}: neither a url nor a folder")
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES.keys() - {"postgres"}))
        raise ConfigError(f"unknown kind of target {scheme!r}", hint=f"there are {known}")
    module, name, extra = _SCHEMES[scheme]
    try:
        found = import_module(f"api2db.sink.{module}")
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] == "api2db":
            raise  # a fault of ours: no driver mends it
        what = f"{exc.name} is not installed" if exc.name else str(exc).splitlines()[0]
        raise ConfigError(
            f"the stream {delivery.stream!r} needs a driver: {what}",
            hint=f"pip install 'api2db[{extra}]>=2'",
        ) from exc
    where = {"base": base} if module in ("sqlite", "duckdb") else {}
    sink: Sink = getattr(found, name)(url, delivery, **where)
    return sink
