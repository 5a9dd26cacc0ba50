"""Which file a URL such as ``sqlite:///relative.db`` names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.sink.base import Delivery


def path_of(url: str, delivery: Delivery, base: Path) -> Path:
    """
    Return the file that *url* names; three slashes are relative to *base*, four absolute.

    Raises:
        ConfigError: It names none: what is not in a file cannot be kept.
    """
    scheme, _, rest = url.partition(":")
    rest = rest.partition("?")[0]
    path = unquote(rest.removeprefix("///"))
    if not rest.startswith("///") or not path or path == ":memory:":
        raise ConfigError(
            f"streams.{delivery.stream}.url: names no file",
            hint=f"write {scheme}:///relative.db or {scheme}:////absolute/path.db",
        )
    return base / path
