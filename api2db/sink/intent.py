"""Which batches a local file holds: said on disk before the file changes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from api2db.core.errors import SinkMisconfigured
from api2db.files.atomic import atomic_write, beside

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Intent:
    """
    A change of a file: ``.<file>.intent`` beside it.

    The order makes a change whole: the new file is written beside and synced, the intent is
    stored, the new file is renamed. So whatever a crash leaves, `settled` can tell whether
    the change was made.

    Attributes:
        before: Digest of the file before the change, "" if there was none.
        after: Digest of the new file.
        held: Markers of the batches that are in the file before and after the change.
        coming: Markers of those that the change brings.
    """

    before: str
    after: str
    held: tuple[str, ...]
    coming: tuple[str, ...]

    @classmethod
    def load(cls, file: Path) -> Intent | None:
        """
        Return the last intent to change *file*, None if there is none.

        Raises:
            SinkMisconfigured: It is damaged; without it nobody knows what the file holds.
            OSError: It cannot be read.
        """
        path = place(file)
        try:
            said = json.loads(path.read_bytes())
            return cls(said["before"], said["after"], tuple(said["held"]), tuple(said["coming"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as exc:
            raise SinkMisconfigured(
                f"{path} is damaged: which batches {file.name} holds is not known",
                hint="compare the file with the queue (api2db status), then remove it",
            ) from exc

    def store(self, file: Path) -> None:
        """Make this the last intent; durable when it returns, and so is what lies beside."""
        with atomic_write(place(file)) as out:
            out.write(json.dumps(asdict(self)).encode())

    def settled(self, file: Path, digest: str) -> frozenset[str]:
        """
        Return the markers of the batches that *file*, which has *digest*, holds.

        A file that is neither as before nor as after was changed by somebody else: after our
        change, unless what would have been renamed is still there.
        """
        if digest == self.after:
            return frozenset(self.held + self.coming)
        if digest == self.before:
            return frozenset(self.held)
        undone = digest_of(beside(file)) == self.after
        return frozenset(self.held if undone else self.held + self.coming)


def place(file: Path) -> Path:
    """Return where the intent to change *file* lies."""
    return file.with_name(f".{file.name}.intent")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, "" if there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
