"""Names of columns and tables in a target: quoted, never cut off silently."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, TypeAlias

from api2db.core.errors import SinkMisconfigured

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

#: Which letters of a name are the same in upper and lower case.
Fold: TypeAlias = Literal["none", "ascii", "unicode"]

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def quote(name: str, mark: str = '"') -> str:
    """
    Return *name* as a quoted SQL identifier, within *mark*; a name is data, never SQL.

    Raises:
        SinkMisconfigured: It is empty or holds NUL.
    """
    if not name or "\0" in name:
        raise SinkMisconfigured(f"{name!r} cannot be the name of a table", hint="choose another")
    return mark + name.replace(mark, mark * 2) + mark


def fitted(name: str, limit: int) -> str:
    """
    Return *name* if a target can hold it, else `hashed`.

    PostgreSQL cuts names off at 63 bytes, so two long ones could become one.

    Args:
        limit: Most bytes of a name, in UTF-8.
    """
    holds = name and "\0" not in name and len(name.encode()) <= limit
    return name if holds else hashed(name, limit)


def hashed(name: str, limit: int) -> str:
    """
    Return the start of *name* and a hash of it, in at most *limit* bytes.

    It depends on *name* alone: it is the same in every process and for every order of arrival.
    A NUL, and what MySQL has in no name (beyond U+FFFF), is replaced in the start.
    """
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    holdable = "".join("_" if c == "\0" or c > "\uffff" else c for c in name)
    head = holdable.encode()[: limit - 9].decode(errors="ignore")
    return f"{head}_{digest}"


def mapped(
    names: Iterable[str],
    existing: Collection[str],
    *,
    limit: int,
    fold: Fold = "none",
    reserved: Collection[str] = (),
) -> dict[str, str]:
    """
    Return the target's column name of each of *names*, all different.

    The result does not depend on the order of *names*.

    Args:
        existing: Columns of the table.
        fold: Names that differ only in the case of such letters are one name in the target.
            Then the first of them in sorted order keeps its name, the others are hashed; a
            name by itself takes the column of another case that is there already.
        reserved: Names that the target refuses for a column.

    Raises:
        SinkMisconfigured: Two names have one hash.
    """
    wanted = {
        name: hashed(name, limit) if name in reserved else fitted(name, limit)
        for name in dict.fromkeys(names)
    }
    if fold != "none":
        wanted = _unfolded(wanted, existing, limit, fold)
    if len(set(wanted.values())) < len(wanted):
        raise SinkMisconfigured(
            "two columns of the source have the same name in the target",
            hint="rename one with 'columns'",
        )
    return wanted


def _folded(name: str, fold: Fold) -> str:
    return name.lower() if fold == "unicode" else name.translate(_LOWER)


def _unfolded(
    wanted: dict[str, str], existing: Collection[str], limit: int, how: Fold
) -> dict[str, str]:
    """Keep names apart that the target would take for one."""
    there = set(existing)
    by_fold = {_folded(name, how): name for name in existing}
    # Names whose column exists come first: they keep it, whoever else comes.
    order = sorted(wanted, key=lambda name: (wanted[name] not in there, name))
    taken: set[str] = set()
    result = {}
    for name in order:
        ident = wanted[name]
        fold = _folded(ident, how)
        if fold in taken or (hashed(name, limit) in there and ident not in there):
            ident = hashed(name, limit)
        else:
            ident = by_fold.get(fold, ident)
        taken.add(fold)
        result[name] = ident
    return {name: result[name] for name in wanted}
