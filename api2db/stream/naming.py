"""What the streams that are declared in Python are called."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from api2db.sink.target import Bigquery, Database, Folder, Omnisci

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api2db.stream.declaration import Declaration

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
#: Longest parts of a name.
_TYPE, _PLACE = 24, 32


def names(streams: Iterable[Declaration]) -> dict[str, Declaration]:
    """
    Return each of a collector's streams by its name, in order.

    The order in which streams are declared is no part of a name: what waits for one must never
    go to another. Only those of one type and one place are told apart by a number.
    """
    found: dict[str, Declaration] = {}
    for stream in streams:
        name = base = name_of(stream)
        number = 1
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found[name] = stream
    return found


def name_of(stream: Declaration) -> str:
    """Return the name of a stream: its type, and what it leads to; ``sql.mysql.shop``."""
    place = _UNFIT.sub("-", _place(stream))[-_PLACE:].strip("-")
    return f"{stream.stream_type[:_TYPE]}.{place}".rstrip(".")


def _place(stream: Declaration) -> str:
    target = stream.target
    if isinstance(target, Database):
        return Path(unquote(urlsplit(target.url).path)).name
    if isinstance(target, Folder):
        return "-".join((target.path / stream.table).parts[-2:])
    if isinstance(target, Bigquery):
        return f"{target.dataset}-{stream.table}"
    if isinstance(target, Omnisci):
        return f"{target.db}-{stream.table}"
    return stream.table
