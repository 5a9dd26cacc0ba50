"""Targets of a kill loop that are one file: DuckDB, and files that grow."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tests.fault.omniscitarget import OmnisciTarget
from tests.fault.oracle import disorder, not_one_edition
from tests.fault.outages import Holder, Outages
from tests.fault.paged_api import Board
from tests.fault.servertargets import TARGETS
from tests.fault.siridbtarget import KilledSiridbTarget, SiridbTarget
from tests.fault.targets import COUNTS, IN_RENAME, Target

if TYPE_CHECKING:
    from collections.abc import Iterator


class DuckdbTarget(Target):
    """A file in the project's folder; while the daemon has it open, a copy is read."""

    name = "duckdb"

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.path = folder / "target.duckdb"
        holder = Holder("lockf", self.path)
        self.outages = Outages(holder.begin, holder.end, seed + len(self.name))

    def stream(self) -> str:
        return '{ url: "duckdb:///target.duckdb" }'

    def away(self) -> tuple[type[Exception], ...]:
        import duckdb

        return (duckdb.Error,)

    def landed(self) -> dict[str, int]:
        import duckdb

        with tempfile.TemporaryDirectory() as name:
            copy = Path(name) / "copy.duckdb"
            try:
                shutil.copy(self.path, copy)
                with suppress(FileNotFoundError):
                    shutil.copy(f"{self.path}.wal", f"{copy}.wal")
                with duckdb.connect(str(copy)) as connection:
                    self._landed = {
                        table: self._count(connection, query) for table, query in COUNTS.items()
                    }
            except (FileNotFoundError, duckdb.Error):
                pass  # it is not there yet, or was written while it was copied
        return self._landed

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import duckdb

        with duckdb.connect(str(self.path), read_only=True) as connection:
            yield from connection.sql(f'select * from "{table}"').to_arrow_table().to_pylist()

    def delete_markers(self) -> None:
        import duckdb

        with suppress(duckdb.Error), duckdb.connect(str(self.path)) as connection:
            connection.execute("delete from _api2db_batches")

    def foreign(self) -> list[str]:
        """Name every table."""
        import duckdb

        with duckdb.connect(str(self.path)) as connection:
            found = connection.execute("select table_name from duckdb_tables()").fetchall()
        return [n for (n,) in found if n not in ("events", "state", "_api2db_batches")]

    @staticmethod
    def _count(connection: Any, query: str) -> int:
        import duckdb

        try:
            return int(connection.execute(query).fetchone()[0])
        except duckdb.CatalogException:
            return 0


class FileTarget(Target):
    """One file; in an outage another process has its folder."""

    passes = IN_RENAME
    fmt: ClassVar[str]

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        holder = Holder("flock", folder / self.name)
        self.outages = Outages(holder.begin, holder.end, seed + len(self.name))

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name / f"{self.tables[0]}.{self.fmt}"

    def foreign(self) -> list[str]:
        """Name what lies beside the file, but for its intent and what a crash may leave."""
        kept = {self.path.name, f".{self.path.name}.intent", f".{self.path.name}.tmp"}
        return [path.name for path in self.path.parent.iterdir() if path.name not in kept]


class UpdateTarget(FileTarget):
    """One file that grows."""

    tables = ("events",)
    passes = ("sink.before_intent", *IN_RENAME)

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._ids: list[int] = []
        self._seen: tuple[int, ...] = ()

    def ids(self) -> list[int]:
        """Return the rows' ids; the file is read if it is another than before."""
        with suppress(FileNotFoundError):
            stat = self.path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if seen != self._seen:
                self._ids = [row["id"] for row in self.rows("events")]
                self._seen = seen
        return self._ids

    def stream(self) -> str:
        return f"{{ local: {self.name}, fmt: {self.fmt}, mode: update }}"

    def landed(self) -> dict[str, int]:
        return {"events": len(self.ids())}

    def look(self) -> list[str]:
        """Say where the rows are not in the order of the API."""
        return disorder(self.ids())

    def delete_markers(self) -> None:
        (self.path.parent / f".{self.path.name}.intent").unlink(missing_ok=True)


class CsvTarget(UpdateTarget):
    """CSV, read with pyarrow, which tells NULL from an empty text."""

    name = "csv"
    fmt = "csv"

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        import pyarrow.csv as pv

        with self.path.open(encoding="utf-8") as file:
            names = file.readline().rstrip("\n").split(",")
        found = pv.read_csv(
            self.path,
            parse_options=pv.ParseOptions(newlines_in_values=True),
            convert_options=pv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        read = {"id": int, "quantity": int, "paid": "true".__eq__}
        for row in found.to_pylist():
            yield {k: v if v is None else read.get(k, str)(v) for k, v in row.items()}


class JsonTarget(UpdateTarget):
    """JSON, read with json."""

    name = "json"
    fmt = "json"

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        for row in json.loads(self.path.read_bytes()):
            yield row | {"details": json.dumps(row["details"])}


class PickleTarget(UpdateTarget):
    """A pickled DataFrame, read with pandas."""

    name = "pickle"
    fmt = "pickle"

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import pandas as pd

        frame = pd.read_pickle(self.path)
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
            yield {str(key): value for key, value in row.items()}


class CsvReplaceTarget(FileTarget):
    """CSV that holds the last whole poll, read with csv."""

    name = "csvreplace"
    fmt = "csv"
    tables = ("board",)

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self._edition = 0

    def stream(self) -> str:
        return f"{{ local: {self.name}, fmt: csv, mode: replace }}"

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        with self.path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row | {"id": int(row["id"]), "edition": int(row["edition"])}

    def landed(self) -> dict[str, int]:
        if self.path.exists():
            self._landed = {"board": max(row["edition"] for row in self.rows("board"))}
        return self._landed

    def look(self) -> list[str]:
        """Say why the file does not hold one edition, not older than the one before."""
        if not self.path.exists():
            return []
        rows = list(self.rows("board"))
        newest = max(row["edition"] for row in rows)
        before, self._edition = self._edition, newest
        return not_one_edition(before, rows, len(Board.rows(newest)))

    def delete_markers(self) -> None:
        """Do nothing: a poll that is written again gives the same file."""


TARGETS |= {
    cls.name: cls
    for cls in (
        DuckdbTarget,
        CsvTarget,
        JsonTarget,
        PickleTarget,
        CsvReplaceTarget,
        OmnisciTarget,
        SiridbTarget,
        KilledSiridbTarget,
    )
}
