"""What a declared stream logs in with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.files import credentials

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


def login(
    name: str,
    auth_path: str | None,
    given: Mapping[str, object],
    optional: Collection[str] = (),
) -> dict[str, str]:
    """
    Return what is given, and what is not as the file *auth_path* has it.

    Args:
        name: The collector, for people.
        given: A value, or None, for each key that is asked for.
        optional: Those of the keys that may be missing.

    Raises:
        ConfigError: The file cannot be used, or a key is missing; it never shows a value.
    """
    found = {key: str(value) for key, value in given.items() if value is not None}
    missing = [key for key in given if key not in found and key not in optional]
    if auth_path is not None:
        found = credentials.read(Path(auth_path), missing, optional) | found
    elif missing:
        raise ConfigError(
            f"{name}: {', '.join(missing)} missing", hint="give it here, or auth_path"
        )
    credentials.check_port(name, found)
    return found
