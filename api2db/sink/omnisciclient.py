"""A session with OmniSci: the calls of its Thrift service that a sink needs."""

from __future__ import annotations

import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from heavydb.common.ttypes import TDatumType, TEncodingType
from heavydb.thrift import Heavy
from heavydb.thrift.ttypes import TDBException
from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolAccelerated
from thrift.protocol.TJSONProtocol import TJSONProtocol
from thrift.transport.THttpClient import THttpClient
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TBufferedTransport, TTransportException

if TYPE_CHECKING:
    from api2db.sink.target import Omnisci

#: Seconds that a connection and a login may take; what follows is for the watchdog to cut off.
LOGIN = 30.0
#: Bytes below which a part of a call waits for what comes behind it.
SHORT = 2**16
#: A column that no table has.
NOBODY = "_api2db_nobody"
#: Whether closing, or dying, takes back what was not sent yet.
_TAKE_BACK, _SEND = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)

#: Names of types in Thrift that are others in SQL.
_NAMES = {"STR": "TEXT", "INT": "INTEGER", "BOOL": "BOOLEAN"}


class Session:
    """
    One login, made by `open`. One thread calls; `interrupt` is for any thread, at any time.

    The vendor's own `heavydb.connect` is not used: it waits for ever, and shows no socket to
    close before it has returned.

    Attributes:
        id: What the server knows the session by; who has it can act as the user.
        interrupted: Whether `interrupt` was called.

    Raises:
        OSError, TException, TDBException: Each method may, as the vendor's code does.
    """

    def __init__(self, target: Omnisci) -> None:
        self._target = target
        self._open = False
        self.id = ""
        self._transport = _Socket() if target.protocol == "binary" else _Http(target)
        self._client = Heavy.Client(*_protocols(self._transport))
        self.interrupted = False

    def open(self) -> None:
        """Connect, and log in."""
        target = self._target
        try:
            self._transport.connect(target.host, target.port)
            self.id = self._client.connect(target.username, target.password, target.db)
            self._transport.setTimeout(None)
        except BaseException:
            self.close()
            raise
        self._open = True

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement; return its rows of texts and whole numbers, none if it has none."""
        result = self._client.sql_execute(self.id, statement, True, "", -1, -1)
        columns = result.row_set.columns or []
        return list(zip(*(c.data.str_col or c.data.int_col or () for c in columns), strict=True))

    def columns(self, table: str) -> dict[str, str] | None:
        """Return a table's columns with their types in SQL, None if there is no such table."""
        try:
            found = self._client.get_table_details(self.id, table).row_desc
        except TDBException:
            # Only the words of the error tell a missing table from one without rights.
            if table in {name.lower() for name in self._client.get_tables(self.id)}:
                raise
            return None
        ours = (c for c in found if not (c.is_system or c.is_physical))
        return {c.col_name.lower(): _sql(c.col_type) for c in ours}

    def load(self, table: str, stream: memoryview) -> None:
        """Load an Arrow stream of one batch by the names of its columns: all of it or nothing."""
        self._client.load_table_binary_arrow(self.id, table, stream, True)

    def end(self, session: str) -> None:
        """End another *session*: what it has sent and the server has not begun is refused."""
        with suppress(TDBException):  # there is none
            self._client.disconnect(session)

    def settle(self, table: str) -> None:
        """
        Return when no load into *table* is under way that began before, of whatever session.

        A load shares the lock of the table's schema from its begin to its end. What renames a
        column waits for that lock to be its own, and only then finds that there is no such column.
        """
        try:
            self.query(f"alter table {table} rename column {NOBODY} to {NOBODY}_")
        except TDBException as exc:
            if not re.search(rf"{NOBODY} does not exist", exc.error_msg or ""):
                raise

    def interrupt(self) -> None:
        """Make the call under way fail."""
        self.interrupted = True
        self._transport.interrupt()

    def close(self) -> None:
        """Log out, if that takes no time, and close the connection."""
        if self._open:
            self._open = False
            with suppress(Exception):
                self._transport.setTimeout(1_000)
                self._client.disconnect(self.id)
                self._transport.part()
        self._transport.interrupt()
        with suppress(Exception):
            self._transport.close()


class _Socket(TSocket):  # type: ignore[misc]
    """The vendor's socket, which would log every refusal, and copy what it has not sent yet."""

    def connect(self, host: str, port: int) -> None:
        made = socket.create_connection((host, port), timeout=LOGIN)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # A load that nobody waits for any more shall not reach the server after all.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _TAKE_BACK)
        self.setHandle(made)

    def part(self) -> None:
        """Let the connection be closed politely: all is said."""
        self.handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SEND)

    def write(self, buff: bytes | memoryview) -> None:
        try:
            self.handle.sendall(buff)
        except (OSError, AttributeError) as exc:
            raise TTransportException(message="the connection broke", inner=exc) from exc

    def interrupt(self) -> None:
        handle = self.handle
        with suppress(OSError, AttributeError):
            handle.shutdown(socket.SHUT_RDWR)


class _Sender(TBufferedTransport):  # type: ignore[misc]
    """Keeps what is short until the end of a call, and sends what is long as it is, uncopied."""

    def __init__(self, transport: _Socket) -> None:
        super().__init__(transport)
        self._socket = transport

    def write(self, buf: bytes | memoryview) -> None:
        if len(buf) < SHORT:
            super().write(buf)
        else:
            self.flush()
            self._socket.write(buf)


class _Http(THttpClient):  # type: ignore[misc]
    """A connection for each call."""

    def __init__(self, target: Omnisci) -> None:
        super().__init__(f"{target.protocol}://{target.host}:{target.port}")
        self.setTimeout(LOGIN * 1000)

    def connect(self, host: str, port: int) -> None:
        self.open()

    def part(self) -> None:
        """Do nothing: each call has its own connection."""

    def interrupt(self) -> None:
        connection = self._THttpClient__http
        with suppress(OSError, AttributeError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _protocols(transport: _Socket | _Http) -> tuple[Any, Any]:
    """Return what answers are read with, and what calls are written with."""
    if isinstance(transport, _Http):
        protocol = TJSONProtocol(transport)
        return protocol, protocol
    # The accelerated one writes a call as a whole, so it copies a load again and again.
    reader = TBinaryProtocolAccelerated(TBufferedTransport(transport))
    return reader, TBinaryProtocol(_Sender(transport))


def _sql(type_: Any) -> str:
    """Return a type of the catalog as `create table` would have it."""
    name = str(TDatumType._VALUES_TO_NAMES[type_.type])
    name = _NAMES.get(name, name)
    if type_.is_array:
        return f"{name}[]"
    if name == "DECIMAL":
        name += f"({type_.precision},{type_.scale})"
    if name == "TIMESTAMP":
        name += f"({type_.precision})"
    if name == "TEXT":
        dictionary = type_.encoding == TEncodingType.DICT
        name += f" ENCODING DICT({type_.comp_param or 32})" if dictionary else " ENCODING NONE"
    if type_.encoding == TEncodingType.FIXED and type_.comp_param:
        name += f" ENCODING FIXED({type_.comp_param})"
    if type_.encoding == TEncodingType.DATE_IN_DAYS and type_.comp_param == 16:
        name += " ENCODING DAYS(16)"
    return name if type_.nullable else f"{name} NOT NULL"
