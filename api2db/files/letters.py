"""Reading the dead letters, and taking rows out of them again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api2db.files.atomic import atomic_write, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SUFFIX = ".jsonl"
#: What a letter is called whose rows are about to be sent again.
RETRIED = ".retried"


@dataclass(frozen=True, slots=True)
class Letter:
    """
    The dead rows of one batch or page: a file of `DeadLetters`.

    Attributes:
        rows: One dict per row: ``row``, ``reason``, ``content``, and where it comes from.
        digest: 16 hex digits that say what the file holds.
    """

    path: Path
    rows: list[dict[str, Any]]
    digest: str

    @property
    def name(self) -> str:
        """The file's name, without its suffix."""
        return self.path.name.removesuffix(SUFFIX)

    def keep(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep only *rows*; without any the file goes. Durable when this returns."""
        if rows:
            with atomic_write(self.path) as file:
                for row in rows:
                    text = json.dumps(row, ensure_ascii=False)
                    file.write(text.encode("utf-8", "backslashreplace") + b"\n")
        else:
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)


def folders(root: Path) -> Iterator[tuple[str, str, Path]]:
    """
    Yield collector, stream and folder of all dead rows, in order, half sent ones too.

    Args:
        root: ``STORE/dead_letter``.
    """
    if not root.is_dir():
        return
    for collector in sorted(path for path in root.iterdir() if path.is_dir()):
        for folder in sorted(path for path in collector.iterdir() if path.is_dir()):
            if any(path.suffix in (SUFFIX, RETRIED) for path in folder.iterdir()):
                yield collector.name, folder.name, folder


def letters(folder: Path) -> Iterator[Letter]:
    """Yield the letters in *folder*, oldest first; a line that is no JSON is a row's content."""
    paths = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        raw = path.read_bytes()
        rows = [_row(line) for line in raw.decode("utf-8", "backslashreplace").splitlines()]
        yield Letter(path, rows, hashlib.sha256(raw).hexdigest()[:16])


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    return row if isinstance(row, dict) else {"reason": "the line is no letter", "content": line}
