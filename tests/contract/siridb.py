"""SiriDB under the contract: rows are put together again from the points of a table's series."""

from __future__ import annotations

import json
import re
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from api2db.sink.registry import make_sink
from api2db.sink.siridbledger import LEDGER
from api2db.sink.siridbname import quote, table_pattern
from api2db.sink.target import Siridb
from tests.contract.backends import Backend
from tests.fixtures.siridb import PASSWORD, USER, SiriDbServer

if TYPE_CHECKING:
    from api2db.sink.base import Delivery, Sink

_NO_CHANGE = "SiriDB neither changes nor removes a point"


class SiridbBackend(Backend):
    """A database of its own on the session's server; points have nanoseconds."""

    name = "siridb"
    cannot: ClassVar[dict[str, str]] = {
        "upsert": _NO_CHANGE,
        "replace": _NO_CHANGE,
        "widening": "a series keeps its type; wider numbers go into a series beside it",
        "ddl": "SiriDB has no statement that makes a table or a column",
    }

    def __init__(self, server: SiriDbServer, **target: Any) -> None:
        self.server = server
        self.database = f"d{uuid.uuid4().hex[:12]}"
        self.target = target
        server.create_database(self.database, target.pop("precision", "ns"))

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        where = (("127.0.0.1", self.server.port),)
        target = Siridb(where, self.database, USER, PASSWORD, **self.target)
        return make_sink(target, delivery, base=self.server.folder)

    def query(self, query: str) -> Any:
        """Return the answer to *query*."""
        return self.server.query(self.database, query)[0]

    def names(self, table: str = "t") -> list[str]:
        """Return the names of the series of *table*, in the order in which they were made."""
        found = self.query(f"list series name {table_pattern(table)} limit 10000")["series"]
        return [name for (name,) in found]

    def series(self, table: str = "t") -> dict[str, list[list[Any]]]:
        """Return the points of all series of *table*."""
        names = self.names(table)
        if not names:
            return {}
        answers = self.server.query(
            self.database, *(f"select * from {quote(name)}" for name in names)
        )
        return {name: answer[name] for name, answer in zip(names, answers, strict=True)}

    def rows(self, table: str = "t") -> list[dict[str, Any]]:
        """Return all rows: points of one instant with the same tags are one; columns by name."""
        rows: dict[tuple[int, tuple[str, ...]], dict[str, Any]] = defaultdict(dict)
        columns: set[str] = set()
        for name, points in self.series(table.replace('""', '"')).items():
            parts = name.split("|")[1:]
            tags = tuple(part for part in parts if "=" in part)
            column = unquote(next(part for part in parts if "=" not in part))
            columns.add(column)
            for tick, value in points:
                assert column not in rows[tick, tags], "two values of a row"
                rows[tick, tags][column] = value
        names = sorted(columns)
        return [{column: rows[key].get(column) for column in names} for key in sorted(rows)]

    def execute(self, statement: str) -> None:
        """Drop a table: all its series."""
        found = re.fullmatch(r"drop table (\w+)", statement)
        assert found is not None
        self.query(f"drop series {table_pattern(found[1])}")

    def markers(self) -> list[str]:
        """Return the batches that the ledgers know."""
        known: set[str] = set()
        for points in self.series(LEDGER).values():
            for _, text in points:
                entry = json.loads(text)
                known -= set(entry.get("forget", ()))
                known |= {entry["batch"]} if "batch" in entry else set()
        return sorted(known)
