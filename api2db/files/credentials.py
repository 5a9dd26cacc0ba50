"""A file of AUTH/: the credentials of one target, which only its owner may read."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: Bits of a file's mode that let others than its owner at it.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: No file of credentials is larger, in bytes.
_CAP = 1 << 20


def read(path: Path, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, str]:
    """
    Return what stands in *path* under the keys that are asked for, without absent optional ones.

    The file is a JSON object; numbers come back as text, and ``port`` is one that can be. Keys
    that nobody asks for are left alone: files that vendors hand out have more of them.

    Raises:
        ConfigError: The file cannot be read, others can read it, it is no JSON object, or a
            key is missing, empty, or no port; the message names file and key, and never a value.
    """
    document = read_object(path)
    required = tuple(required)
    found = {}
    for key in (*required, *optional):
        value = document.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{path}: {key}: write a text")
        if value:
            found[key] = value
        elif key in required:
            what = "is empty" if key in document else "is missing"
            raise ConfigError(f"{path}: the key {key!r} {what}", hint="fill it in")
    check_port(path, found)
    return found


def check_port(where: object, found: Mapping[str, str]) -> None:
    """Raise ConfigError, about *where*, if there is a ``port`` that nothing can listen on."""
    port = found.get("port", "1")
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise ConfigError(f"{where}: port: write a number from 1 to 65535")


def read_object(path: Path) -> dict[str, object]:
    """Return the whole JSON object in *path*; raises as `read`."""
    try:
        with path.open("rb") as file:
            open_to_others = os.fstat(file.fileno()).st_mode & _OTHERS
            data = b"" if open_to_others else file.read(_CAP + 1)
    except FileNotFoundError as exc:
        hint = "copy its template from AUTH/, and fill it in"
        raise ConfigError(f"{path}: there is no such file", hint=hint) from exc
    except OSError as exc:
        hint = "it must be a file that belongs to the user that runs api2db"
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}", hint=hint) from exc
    if open_to_others:
        raise ConfigError(f"{path}: others can read it", hint=f"chmod 600 {path}")
    try:
        # No `from exc`: the parser's error holds the text, and so the secrets.
        document = json.loads(data) if len(data) <= _CAP else None
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: not JSON", hint="its template is in AUTH/") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: not a JSON object", hint="its template is in AUTH/")
    return document
