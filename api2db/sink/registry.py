"""Which class writes to which kind of target; drivers are imported here, when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Method, Omnisci, Siridb

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.sink.base import Delivery, Sink
    from api2db.sink.target import Target

#: URL scheme -> module, which is the name of the extra that brings its driver, too; and class.
_SCHEMES = {
    "postgresql": ("postgresql", "PostgresSink"),
    "postgres": ("postgresql", "PostgresSink"),
    "mariadb": ("mysql", "MysqlSink"),
    "mysql": ("mysql", "MysqlSink"),
    "sqlite": ("sqlite", "SqliteSink"),
    "duckdb": ("duckdb", "DuckdbSink"),
    "oracle": ("oracle", "OracleSink"),
    "mssql": ("mssql", "MssqlSink"),
}

#: Those whose URLs may name any driver that SQLAlchemy knows; its package has the same name.
_ANY_DRIVER = ("oracle", "mssql")

#: Kind of target -> the same.
_SERVICES: dict[type, tuple[str, str]] = {
    Bigquery: ("bigquery", "BigquerySink"),
    Bitio: ("bitio", "BitioSink"),
    Omnisci: ("omnisci", "OmnisciSink"),
    Ikv: ("ikv", "IkvSink"),
    Siridb: ("siridb", "SiridbSink"),
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
    module, name = _SERVICES[type(target)]
    return _made(module, name, delivery, target)


def _database(url: str, delivery: Delivery, base: Path) -> Sink:
    scheme, _, driver = url.partition(":")[0].lower().partition("+")
    if scheme not in _SCHEMES:
        known = ", ".join(sorted(_SCHEMES.keys() - {"postgres"}))
        raise ConfigError(f"unknown kind of target {scheme!r}", hint=f"there are {known}")
    module, name = _SCHEMES[scheme]
    where = {"base": base} if module in ("sqlite", "duckdb") else {}
    package = driver if module in _ANY_DRIVER else ""
    return _made(module, name, delivery, url, package, **where)


def _made(
    module: str,
    name: str,
    delivery: Delivery,
    target: Target | str,
    package: str = "",
    **where: Path,
) -> Sink:
    """Return a sink of the class *name*; *package* brings its driver, if the extra does not."""
    try:
        cls = getattr(import_module(f"api2db.sink.{module}"), name)
        sink: Sink = cls(target, delivery, **where)
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] == "api2db":
            raise  # a fault of ours: no driver mends it
        what = f"{exc.name} is not installed" if exc.name else str(exc).splitlines()[0]
        text = f"the stream {delivery.stream!r} needs a driver: {what}"
        hint = f"pip install {package or repr(f'api2db[{module}]>=2')}"
        raise ConfigError(text, hint=hint) from exc
    return sink
