"""What the streams that are declared in Python are called."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, assert_never
from urllib.parse import unquote, urlsplit

from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Method, Omnisci, Siridb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api2db.stream.declaration import Declaration

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
#: Longest parts of a name.
_TYPE, _SHOWN, _DIGEST = 24, 25, 6


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
    """
    Return the name of a stream: its type, what it leads to, and a digest of where exactly.

    Such as ``sql.mysql.shop-1c9f04``, for two hosts may have a database of one name. Users,
    passwords and options are no part of it: they may change.
    """
    shown, *exactly = _place(stream)
    place = _UNFIT.sub("-", shown)[-_SHOWN:].strip("-")
    if exactly:
        digest = sha256("\0".join(exactly).encode()).hexdigest()[:_DIGEST]
        place = f"{place}-{digest}".strip("-")
    return f"{stream.stream_type[:_TYPE]}.{place}".rstrip(".")


def _place(stream: Declaration) -> tuple[str, ...]:
    """Return what is shown of where a stream leads; and what tells it from all other places."""
    target, table = stream.target, stream.table
    if isinstance(target, Database):
        parts = urlsplit(target.url)
        host = parts.netloc.rpartition("@")[2]
        return Path(unquote(parts.path)).name, host, parts.path, parts.query
    if isinstance(target, Folder):
        whole = target.path / table
        return "-".join(whole.parts[-2:]), str(whole)
    if isinstance(target, Bigquery):
        return f"{target.dataset}-{table}", target.project
    if isinstance(target, Omnisci):
        return f"{target.db}-{table}", target.host, str(target.port)
    if isinstance(target, Bitio):
        return target.database, target.host, str(target.port)
    if isinstance(target, Siridb):
        return target.database, *map(str, target.hosts[0])
    if isinstance(target, Ikv):
        return target.store_name, target.account_id, target.endpoint
    if target is None or isinstance(target, Method):
        return (table,)
    assert_never(target)
