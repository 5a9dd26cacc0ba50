"""Which streams of ours write into a folder, and how far they are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from api2db.sink.target import Folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from api2db.app.line import Line
    from api2db.app.settings import Config


def unsent_into(config: Config, lines: Iterable[Line], folder: Path) -> float:
    """
    Return when the oldest batch was put that a stream may still write into *folder*.

    In epoch seconds; infinite if there is none. For any thread.
    """
    folder = folder.resolve()
    oldest = math.inf
    for line in lines:
        for stream, worker in line.workers.items():
            to = line.config.to[stream]
            target = config.streams[to.stream]
            if isinstance(target, Folder) and (target.path / to.table).resolve() == folder:
                oldest = min(oldest, worker.backlog.oldest_at)
    return oldest
