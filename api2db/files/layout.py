"""Every path under a STORE is made here, nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: What a collector or a stream of config.yaml may be called: it becomes a folder.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
#: What one that is declared in Python may be called: a store's name has those of two.
_DECLARED = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}")
#: Folders beside those of streams; they cannot be names.
_RESERVED = re.compile(r"_[a-z]+")


class Layout:
    """The paths of one STORE. Makes names, touches nothing."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.lock = store / "LOCK"
        self.status = store / "status.json"
        self.tokens = store / "tokens"

    def spool(self, collector: str) -> Path:
        """Return the folder of a collector's durable queue."""
        return self.store / "spool" / checked(collector)

    def dead_letter(self, collector: str, stream: str) -> Path:
        """Return the folder of rows that *stream*, or the form (``_rows``), refused."""
        if not _RESERVED.fullmatch(stream):
            checked(stream)
        return self.store / "dead_letter" / checked(collector) / stream

    def spilled(self, collector: str) -> Path:
        """Return the folder of a collector's spilled batches, one folder per stream in it."""
        return self.store / "upload_failed" / checked(collector)

    @property
    def dead_letters(self) -> Path:
        """Return the folder of all dead letters."""
        return self.store / "dead_letter"

    def intents(self, store: str) -> Path:
        """Return the folder in which a store notes what it has taken."""
        return self.store / "stores" / checked(store)

    def ours(self, collector: str, stream: str) -> Path:
        """Return the note that the table of a stream, which must be new, was made by it."""
        return self.store / "tables" / checked(collector) / checked(stream)

    def responses(self, collector: str) -> Path:
        """Return the folder of response bodies that could not be used."""
        return self.dead_letter(collector, "_responses")


def is_name(name: object) -> bool:
    """Return whether a collector, or a stream, can have this name."""
    return isinstance(name, str) and _DECLARED.fullmatch(name) is not None


def checked(name: str) -> str:
    """Return *name*; raises `ConfigError` if no collector, and no stream, can have it."""
    if not is_name(name):
        raise ConfigError(
            f"{name!r} cannot be a name",
            hint="use up to 128 of a-z, A-Z, 0-9, '_', '-' and '.', beginning with a letter",
        )
    return name
