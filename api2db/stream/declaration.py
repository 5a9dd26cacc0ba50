"""What a declared stream asks for, as plain values: what the engine needs to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from api2db.sink.target import Target


@dataclass(frozen=True, slots=True)
class Declaration:
    """
    One stream of a collector.

    Attributes:
        name: Of the collector.
        stream_type: ``local.parquet``, ``sql.mysql``, ``bigquery``, ...; names its folder in
            ``upload_failed``.
        target: What it leads to; None if `method` takes the rows.
        table: Table of the target; of a `Folder` the folder or file in it.
        upsert: Key columns; none means append.
        replace: Each DataFrame takes the place of all that is there.
        must_be_new: Nothing is written if the table was there before this stream.
        drop_duplicates: False; True: of rows that are equal the first stays; or key columns:
            the first row of each key stays. Within one DataFrame.
        chunk_size: Most rows that are sent at a time, 0 for no limit.
        method: `stream` of a user's subclass, called with each DataFrame; else None.
    """

    name: str
    stream_type: str
    target: Target | None
    table: str
    upsert: tuple[str, ...] = ()
    replace: bool = False
    must_be_new: bool = False
    drop_duplicates: bool | tuple[str, ...] = False
    chunk_size: int = 0
    method: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class StoreDeclaration:
    """
    One store: shards of a folder that are composed, and go where its stream leads.

    Attributes:
        stream: What it leads to.
        seconds: Between two compositions.
        path: The folder of the shards.
        fmt: ``parquet``, ``json``, ``csv`` or ``pickle``.
        drop_duplicate_exclude: Rows that are equal but for these columns are duplicates; the
            first stays.
        move_shards_path: Where shards go that have landed; None removes them.
        move_composed_path: Where compositions are kept; None keeps none.
    """

    stream: Declaration
    seconds: float
    path: str
    fmt: str
    drop_duplicate_exclude: tuple[str, ...] = ()
    move_shards_path: str | None = None
    move_composed_path: str | None = None
