"""
A store at work: a source whose rows are the shards of a folder, composed.

A store is run like a collector: on its schedule, through a durable log, by one worker per
stream. What makes it a store is that shards are taken once, and put away once they have landed:

1. Some shards are read, in the order of their names, and made one composition.
2. An `Intent` that lists them is made durable.
3. Rows and the intent's id become one record of the log. Both are there, or neither is.
4. The workers land the record, exactly once where the target allows it.
5. When nothing waits any more, the shards of the standing intents are put away, each only if
   it still is what was read, and then the intent.

A crash before 3 leaves an intent without a record: it means nothing, and goes. A crash after
it leaves shards that no composition takes again.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api2db.core.errors import SourceUnavailable
from api2db.core.faults import crash_point
from api2db.core.types import names_of
from api2db.files import codec
from api2db.files.atomic import atomic_write, move
from api2db.ingest.chunk import Chunk
from api2db.ingest.form import Form
from api2db.ingest.function import Checkpoint, FunctionSource, Part

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.ingest.watermark import Value
    from api2db.store.folder import Folder, Shard
    from api2db.store.intents import Intent, Intents

logger = logging.getLogger(__name__)

#: Most rows, bytes as JSON, and shards of a composition; a larger shard is one by itself.
ROWS, BYTES, SHARDS = 50_000, 32 * 2**20, 2_000
#: Formats whose files tell the types of their columns.
_TYPED = frozenset({"parquet", "pickle"})


class Composition(FunctionSource):
    """
    The source of one store. `parts` and `retire` are never called at the same time.

    Args:
        name: Of the store.
        folder: Where the shards appear.
        intents: Where it remembers what it has taken.
        drop_duplicates: False, True (rows that are equal; the first stays) or key columns (the
            last row of each key stays); within a composition.
        ignored: With True: columns that do not tell rows apart.
        keep_shards: Where shards go that have landed; None removes them.
        keep_composed: Where compositions go, as files of the folder's format; None keeps none.
        recorded: Returns the ids of intents that the newest record of the log names.
        landed: Returns whether nothing that was put into the log waits.
        stop: Ends waits.
    """

    def __init__(
        self,
        name: str,
        folder: Folder,
        intents: Intents,
        *,
        drop_duplicates: bool | Sequence[str] = False,
        ignored: Collection[str] = (),
        keep_shards: Path | None = None,
        keep_composed: Path | None = None,
        recorded: Callable[[], Any],
        landed: Callable[[], bool],
        clock: Clock,
        stop: threading.Event,
    ) -> None:
        super().__init__(folder.path, name, clock=clock)
        self.name = name
        self.shards = folder
        self.duplicates = 0
        self._intents = intents
        self._drop = drop_duplicates
        self._ignored = frozenset(ignored)
        self._keep_shards = keep_shards
        self._keep_composed = keep_composed
        self._recorded = recorded
        self._is_landed = landed
        self._stop = stop

    def prepare(self) -> None:
        """Nothing of the user's is imported."""

    def types(self) -> dict[str, str]:
        """Return the columns of the first shard, if its format tells their types."""
        if self.shards.fmt not in _TYPED:
            return {}
        with self._edge():
            for shard in self.shards.shards(self._stop):
                found = self.shards.read(shard)
                if found is not None:
                    return names_of(found[1])
        return {}

    @contextmanager
    def _edge(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            where = f"{self.name}: {exc}"
            hint = "check the folders, their rights, and the room on their disks"
            raise SourceUnavailable(where, hint=hint) from exc

    # -- compose -----------------------------------------------------------------------

    def parts(self, mark: Any, since: Value) -> Generator[Part, None, None]:
        """
        Put away what has landed; then yield a part for each composition, until none is left.

        Raises:
            SourceUnavailable: The disk fails.
        """
        with self._edge():
            standing = self.retire()
            ids = [intent.id for intent in standing]
            taken = {shard for intent in standing for shard in intent.shards}
            waiting = [s for s in self.shards.shards(self._stop) if s not in taken]
            for shards, rows, kinds in self._compositions(waiting):
                intent = self._intents.write(shards)
                self._save(intent, rows, kinds)
                crash_point("store.after_intent")
                ids.append(intent.id)
                yield Part(rows, Checkpoint(list(ids)))
                crash_point("store.after_put")
        yield Part(Chunk([]), last=True)

    def _compositions(
        self, shards: Sequence[Shard]
    ) -> Iterator[tuple[list[Shard], Chunk, dict[str, str]]]:
        """Yield shards, their rows, as many as fit into one composition, and the first's types."""
        kinds: dict[str, str] = {}
        group: list[Shard] = []
        rows, size = Chunk([]), 0
        for shard in shards:
            found = self.shards.read(shard)
            if found is None:
                continue
            more = sum(map(len, found[0].raws))
            full = len(rows.values) + len(found[0].values) > ROWS or size + more > BYTES
            if group and (full or len(group) == SHARDS):
                yield group, self._distinct(rows), kinds
                group, rows, size = [], Chunk([]), 0
            if not group and self.shards.fmt in _TYPED:
                kinds = names_of(found[1])
            group.append(shard)
            rows.extend(found[0])
            size += more
        if group:
            yield group, self._distinct(rows), kinds

    def _distinct(self, rows: Chunk) -> Chunk:
        if self._drop is False:
            return rows
        keep: dict[bytes | int, int]
        if self._drop is True:
            raws = self._all(rows)
            keep = {raw: i for i, raw in reversed(list(enumerate(raws)))}
        else:  # a row that has no column of the key is like no other
            keep = {
                _key(row, self._drop) if not row.keys().isdisjoint(self._drop) else i: i
                for i, row in enumerate(rows.values)
            }
        dropped = len(rows.values) - len(keep)
        if not dropped:
            return rows
        self.duplicates += dropped
        logger.info("duplicates_dropped", extra={"store": self.name, "rows": dropped})
        return Chunk([rows.values[i] for i in sorted(keep.values())])

    def _all(self, rows: Chunk) -> list[bytes]:
        """Return what each row holds, but for NULL and ignored columns, in whichever order."""
        if not self._ignored and len(set(map(tuple, rows.values))) < 2:
            return rows.raws
        return [
            _key(row, sorted(k for k, v in row.items() if v is not None and k not in self._ignored))
            for row in rows.values
        ]

    def _save(self, intent: Intent, rows: Chunk, kinds: dict[str, str]) -> None:
        if self._keep_composed is None:
            return
        memory = {"columns": kinds}
        composed = Form(rows=None, columns=None, memory=memory).parse(rows).build().rows
        table = pa.Table.from_batches([composed])
        with atomic_write(self._intents.path(intent.id, self.shards.fmt)) as file:
            codec.write(table, file, self.shards.fmt)

    # -- put away ----------------------------------------------------------------------

    def retire(self) -> list[Intent]:
        """
        Put away the shards of what was put into the log, if all of it has landed.

        Returns the intents that stand, because something waits.

        Raises:
            OSError: The rest is put away another time.
        """
        standing = self._intents.standing({str(id_) for id_ in self._recorded() or ()})
        if not self._is_landed():
            return standing
        for intent in standing:
            for shard in intent.shards:
                self.shards.retire(shard, self._keep_shards)
                crash_point("store.mid_retire")
            self.shards.sync()
            composed = self._intents.path(intent.id, self.shards.fmt)
            if self._keep_composed is not None and composed.exists():
                move(composed, self._keep_composed / composed.name)
            crash_point("store.before_forget")
            self._intents.remove(intent.id)
        return []


def _key(row: dict[str, Any], keys: Collection[str]) -> bytes:
    (raw,) = Chunk([{key: row.get(key) for key in keys}]).raws
    return raw
