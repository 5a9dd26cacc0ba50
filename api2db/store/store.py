"""What all declared stores share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.files.atomic import make_folder
from api2db.files.codec import FORMATS
from api2db.files.frame_folder import compose
from api2db.stream.declaration import StoreDeclaration
from api2db.stream.file_converter import FileConverter

if TYPE_CHECKING:
    from pandas import DataFrame

    from api2db.stream.stream import Stream


class Store(FileConverter):
    """
    Composes the shards of a folder, every so often, and sends their rows where its stream leads.

    Shards are put away once their rows have landed, and not before. To declare a store opens
    nothing. A collector runs its stores by itself.

    Args:
        name: The collector.
        seconds: Time between two compositions; 0 disables the store.
        path: The folder of the shards, by default that of `Stream2Local`:
            ``STORE/<name>/<fmt>/``.
        fmt: Of the shards: ``parquet`` (recommended), ``json``, ``pickle`` or ``csv``.
        drop_duplicate_exclude: Rows that are equal but for these columns are duplicates, of
            which the first stays; None: rows that are equal. Within one composition.
        move_shards_path: Folder that shards move to; None removes them.
        move_composed_path: Folder that compositions are kept in; None keeps none.
        chunk_size: Most rows that are sent at a time; 0 for no limit.

    Attributes:
        stream: The stream that the rows go to; None for a bare `Store`.
        store_str: What is said of a composition, with ``{}`` for its number of rows.
        is_store_instance: True.

    Raises:
        ConfigError: There is no such format. It is a ValueError.
    """

    def __init__(
        self,
        name: str,
        seconds: int,
        path: str | None = None,
        fmt: str = "parquet",
        drop_duplicate_exclude: list[str] | None = None,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
        chunk_size: int = 0,
    ) -> None:
        if fmt not in FORMATS:
            raise ConfigError(f"{name}: fmt is {fmt!r}", hint=f"use {', '.join(FORMATS)}")
        super().__init__(name=name, path=path or f"STORE/{name}/{fmt}/", fmt=fmt)
        self.name: str = name
        self.path: str = path or f"STORE/{name}/{fmt}/"
        self.fmt: str = fmt
        self.seconds = seconds
        self.drop_duplicate_exclude = drop_duplicate_exclude
        self.move_shards_path = move_shards_path
        self.move_composed_path = move_composed_path
        self.chunk_size = chunk_size
        self.is_store_instance = True
        self.stream: Stream | None = None
        self.store_str: str | None = None

    def build_dependencies(self) -> None:
        """Make the folders to move to."""
        for path in (self.move_shards_path, self.move_composed_path):
            if path is not None:
                make_folder(Path(path), 0o777)

    def store(self) -> None:
        """
        Compose the shards once, and write their rows where the stream leads; blocks until then.

        Shards are put away after that, or after the rows lie in ``upload_failed``. A crash in
        between leaves them: the rows come again. A collector's own stores land them once.

        Raises:
            ConfigError: The store has no stream, or its stream cannot be used.
            OSError: A disk failed; no shard was put away.
        """
        declared = self.declaration()
        keep = [
            None if p is None else Path(p) for p in (self.move_shards_path, self.move_composed_path)
        ]
        if Path(self.path).is_dir():
            compose(Path(self.path), self.fmt, *keep, land=lambda rows: _land(declared, rows))

    def declaration(self) -> StoreDeclaration:
        """
        Return what the engine runs.

        Raises:
            ConfigError: The store has no stream.
        """
        if self.stream is None:
            raise ConfigError(f"{self.name}: the store leads nowhere", hint="set its stream")
        return StoreDeclaration(
            stream=self.stream.declaration(),
            seconds=self.seconds,
            path=self.path,
            fmt=self.fmt,
            drop_duplicate_exclude=tuple(self.drop_duplicate_exclude or ()),
            move_shards_path=self.move_shards_path,
            move_composed_path=self.move_composed_path,
        )


def _land(declared: StoreDeclaration, rows: DataFrame) -> None:
    from api2db.stream import direct

    if declared.stream.method is not None:
        declared.stream.method(rows)
        return
    keys = tuple(str(n) for n in rows.columns if n not in declared.drop_duplicate_exclude)
    direct.deliver(replace(declared.stream, drop_duplicates=keys), rows)
