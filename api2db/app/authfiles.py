"""What a configuration takes from files of AUTH/: targets, and credentials of collectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.app.mistakes import at
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.document import Document
    from api2db.app.model import RootModel
    from api2db.ingest.auth import Auth, OAuth2
    from api2db.sink.target import Target

#: Line and text of what is wrong.
Problems = list[tuple[int, str]]


def targets_of(
    model: RootModel, folder: Path, document: Document, problems: Problems
) -> dict[str, Target]:
    """Return what each stream leads to; what is wrong with its file of AUTH/ joins *problems*."""
    found = {}
    for name, stream in model.streams.items():
        try:
            found[name] = stream.target(folder)
        except ConfigError as exc:
            problems.append(at(document, ("streams", name), str(exc)))
    return found


def credentials_of(
    model: RootModel, folder: Path, document: Document, problems: Problems
) -> dict[str, Auth | OAuth2]:
    """Return the credential of each collector that has one; the same of what is wrong."""
    found = {}
    for name, collector in model.collectors.items():
        if collector.auth is None:
            continue
        try:
            found[name] = collector.auth.credential(folder)
        except ConfigError as exc:
            own = "auth" in document.value["collectors"][name]
            place = ("collectors", name, "auth") if own else ("defaults", "auth")
            problems.append(at(document, place, str(exc)))
    return found
