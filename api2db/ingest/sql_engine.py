"""A database to read from: its engine, its read-only sessions, its errors in our words."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    InterfaceError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.pool import QueuePool

from api2db.core.errors import ConfigError, SourceUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: How long a connection may take to be made, in seconds.
CONNECT = 10
#: How much longer than `timeout` a server may take to say that it has given up, in seconds.
GRACE = 5.0
#: The driver that a URL means which names none, and the extra that brings it.
_DRIVERS = {
    "postgresql": ("psycopg", "postgresql"),
    "postgres": ("psycopg", "postgresql"),
    "mysql": ("pymysql", "mysql"),
    "mariadb": ("pymysql", "mysql"),
}
#: Said to every new connection: nothing is ever written, and times are UTC.
_READ_ONLY = {
    "postgresql": ("set session characteristics as transaction read only",),
    "mysql": ("set session transaction read only", "set time_zone = '+00:00'"),
    "mariadb": ("set session transaction read only", "set time_zone = '+00:00'"),
    "sqlite": ("pragma query_only = on",),
}


def make_engine(url: str, folder: Path, *, timeout: float) -> Engine:
    """
    Return an engine of one connection; nothing is connected.

    Args:
        url: Any SQLAlchemy URL; without a driver, psycopg and PyMySQL are taken.
        folder: Where a relative path of SQLite begins.
        timeout: Longest wait for an answer, where the driver knows such a thing, in seconds.

    Raises:
        ConfigError: The URL cannot be used, or its driver is missing.
    """
    parsed = _parsed(url, folder)
    backend, _, driver = parsed.drivername.partition("+")
    given: dict[str, Any] = {}
    if driver in ("psycopg", "psycopg2", "pymysql", "mysqldb"):
        given["connect_timeout"] = CONNECT
    if driver == "pymysql":
        given["read_timeout"] = timeout
    if backend == "sqlite":
        given["timeout"] = timeout
        given["check_same_thread"] = False  # one thread at a time; `close` may be another
    try:
        engine = create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            connect_args={k: v for k, v in given.items() if k not in parsed.query},
            hide_parameters=True,
        )
    except (ModuleNotFoundError, NoSuchModuleError) as exc:
        _, extra = _DRIVERS.get(backend, ("", ""))
        hint = f"install the package with the SQLAlchemy dialect {backend!r} beside api2db"
        if extra:
            hint = f"pip install 'api2db[{extra}]>=2'"
        raise ConfigError(f"sql: no driver for {parsed.drivername}: {exc}", hint=hint) from exc
    except (ArgumentError, TypeError) as exc:
        raise ConfigError(f"sql: {_line(exc)}", hint="check the URL") from exc
    statements = _READ_ONLY.get(engine.dialect.name)
    if statements is not None:
        event.listen(engine, "connect", lambda raw, _: _tell(raw, statements))
    return engine


def _parsed(url: str, folder: Path) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as exc:  # the message would show the URL
        raise ConfigError("sql: not a SQLAlchemy URL", hint="as in postgresql://u@h/db") from exc
    backend, plus, _ = parsed.drivername.partition("+")
    if not plus and backend in _DRIVERS:
        backend = "postgresql" if backend == "postgres" else backend
        parsed = parsed.set(drivername=f"{backend}+{_DRIVERS[backend][0]}")
    if backend == "sqlite" and parsed.database and not parsed.database.startswith((":", "file:")):
        parsed = parsed.set(database=str(folder / parsed.database))
    return parsed


def _tell(raw: Any, statements: tuple[str, ...]) -> None:
    cursor = raw.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()
    with suppress(Exception):
        raw.commit()


def shown(engine: Engine) -> str:
    """Return which database this is, without user, password and options."""
    url = engine.url
    where = f"{url.host or ''}{f':{url.port}' if url.port else ''}/{url.database or ''}"
    return f"{url.get_backend_name()}://{where}"


def present(engine: Engine) -> None:
    """Raise SourceUnavailable for a file of SQLite that is not there: it would be made."""
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path.startswith((":", "file:")):
        return
    if not Path(path).is_file():
        raise SourceUnavailable(f"{shown(engine)}: there is no such file", hint="check 'sql'")


def limit(connection: Connection, timeout: float) -> None:
    """Have the server end each statement of this transaction after *timeout* seconds."""
    if connection.dialect.name == "postgresql":
        milliseconds = max(1, round(timeout * 1000))
        connection.exec_driver_sql(f"set local statement_timeout = {milliseconds}")


def interrupt(connection: Connection) -> None:
    """Break off what a connection waits for, from another thread: its socket is shut down."""
    raw: Any = getattr(connection.connection, "driver_connection", None)
    with suppress(Exception):
        if hasattr(raw, "fileno"):
            with socket.socket(fileno=os.dup(raw.fileno())) as doubled:
                doubled.shutdown(socket.SHUT_RDWR)
        elif hasattr(raw, "_sock"):
            raw._sock.shutdown(socket.SHUT_RDWR)
        elif hasattr(raw, "interrupt"):
            raw.interrupt()


def passing(error: SQLAlchemyError) -> bool:
    """Return whether a second try may succeed at once: the connection broke, or was refused."""
    broken = isinstance(error, (OperationalError, InterfaceError))
    return broken and not _late(_line(getattr(error, "orig", None) or error))


def unavailable(where: str, error: SQLAlchemyError, timeout: float) -> SourceUnavailable:
    """Return *error* in our words: what the driver says, without statement and values."""
    text = _line(getattr(error, "orig", None) or error)
    hint = None
    lower = text.lower()
    if _late(text):
        hint = f"no page within {timeout:g} s: index the columns of 'since' and 'key', ask for"
        hint += " smaller pages by 'page_size', or raise 'timeout'"
    elif "permission denied" in lower or "command denied" in lower:
        hint = "grant select to this user"
    elif "password" in lower or "access denied" in lower:
        hint = "check user and password in 'sql'"
    elif "refused" in lower or "can't connect" in lower:
        hint = "is the database running, and reachable from here?"
    return SourceUnavailable(f"{where}: {text}", hint=hint)


def _late(text: str) -> bool:
    """Return whether a message says that a statement took too long."""
    return any(word in text.lower() for word in ("statement timeout", "timed out", "interrupted"))


def _line(error: BaseException) -> str:
    """Return the first line of a driver's message."""
    args: tuple[Any, ...] = error.args
    message = args[1] if len(args) == 2 and isinstance(args[0], int) else error
    lines = str(message).strip().splitlines()
    return lines[0] if lines else type(error).__name__
