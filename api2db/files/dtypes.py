"""The types of a collector's columns as pandas names them, remembered in ``CACHE/`` as JSON."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from api2db.files.atomic import atomic_write, make_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

#: The streams of a collector share a file, and each has its own thread.
_turn = threading.Lock()


def remembered(name: str) -> dict[str, str] | None:
    """Return column -> dtype of the collector *name*, None before its first data."""
    path = _path(name)
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        logger.warning("dtypes_unreadable", extra={"path": str(path), "error": str(exc)})
        return None
    if isinstance(found, dict) and all(isinstance(dtype, str) for dtype in found.values()):
        return found
    logger.warning("dtypes_unreadable", extra={"path": str(path), "error": "no object of texts"})
    return None


def remember(name: str, dtypes: Mapping[str, str]) -> None:
    """
    Keep column -> dtype of the collector *name*; any thread.

    Raises:
        OSError: The disk refused; what was kept before stays.
    """
    path = _path(name)
    make_folder(path.parent)
    with _turn, atomic_write(path) as file:
        file.write(json.dumps(dict(dtypes), indent=2).encode())


def _path(name: str) -> Path:
    return Path("CACHE") / f"{name}_dtypes.json"
