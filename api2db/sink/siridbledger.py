"""The ledger of a delivery: a series of texts that says which batches were about to be written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from api2db.sink.siridbname import escape, quote
from api2db.sink.siridbpackage import Column

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from api2db.core.batch import Batch
    from api2db.sink.base import Delivery
    from api2db.sink.siridbclient import Client

#: First part of the names of our own series.
LEDGER = "_api2db_batches"
SEAL = "_api2db_seal"
#: Entries of a ledger without a batch that could be sent again, after which it is dropped.
WORN = 1_000

#: Series -> points, each with how often it was there.
Base = dict[str, list[tuple[int, Any, int]]]


@dataclass(slots=True)
class Intent:
    """
    A batch that was about to be written.

    Attributes:
        base: Points equal to some of the batch that were there before it.
    """

    base: Base = field(default_factory=dict)


class Ledger:
    """
    What was said before each insert, so that a batch of unknown outcome can be completed.

    SiriDB removes no single points: what is forgotten is said in a later entry, and the series
    is dropped once nothing in it counts. The server keeps what it wrote last in its own memory,
    and loses that if it is killed; `insert` makes it write that down, by a point of no meaning.

    Attributes:
        intents: By batch, of those that could be sent again.
    """

    def __init__(self, client: Client, delivery: Delivery) -> None:
        self._client = client
        parts = (delivery.spool, delivery.collector, delivery.stream)
        self.name = "|".join((LEDGER, *map(escape, parts)))
        self._seal = "|".join((SEAL, *map(escape, parts)))
        self.intents: dict[str, Intent] = {}
        self._entries = 0
        self._tick = 0

    def read(self) -> None:
        """Read what earlier lives have written."""
        self.intents, self._entries, self._tick = {}, 0, 0
        if self._client.listed([self.name]):
            self._take(self._client.all(self.name))

    def _take(self, points: Iterable[Sequence[Any]]) -> None:
        for tick, text in points:
            self._tick = tick
            self._entries += 1
            entry = json.loads(text)
            for id_ in entry.get("forget", ()):
                self.intents.pop(id_, None)
            if "batch" in entry:
                base = {name: [tuple(p) for p in known] for name, known in entry["base"].items()}
                self.intents[entry["batch"]] = Intent(base)

    def add(
        self, batches: Sequence[Batch], base: Mapping[str, Base], forget: Collection[str]
    ) -> None:
        """Say that *batches*, with what is there already, will be written; and *forget* others."""
        known = [id_ for id_ in forget if id_ in self.intents]
        if len(known) == len(self.intents) and self._entries >= WORN:
            self._drop()
            known = []
        entries: list[dict[str, Any]] = [{"forget": known}] if known else []
        entries += [{"batch": b.id, "base": base.get(b.id, {})} for b in batches]
        if not entries:
            return
        if batches:
            self._tick = max(self._tick, batches[-1].timestamp_ns // self._client.unit)
        texts = {self.name: Column.of([(self._tick, _text(entry)) for entry in entries])}
        self._client.insert(texts, {} if self._entries else self._last())
        self._entries += len(entries)
        for id_ in known:
            del self.intents[id_]
        for batch in batches:
            self.intents[batch.id] = Intent(base.get(batch.id, {}))

    def forget(self, ids: Collection[str]) -> None:
        """Forget *ids*."""
        if set(ids) >= set(self.intents):
            if self._entries:
                self._drop()
        else:
            self.add([], {}, ids)

    def insert(self, points: Mapping[str, Column]) -> None:
        """Insert *points*, if any, and make the server write down what it has taken so far."""
        self._client.insert(points, self._last())

    def _last(self) -> dict[str, Column]:
        return {self._seal: Column.of([(self._tick, 0)], int)}

    def _drop(self) -> None:
        self._client.query(f"drop series {quote(self.name)}, {quote(self._seal)}")
        self.intents, self._entries = {}, 0


def _text(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=True, separators=(",", ":"))
