"""The targets of a kill loop: each sabotaged in its own way, and read by its own client."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from tests.fault.oracle import gone_back
from tests.fault.outages import Outages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


#: Where a load into a database, and the renaming of a file, can be killed.
IN_LOAD = (
    *("sink.before_marker", "sink.after_marker", "sink.mid_load"),
    *("sink.before_commit", "sink.after_commit"),
)
IN_RENAME = ("sink.before_rename", "sink.after_rename")
#: What `Target.landed` counts.
COUNTS = {
    "events": "select count(*) from events",
    "state": "select coalesce(sum(version), 0) from state",
}


class Target(ABC):
    """
    One target of the loop, a stream of its name in the configuration.

    Another one is a subclass and an entry in `TARGETS`.

    Attributes:
        tables: Which resources of the API it takes.
        daemon: Another command than ``api2db``, if it needs one.
        passes: The crash points of its sink.
        columns: Resource -> the columns that its collector must declare for this target.
    """

    name: ClassVar[str]
    tables: ClassVar[tuple[str, ...]] = ("events", "state")
    daemon: ClassVar[tuple[str, ...]] = ()
    passes: ClassVar[tuple[str, ...]] = IN_LOAD
    columns: ClassVar[dict[str, str]] = {}

    def __init__(self, folder: Path, seed: int) -> None:
        """Start what is needed; *folder* is the project's."""
        self.folder = folder
        self.outages: Outages | None = None
        self._landed = dict.fromkeys(self.tables, 0)
        self._versions: dict[Any, int] = {}

    @abstractmethod
    def stream(self) -> str:
        """Return what stands behind the stream's name in config.yaml."""

    @abstractmethod
    def landed(self) -> dict[str, int]:
        """Count events, add up versions, quickly; what was counted last if it is away now."""

    @abstractmethod
    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Read every row of *table*, by the target's own client."""

    def kept(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return what it must make of a *row* of the API."""
        return row

    @staticmethod
    def available() -> bool:
        """Return whether its server is installed."""
        return True

    @abstractmethod
    def delete_markers(self) -> None:
        """Delete the marker rows, if it is there."""

    def away(self) -> tuple[type[Exception], ...]:
        """Return what `rows` raises while it is away, or has no such table yet."""
        return (FileNotFoundError,)

    def look(self) -> list[str]:
        """Say what is older than at the last look; for when no daemon runs."""
        if "state" not in self.tables:
            return []
        try:
            versions = {row["id"]: row["version"] for row in self.rows("state")}
        except self.away():
            return []
        before, self._versions = self._versions, versions
        return gone_back(before, versions)

    def sabotage(self, longest: float) -> None:
        """Begin with outages of up to *longest* seconds, if it has any."""
        if self.outages is not None:
            self.outages.longest = longest
            self.outages.start()

    def heal(self) -> None:
        """Return when it serves again and will go on to."""
        if self.outages is not None:
            self.outages.heal()

    def foreign(self) -> list[str]:
        """Name what is there that nobody asked for."""
        return []

    def told(self) -> str:
        """Say what was done to it."""
        return f"outages={self.outages.count}" if self.outages is not None else ""

    def close(self) -> None:
        """End every process."""
        with suppress(RuntimeError):
            Target.heal(self)


class SqliteTarget(Target):
    """A file in the project's folder."""

    name = "sqlite"

    def stream(self) -> str:
        return '{ url: "sqlite:///target.db" }'

    @property
    def path(self) -> Path:
        """Return the file."""
        return self.folder / "target.db"

    def away(self) -> tuple[type[Exception], ...]:
        return (sqlite3.Error,)

    def landed(self) -> dict[str, int]:
        counts = dict.fromkeys(COUNTS, 0)
        if self.path.exists():
            uri = f"file:{self.path}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
                for table, query in COUNTS.items():
                    with suppress(sqlite3.OperationalError):
                        counts[table] = int(connection.execute(query).fetchone()[0])
        return counts

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(f'select * from "{table}"'):
                yield dict(row)

    def delete_markers(self) -> None:
        with suppress(sqlite3.Error), closing(sqlite3.connect(self.path)) as lite, lite:
            lite.execute("delete from _api2db_batches")


class ParquetTarget(Target):
    """Shards in the project's folder."""

    name = "parquet"
    tables = ("events",)
    passes = IN_RENAME

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._rows_of: dict[Path, int] = {}

    def stream(self) -> str:
        return "{ local: shards }"

    def delete_markers(self) -> None:
        """Do nothing: a shard's name is its marker."""

    def landed(self) -> dict[str, int]:
        import pyarrow.parquet as pq

        for path in (self.folder / "shards" / "events").glob("*.parquet"):
            if path not in self._rows_of:
                self._rows_of[path] = pq.read_metadata(path).num_rows
        return {"events": sum(self._rows_of.values())}

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Read every shard by itself: each may have columns and types of its own."""
        import pyarrow.parquet as pq

        for shard in sorted((self.folder / "shards" / table).glob("*.parquet")):
            yield from pq.read_table(shard, partitioning=None).to_pylist()


TARGETS: dict[str, type[Target]] = {cls.name: cls for cls in (SqliteTarget, ParquetTarget)}
