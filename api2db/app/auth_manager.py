"""Reads files of AUTH/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api2db.files.credentials import read_object


def auth_manage(path: str) -> dict[str, Any] | None:
    """
    Return the credentials in *path*, None if there is no such file.

    Raises:
        ConfigError: Others can read it, or it is no JSON object. It never shows a value.
    """
    file = Path(path)
    return read_object(file) if file.is_file() else None
