"""
mysqlclient and MariaDB's connector, in the place of PyMySQL, where a URL names them.

Both wrap the C library, whose LOAD DATA LOCAL would open any file that the server asks for; so
it stays off, and rows go in as INSERTs. Their errors become PyMySQL's of the same class and
number: what they mean is written in one place, `mysqlerrors`.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pymysql

from api2db.core.errors import ConfigError
from api2db.sink.mysqlconnection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Name in a URL -> module that is imported, extra that brings it.
DRIVERS = {"mysqldb": ("MySQLdb", "mysqlclient"), "mariadbconnector": ("mariadb", "mariadb")}
#: Options of ours that both take under the same name.
_SAME = ("host", "port", "user", "database", "unix_socket")
#: Seconds to connect in: nobody can cut off a driver that has no socket yet.
_PATIENCE = 10


def connector(driver: str, where: str) -> Callable[[dict[str, Any]], Connection]:
    """
    Return what makes connections by the driver that a URL names; none means PyMySQL.

    Raises:
        ConfigError: The driver is unknown, or not installed.
    """
    if driver in ("", "pymysql"):
        return Connection
    if driver not in DRIVERS:
        there = ", ".join(["pymysql", *DRIVERS])
        raise ConfigError(f"{where}: unknown driver {driver!r}", hint=f"there are {there}")
    module, extra = DRIVERS[driver]
    try:
        found = import_module(module)
    except ImportError as exc:
        hint = f"pip install 'api2db[{extra}]>=2', or leave out +{driver} for PyMySQL"
        raise ConfigError(f"{where}: {exc}", hint=hint) from exc
    return partial(Mysqlclient if driver == "mysqldb" else MariadbConnector, found)


class _DbApi(Connection):
    """As `Connection`, by a driver of the DB-API whose placeholders are ``%s``."""

    def __init__(self, driver: Any, settings: dict[str, Any]) -> None:
        self.mariadb = self.infile = self.interrupted = False
        self.packet = 0
        self._guard = threading.Lock()
        self._driver = driver
        self._settings = settings
        if "ssl_key_password" in settings:
            raise ConfigError("ssl_key_password: only PyMySQL has it", hint="leave out +driver")
        self._db: Any = None
        self._socket: int | None = None  # a driver that is at work tells nobody its number

    def _fileno(self) -> int | None:
        return self._socket

    def _arguments(self) -> dict[str, Any]:
        """Return what the driver is to connect with."""
        given = {key: self._settings[key] for key in _SAME if key in self._settings}
        given["password"] = self._settings["password"].decode()
        given["connect_timeout"] = int(self._settings.get("connect_timeout", _PATIENCE))
        return given

    def _connect(self) -> None:
        with self._errors():
            self._db = self._driver.connect(**self._arguments())
        self._socket = self._number()

    def open(self) -> None:
        """Connect and prepare the session."""
        super().open()
        self.infile = False

    def run(self, query: str, *params: object) -> tuple[tuple[Any, ...], ...]:
        """Run one statement; return its rows."""
        with self._errors():
            cursor = self._db.cursor()
            try:
                cursor.execute(query, params or None)
                return tuple(cursor.fetchall()) if cursor.description else ()
            finally:
                cursor.close()

    def close(self) -> None:
        """Close, without a word to the server: it may hang. Idempotent."""
        with self._guard:
            db, self._db, self._socket = self._db, None, None
        if db is not None:
            with suppress(self._driver.Error, OSError):
                db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise the driver's errors as PyMySQL's: the classes have the names of the DB-API."""
        try:
            yield
        except self._driver.Error as exc:
            number, text = self._said(exc)
            kind = getattr(pymysql.err, type(exc).__name__, pymysql.MySQLError)
            raise kind(number, text) from exc

    def _number(self) -> int:
        raise NotImplementedError

    def _said(self, exc: Exception) -> tuple[int, str]:
        number = exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0
        return number, str(exc.args[-1]) if exc.args else ""


class Mysqlclient(_DbApi):
    """By mysqlclient."""

    def _arguments(self) -> dict[str, Any]:
        given, settings = super()._arguments(), self._settings
        files = {name: settings.get(f"ssl_{name}") for name in ("ca", "cert", "key")}
        if any(files.values()):
            given["ssl"] = {name: file for name, file in files.items() if file}
        if settings.get("ssl_disabled"):
            given["ssl_mode"] = "DISABLED"
        elif settings.get("ssl_verify_cert") or settings.get("ssl_verify_identity"):
            given["ssl_mode"] = "VERIFY_IDENTITY"
        return given | {"charset": "utf8mb4", "autocommit": True, "local_infile": 0}

    def send(self, statement: bytes) -> None:
        """Run a statement whose values stand in it."""
        with self._errors():
            self._db.query(statement)
            self._db.store_result()

    def _number(self) -> int:
        return int(self._db.fileno())


class MariadbConnector(_DbApi):
    """By MariaDB's own connector."""

    def _arguments(self) -> dict[str, Any]:
        given, settings = super()._arguments(), self._settings
        given |= {k: settings[k] for k in ("ssl_ca", "ssl_cert", "ssl_key") if k in settings}
        if settings.get("ssl_verify_cert") or settings.get("ssl_verify_identity"):
            given["ssl_verify_cert"] = True
        return given | {"autocommit": True, "local_infile": False}

    def send(self, statement: bytes) -> None:
        """Run a statement whose values stand in it; a cursor would look for placeholders."""
        with self._errors():
            # It takes the statement for ended at a NUL, which is in values only.
            self._db._execute_command(statement.replace(b"\0", b"\\0").decode())
            self._db._read_response()

    def _said(self, exc: Exception) -> tuple[int, str]:
        return int(getattr(exc, "errno", 0) or 0), str(getattr(exc, "errmsg", None) or exc)

    def _number(self) -> int:
        number: int = self._db.socket.detach()  # it would close what is not its own
        return number
