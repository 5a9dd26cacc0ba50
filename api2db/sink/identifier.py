"""Names of columns and tables in a target: quoted, never cut off silently."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from api2db.core.errors import SinkMisconfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def quote(name: str) -> str:
    """
    Return *name* as a quoted SQL identifier; a name is data, never SQL.

    Raises:
        SinkMisconfigured: It is empty or holds NUL.
    """
    if not name or "\0" in name:
        raise SinkMisconfigured(f"{name!r} cannot be the name of a table", hint="choose another")
    return '"' + name.replace('"', '""') + '"'


def fitted(name: str, limit: int) -> str:
    """
    Return *name* if a target can hold it, else a name made from it and its hash.

    PostgreSQL cuts names off at 63 bytes, so two long ones could become one. The result
    depends on *name* alone: it is the same in every process and for every order of arrival.

    Args:
        limit: Most bytes of a name, in UTF-8.
    """
    encoded = name.encode()
    if name and "\0" not in name and len(encoded) <= limit:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    head = encoded.replace(b"\0", b"_")[: limit - 9].decode(errors="ignore")
    return f"{head}_{digest}"


def mapped(
    names: Iterable[str], existing: Collection[str], *, limit: int, folds: bool
) -> dict[str, str]:
    """
    Return the target's column name of each of *names*, all different.

    Args:
        existing: Columns of the table.
        folds: Whether the target takes names that differ in case only for the same. Then a
            name takes over the column of another case, unless that name comes as well.
    """
    wanted = {name: fitted(name, limit) for name in names}
    if not folds:
        return wanted
    taken = {name.casefold(): name for name in existing}
    coming = set(wanted.values())
    result = {}
    for name, ident in wanted.items():
        there = taken.get(ident.casefold(), ident)
        if there != ident and there in coming:
            there = fitted(ident + "\0", limit)  # a NUL forces the form with a hash
        taken[there.casefold()] = there
        result[name] = there
    return result
