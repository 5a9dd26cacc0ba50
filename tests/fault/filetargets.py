"""Targets of a kill loop that are one file: DuckDB, and files that grow."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.fault.targets import COUNTS, TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Iterator


class DuckdbTarget(Target):
    """A file in the project's folder; while the daemon has it open, a copy is read."""

    name = "duckdb"

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.path = folder / "target.duckdb"
        self._landed = (0, 0)

    def stream(self) -> str:
        return '{ url: "duckdb:///target.duckdb" }'

    def landed(self) -> tuple[int, int | None]:
        import duckdb

        with tempfile.TemporaryDirectory() as name:
            copy = Path(name) / "copy.duckdb"
            try:
                shutil.copy(self.path, copy)
                with suppress(FileNotFoundError):
                    shutil.copy(f"{self.path}.wal", f"{copy}.wal")
                with duckdb.connect(str(copy)) as connection:
                    self._landed = (
                        self._count(connection, COUNTS[0]),
                        self._count(connection, COUNTS[1]),
                    )
            except (FileNotFoundError, duckdb.Error):
                pass  # it is not there yet, or was written while it was copied
        return self._landed

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import duckdb

        with duckdb.connect(str(self.path)) as connection:
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


class UpdateTarget(Target):
    """One file that grows."""

    upserts = False

    def stream(self) -> str:
        return f"{{ local: {self.name}, fmt: {self.name}, mode: update }}"

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name / f"events.{self.name}"

    def landed(self) -> tuple[int, int | None]:
        return (sum(1 for _ in self.rows("events")) if self.path.exists() else 0), None

    def delete_markers(self) -> None:
        (self.path.parent / f".{self.path.name}.intent").unlink(missing_ok=True)

    def foreign(self) -> list[str]:
        """Name what lies beside the file, but for its intent and what a crash may leave."""
        kept = {self.path.name, f".{self.path.name}.intent", f".{self.path.name}.tmp"}
        return [path.name for path in self.path.parent.iterdir() if path.name not in kept]


class CsvTarget(UpdateTarget):
    """CSV, read with pyarrow, which tells NULL from an empty text."""

    name = "csv"

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

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        for row in json.loads(self.path.read_bytes()):
            yield row | {"details": json.dumps(row["details"])}


class PickleTarget(UpdateTarget):
    """A pickled DataFrame, read with pandas."""

    name = "pickle"

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import pandas as pd

        frame = pd.read_pickle(self.path)
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records"):
            yield {str(key): value for key, value in row.items()}


TARGETS |= {cls.name: cls for cls in (DuckdbTarget, CsvTarget, JsonTarget, PickleTarget)}
