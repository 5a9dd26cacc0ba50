"""The stand-in for OmniSci as a target of a kill loop, killed behind a proxy that cuts at loads."""

from __future__ import annotations

import json
import logging
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from tests.fault.outages import Outages
from tests.fault.proxy import Frontend, Proxy
from tests.fault.targets import Target
from tests.fixtures import heavydb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATABASE = "heavyai"
#: Most seconds that one load in four takes: an attempt after a cut comes while it is under way.
SLOW = 2.0
_LOAD = b"load_table_binary_arrow"
#: Of a type of Thrift's -> bytes of a value.
_FIXED = {2: 1, 8: 4}
_TEXT, _STOP = 11, 0


class ThriftFrontend(Frontend):
    """The same for a client of HeavyDB: a load is its COMMIT."""

    def _start(self) -> tuple[bytes, bool] | None:
        self._started = True
        return self._message()

    def _message(self) -> tuple[bytes, bool] | None:
        end = self._end()
        if end is None:
            return None
        message, self._buffer = self._buffer[:end], self._buffer[end:]
        return message, message[8 : 8 + len(_LOAD)] == _LOAD

    def _end(self) -> int | None:
        """Return where the call ends that the buffer begins with, None if it is not there yet."""
        data = self._buffer
        at = 4 + 4 + int.from_bytes(data[4:8]) + 4  # version, name, number
        while at < len(data):
            kind, at = data[at], at + 1
            if kind == _STOP:
                return at
            at += 2  # the field's number
            at += 4 + int.from_bytes(data[at : at + 4]) if kind == _TEXT else _FIXED[kind]
        return None


class LoadProxy(Proxy):
    """A proxy that above all leaves the server alone with a load."""

    every = (1, 3)
    weights = (2, 6, 1)


class OmnisciTarget(Target):
    """Events of declared columns, for none is widened; read by the vendor's client."""

    name = "omnisci"
    tables = ("events",)
    columns: ClassVar[dict[str, str]] = {
        "events": "id: int, updated_at: datetime, kind: str, amount: float, quantity: int,"
        " paid: bool, details: json, note: str"
    }

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        logging.getLogger("thrift").setLevel(logging.CRITICAL)  # that it is away is no news
        self.server = heavydb.HeavydbServer(lasting=True, slow=SLOW)
        self.server.start()
        seed += len(self.name)
        self.proxy = LoadProxy(self.server.port, seed, ThriftFrontend)
        self.outages = Outages(lambda: self.server.stop("immediate"), self.server.start, seed)

    @staticmethod
    def available() -> bool:
        return heavydb.binaries() is not None

    def stream(self) -> str:
        auth = self.folder / "AUTH" / "omnisci.json"
        auth.parent.mkdir(exist_ok=True)
        auth.touch(mode=0o600)
        login = {"username": heavydb.USER, "password": heavydb.PASSWORD}
        auth.write_text(json.dumps({**login, "host": "127.0.0.1", "port": self.proxy.port}))
        return f"{{ omnisci: {{ db: {DATABASE}, auth: AUTH/omnisci.json }} }}"

    def away(self) -> tuple[type[Exception], ...]:
        from heavydb import Error
        from thrift.Thrift import TException

        return (Error, TException, OSError)

    def _query(self, query: str) -> list[dict[str, Any]]:
        with self._connected() as connection, closing(connection.execute(query)) as cursor:
            names = [column.name.removesuffix("_t") for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        try:
            connection = self.server.client(DATABASE)
        except ValueError as exc:  # the vendor's word for a login that broke
            raise ConnectionError(str(exc)) from exc
        try:
            yield connection
        finally:
            with suppress(*self.away()):
                heavydb.close(connection)

    def landed(self) -> dict[str, int]:
        with suppress(*self.away()):
            ((count,),) = (r.values() for r in self._query("select count(*) from events_stream"))
            self._landed["events"] = count
        return self._landed

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        for row in self._query(f"select * from {table}_stream"):
            del row["_api2db_batch"]
            yield row

    def kept(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: None if value == "" else value for name, value in row.items()}

    def delete_markers(self) -> None:
        with suppress(*self.away()):
            self._query("update events_stream set _api2db_batch = NULL")

    def heal(self) -> None:
        super().heal()
        self.proxy.cutting = False

    def foreign(self) -> list[str]:
        """Name every other table."""
        with self._connected() as connection:
            found = connection._client.get_tables(connection._session)
        return [name for name in found if name != "events_stream"]

    def told(self) -> str:
        return f"{super().told()} loads={self.proxy.commits} cuts={self.proxy.cuts}"

    def close(self) -> None:
        super().close()
        self.proxy.close()
        self.server.destroy()
