"""SiriDB as a target of a kill loop, stopped, or killed, and started every few seconds."""

from __future__ import annotations

import json
from collections import defaultdict
from contextlib import suppress
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from tests.fault.outages import Outages
from tests.fault.targets import Target
from tests.fixtures import siridb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The database.
DATABASE = "kill"


class SiridbTarget(Target):
    """Events by the time of their batch; the points of one instant are a row, or its doubles."""

    name = "siridb"
    tables = ("events",)
    stop: ClassVar[str] = "fast"

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.server = siridb.SiriDbServer()
        self.server.start()
        self.server.create_database(DATABASE)
        self.outages = Outages(
            lambda: self.server.stop(self.stop), self.server.start, seed + len(self.name)
        )

    @staticmethod
    def available() -> bool:
        return siridb.binaries() is not None

    def stream(self) -> str:
        auth = self.folder / "AUTH" / "siridb.json"
        auth.parent.mkdir(exist_ok=True)
        auth.touch(mode=0o600)
        login = {"username": siridb.USER, "password": siridb.PASSWORD, "dbname": DATABASE}
        auth.write_text(json.dumps({**login, "hostlist": [["127.0.0.1", self.server.port]]}))
        return "{ siridb: { auth: AUTH/siridb.json } }"

    def away(self) -> tuple[type[Exception], ...]:
        return (OSError, KeyError, RuntimeError)

    def landed(self) -> dict[str, int]:
        with suppress(*self.away()):
            query = 'select count() from "events|id"'
            (found,) = self.server.query(DATABASE, query)
            self._landed["events"] = sum(count for _, count in found.get("events|id", ()))
        return self._landed

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        (listed,) = self.server.query(DATABASE, f"list series name /^{table}\\|.*/ limit 1000")
        columns: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for (name,) in listed["series"]:
            (found,) = self.server.query(DATABASE, f'select * from "{name}"')
            column = unquote(name.split("|")[1])
            for tick, value in found[name]:
                columns[tick][column].append(value)
        for at in columns.values():
            for values in zip_longest(*at.values()):
                yield dict(zip(at, values, strict=True))

    def delete_markers(self) -> None:
        with suppress(*self.away()):
            self.server.query(DATABASE, "drop series /^_api2db_batches.*/")

    def foreign(self) -> list[str]:
        """Name every series that is neither an event's nor a note of ours."""
        (found,) = self.server.query(DATABASE, "list series name limit 1000")
        ours = ("events|", "_api2db_batches|", "_api2db_seal|")
        return [name for (name,) in found["series"] if not name.startswith(ours)]

    def close(self) -> None:
        super().close()
        self.server.destroy()


class KilledSiridbTarget(SiridbTarget):
    """
    The same, killed as by a crash each time.

    Killed while it moves a buffer into a shard, it doubles points by itself; that is rare.
    """

    name = "siridb_killed"
    stop = "immediate"
