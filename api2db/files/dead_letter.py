"""Rows and bodies that cannot land: kept on disk, each with its reason."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from api2db.core.batch import DeadRow
from api2db.files.atomic import atomic_write, make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: Bodies kept per collector, and the most bytes kept of each.
BODIES = 100
BODY_BYTES = 4 * 2**20


class DeadLetters:
    """
    The dead rows of one collector and stream, one JSON Lines file per batch or page.

    A file is written whole and renamed into place, so that a replay of the same batch
    replaces it and doubles nothing. Not thread-safe: one thread owns a folder.

    Args:
        hide: Takes secrets out of a reason; the rows stay as they are, to be sent again.
    """

    def __init__(self, folder: Path, hide: Callable[[str], str] = str) -> None:
        self._folder = folder
        self._hide = hide

    def put(self, name: str, rows: Sequence[DeadRow], **origin: str | float) -> int:
        """
        Keep *rows*; durable when this returns. Return how many more are kept than before.

        Args:
            name: The same for every replay of the same batch or page.
            rows: The rows, each with its reason.
            origin: What every line repeats, such as the batch's id and the time.

        Raises:
            OSError: Nothing was kept.
        """
        lines = (
            json.dumps(
                {
                    **origin,
                    "row": row.row,
                    "reason": self._hide(row.reason),
                    "content": row.content,
                },
                ensure_ascii=False,
                default=str,
            )
            for row in rows
        )
        make_folder(self._folder)
        path = self._folder / f"{name}.jsonl"
        before = _lines(path) if path.exists() else 0
        with atomic_write(path) as file:
            for line in lines:
                file.write(line.encode("utf-8", "backslashreplace") + b"\n")
        return len(rows) - before

    def known(self, name: str, batch: str) -> list[DeadRow]:
        """
        Return the rows that are kept of *batch*, under *name*.

        Raises:
            OSError: The disk fails.
        """
        try:
            raw = (self._folder / f"{name}.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        found = []
        for line in raw.splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a person may have changed it
                row = json.loads(line)
                if row["batch"] == batch:
                    found.append(DeadRow(int(row["row"]), row["reason"], row["content"]))
        return found

    def names(self) -> frozenset[str]:
        """Return the names under which something is kept."""
        return frozenset(path.stem for path in self._folder.glob("[!.]*.jsonl"))

    def count(self) -> int:
        """Return how many rows are kept. Reads the files."""
        return sum(_lines(path) for path in self._folder.glob("*.jsonl"))


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


class DeadBodies:
    """
    Response bodies that could not be used, the newest `BODIES`, for a person to look at.

    Named by content, so that an API that repeats its mistake fills nothing.
    """

    def __init__(self, folder: Path, hide: Callable[[str], str] = str) -> None:
        self._folder = folder
        self._hide = hide

    def put(self, body: bytes, reason: str) -> Path:
        """
        Keep the first `BODY_BYTES` of *body*, and *reason* beside it; return its path.

        Raises:
            OSError: It could not be kept.
        """
        make_folder(self._folder)
        path = self._folder / f"{hashlib.sha256(body).hexdigest()[:16]}.body"
        with atomic_write(path) as file:
            file.write(body[:BODY_BYTES])
        with atomic_write(path.with_suffix(".reason")) as file:
            told = f"{self._hide(reason)}\n{len(body)} bytes\n"
            file.write(told.encode("utf-8", "backslashreplace"))
        kept = sorted(self._folder.glob("*.body"), key=lambda p: p.stat().st_mtime_ns)
        for old in kept[:-BODIES]:
            old.with_suffix(".reason").unlink(missing_ok=True)
            old.unlink(missing_ok=True)
        return path
