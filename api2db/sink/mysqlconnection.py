"""One connection to MariaDB or MySQL: its URL, its session, and how it is cut off."""

from __future__ import annotations

import os
import re
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pymysql
from pymysql.constants import CLIENT, COMMAND
from pymysql.protocol import OKPacketWrapper

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: Strict: a value that does not fit is an error. 0 stays 0 in an auto_increment column.
_MODE = "TRADITIONAL,NO_AUTO_VALUE_ON_ZERO"
# A transaction of a lost connection may still hold our marker's row: wait, not for ever.
# Under the default isolation the gap locks of two streams' markers would be deadlocks.
_SESSION = f"""
set session sql_mode = '{_MODE}', time_zone = '+00:00', lock_wait_timeout = 10,
  innodb_lock_wait_timeout = 10, sql_auto_is_null = 0, sql_safe_updates = 0,
  sql_notes = 1, foreign_key_checks = 1, unique_checks = 1"""
_ISOLATION = "set session transaction isolation level read committed"
_ABOUT = "select version(), @@local_infile, @@max_allowed_packet"


def _truth(value: str) -> bool:
    return value.lower() in ("1", "true", "yes")


#: What may stand behind the question mark of a URL.
_OPTIONS: dict[str, Callable[[str], object]] = {
    "unix_socket": str,
    "connect_timeout": float,
    "charset": str,
    "ssl_ca": str,
    "ssl_cert": str,
    "ssl_key": str,
    "ssl_key_password": str,
    "ssl_verify_cert": _truth,
    "ssl_verify_identity": _truth,
    "ssl_disabled": _truth,
}
#: Bytes of a packet of LOAD DATA.
_PACKET = 2**18


def settings(url: str, where: str) -> dict[str, Any]:
    """
    Return what *url* says, as arguments of `pymysql.Connection`.

    Raises:
        ConfigError: It names no database, or an option that is none.
    """
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    if not database or "/" in database:
        raise ConfigError(f"{where}: names no database", hint="write mysql://user@host/database")
    found: dict[str, Any] = {
        "host": parts.hostname or "localhost",
        "port": parts.port or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or "").encode(),
        "database": database,
    }
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS:
            options = ", ".join(_OPTIONS)
            raise ConfigError(f"{where}: unknown option {name!r}", hint=f"there are {options}")
        try:
            found[name] = _OPTIONS[name](value)
        except ValueError as exc:
            raise ConfigError(f"{where}: {name} is not a number") from exc
    return found


class Connection:
    """
    A connection in autocommit; only `interrupt` is called from another thread.

    The driver never opens a file for the server, whatever that asks for: `load` itself
    answers the one request that it expects.

    Attributes:
        mariadb: Whether the server is MariaDB, else it is MySQL.
        infile: Whether the server takes LOAD DATA LOCAL.
        packet: Most bytes of a statement.
        interrupted: Whether `interrupt` was called.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.mariadb = False
        self.infile = False
        self.packet = 0
        self.interrupted = False
        self._guard = threading.Lock()  # between `interrupt` and `close`, never held for long
        given = settings | {"charset": "utf8mb4", "autocommit": True, "defer_connect": True}
        given |= {"client_flag": CLIENT.LOCAL_FILES, "program_name": "api2db"}
        try:
            self._db: Any = pymysql.Connection(**given)
        except OSError as exc:  # a certificate that cannot be read
            raise SinkMisconfigured(f"{type(exc).__name__}: {exc}", hint="check the url") from exc

    def _connect(self) -> None:
        self._db.connect()

    def open(self) -> None:
        """Connect and prepare the session."""
        self._connect()
        self.run(_SESSION)
        self.run(_ISOLATION)
        ((version, infile, packet),) = self.run(_ABOUT)
        self.mariadb = "mariadb" in version.lower()
        self.infile = bool(infile)
        self.packet = int(packet)
        digits = re.match(r"(\d+)\.(\d+)\.(\d+)", version.removeprefix("5.5.5-"))
        least = (10, 3, 3) if self.mariadb else (8, 0, 19)
        if digits is not None and tuple(map(int, digits.groups())) < least:
            needed = f"{'MariaDB' if self.mariadb else 'MySQL'} {'.'.join(map(str, least))}"
            raise SinkMisconfigured(
                f"the server is {version}", hint=f"it must be {needed} or newer"
            )

    def run(self, query: str, *params: object) -> tuple[tuple[Any, ...], ...]:
        """Run one statement; return its rows."""
        with self._db.cursor() as cursor:
            cursor.execute(query, params or None)
            rows: tuple[tuple[Any, ...], ...] = cursor.fetchall()
            return rows

    def send(self, statement: bytes) -> None:
        """Run a statement whose values stand in it."""
        self._db.query(statement)

    def load(self, statement: str, data: Iterable[tuple[memoryview, int]]) -> tuple[int, int, int]:
        """
        Run a LOAD DATA LOCAL and send *data* as the file, parts with their numbers of rows.

        Each part is made while the server reads the one before.

        Returns:
            The rows that were sent, those that the server has made, and its warnings.

        Raises:
            pymysql.MySQLError: Also where the server does not ask for a file.
        """
        db = self._db
        db._execute_command(COMMAND.COM_QUERY, statement)
        if not db._read_packet().is_load_local_packet():
            raise pymysql.InternalError(0, "the server did not ask for the file")
        size, sent = min(_PACKET, self.packet - 1024), 0
        try:
            for part, rows in data:
                for start in range(0, len(part), size):
                    db.write_packet(part[start : start + size].tobytes())
                sent += rows
        except BaseException:
            db._force_close()  # the server must not take what was sent for all
            raise
        db.write_packet(b"")
        done: Any = OKPacketWrapper(db._read_packet())
        return sent, done.affected_rows, done.warning_count

    def interrupt(self) -> None:
        """Close the socket from outside: a server that was stopped never answers."""
        self.interrupted = True
        with self._guard:
            plain = self._fileno()
            if plain is None:
                return
            with (
                suppress(OSError, ValueError),
                socket.socket(fileno=os.dup(plain)) as duplicate,
            ):
                duplicate.shutdown(socket.SHUT_RDWR)

    def _fileno(self) -> int | None:
        plain = self._db._sock
        return None if plain is None else plain.fileno()

    def close(self) -> None:
        """Say good-bye if that can be done without waiting, and close. Idempotent."""
        with self._guard, suppress(pymysql.MySQLError, OSError):
            if self._db._sock is not None:
                self._db._write_timeout = 0.05
                self._db.close()


def missing() -> SinkUnavailable:
    """Return the error of a call without a connection."""
    return SinkUnavailable("not connected")
