"""Which class writes to which kind of target; drivers are imported here, when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Method, Omnisci, Siridb

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.sink.base import Delivery, Sink
    from api2db.sink.target import Target

#: URL scheme -> module, class, extra that brings the driver.
_SCHEMES = {
    "postgresql": ("postgresql", "PostgresSink", "postgresql"),
    "postgres": ("postgresql", "PostgresSink", "postgresql"),
    "mariadb": ("mysql", "MysqlSink", "mysql"),
    "mysql": ("mysql", "MysqlSink", "mysql"),
    "sqlite": ("sqlite", "SqliteSink", ""),
    "duckdb": ("duckdb", "DuckdbSink", "duckdb"),
    "oracle": ("oracle", "OracleSink", "oracle"),
    "mssql": ("mssql", "MssqlSink", "mssql"),
}

#: Kind of target -> module, class, extra that brings the driver.
_SERVICES: dict[type, tuple[str, str, str]] = {
    Bigquery: ("bigquery", "BigquerySink", "bigquery"),
    Bitio: ("bitio", "BitioSink", "bitio"),
    Omnisci: ("omnisci", "OmnisciSink", "omnisci"),
    Ikv: ("ikv", "IkvSink", "ikv"),
    Siridb: ("siridb", "SiridbSink", "siridb"),
}


def make_sink(target: Target, delivery: Delivery, *, base: Path) -> Sink:
    """
    Return the sink of a target, not opened.

    Args:
        base: Folder at which a relative path in a database's URL begins.

    Raises:
        ConfigError: The kind of target is unknown, or its driver is not installed.
    """
    if isinstance(target, Folder):
        from api2db.sink.local import local_sink

        return local_sink(target.path, delivery, target.fmt, target.mode, named=target.named)
    if isinstance(target, Method):
        from api2db.sink.method import MethodSink

        return MethodSink(target, delivery)
    if isinstance(target, Database):
        return _database(target.url, delivery, base)
    sink: Sink = _load(*_SERVICES[type(target)], delivery)(target, delivery)
    return sink


def _database(url: str, delivery: Delivery, base: Path) -> Sink:
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES.keys() - {"postgres"}))
        raise ConfigError(f"unknown kind of target {scheme!r}", hint=f"there are {known}")
    module, name, extra = _SCHEMES[scheme]
    where = {"base": base} if module in ("sqlite", "duckdb") else {}
    sink: Sink = _load(module, name, extra, delivery)(url, delivery, **where)
    return sink


def _load(module: str, name: str, extra: str, delivery: Delivery) -> Any:
    """Return the class *name* of a sink's module, which imports its driver."""
    try:
        return getattr(import_module(f"api2db.sink.{module}"), name)
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] == "api2db":
            raise  # a fault of ours: no driver mends it
        what = f"{exc.name} is not installed" if exc.name else str(exc).splitlines()[0]
        raise ConfigError(
            f"the stream {delivery.stream!r} needs a driver: {what}",
            hint=f"pip install 'api2db[{extra}]>=2'",
        ) from exc
