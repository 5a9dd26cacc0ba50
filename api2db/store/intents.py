"""What a store has taken out of its folder, and not yet put away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from api2db.core.ids import new_id
from api2db.files.atomic import atomic_write, make_folder, sync_folder
from api2db.store.folder import Shard

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path


class Intent(NamedTuple):
    """
    The shards of one composition.

    Attributes:
        id: 32 hex digits, random; the composition's record in the log names it.
    """

    id: str
    shards: tuple[Shard, ...]


class Intents:
    """
    One file per composition, durable before its rows are put into the log.

    An intent whose record is in the log stands until its shards are put away; one whose
    record is not was cut off by a crash, and means nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, shards: Sequence[Shard]) -> Intent:
        """
        Make a new intent durable.

        Raises:
            OSError: There is none.
        """
        intent = Intent(new_id(), tuple(shards))
        make_folder(self.folder)
        with atomic_write(self.path(intent.id)) as file:
            file.write(json.dumps([list(shard) for shard in shards]).encode())
        return intent

    def standing(self, recorded: Collection[str]) -> list[Intent]:
        """
        Return the intents whose id is in *recorded*; the others go.

        Raises:
            OSError: The disk fails.
        """
        found = []
        for path in self._paths():
            if path.stem not in recorded:
                self.remove(path.stem)
                continue
            shards = (Shard(*entry) for entry in json.loads(path.read_bytes()))
            found.append(Intent(path.stem, tuple(shards)))
        return found

    def remove(self, id_: str) -> None:
        """Remove an intent, and what was composed of it, durably."""
        for path in self.folder.glob(f"{id_}.*"):
            if path.suffix != ".json":
                path.unlink()
        self.path(id_).unlink(missing_ok=True)
        sync_folder(self.folder)

    def path(self, id_: str, fmt: str = "json") -> Path:
        """Return the file of an intent, or of what was composed of its shards."""
        return self.folder / f"{id_}.{fmt}"

    def _paths(self) -> Iterator[Path]:
        if self.folder.is_dir():
            yield from sorted(self.folder.glob("[!.]*.json"))
