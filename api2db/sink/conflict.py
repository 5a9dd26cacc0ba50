"""What an upsert does where the key is there: as PostgreSQL, SQLite and DuckDB write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.sink.identifier import quote

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from api2db.sink.table import Target


def on_conflict(targets: Sequence[Target], keys: Collection[str], where: str = "") -> str:
    """
    Return the end of an insert of *targets* by which a row takes the place of the one with its key.

    Args:
        keys: The batch's columns that are the key.
        where: Which rows are changed, with its ``where``; all of them without it.
    """
    key = ", ".join(quote(target.ident) for target in targets if target.name in keys)
    rest = [quote(target.ident) for target in targets if target.name not in keys]
    if not rest:
        return f"on conflict ({key}) do nothing"
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return f"on conflict ({key}) do update set {changes} {where}".rstrip()
