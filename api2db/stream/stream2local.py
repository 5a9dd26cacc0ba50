"""Rows into local files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError
from api2db.files.codec import FORMATS
from api2db.sink.target import Folder
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from pandas import DataFrame

    from api2db.stream.declaration import Declaration

_MODES = ("shard", "update", "replace")


class Stream2Local(Stream):
    """
    Streams the rows of a collector into local files.

    Args:
        name: The collector.
        path: With ``mode="shard"`` a folder, by default ``STORE/<name>/<fmt>/``; else a file,
            by default ``CACHE/<name>_static.<fmt>``.
        mode: ``shard``: each DataFrame is a file of its own, ``<timestamp_ns>.<fmt>``;
            ``update``: the file gets the rows; ``replace``: the rows take the place of the file.
        fmt: ``parquet`` (recommended), ``json``, ``pickle`` or ``csv``.
        drop_duplicate_keys: Of rows with equal values in these columns the first is kept;
            None: of rows that are equal. Within one DataFrame; with ``update`` of the file.

    Raises:
        ConfigError: There is no such mode or format. It is a ValueError.
    """

    def __init__(
        self,
        name: str,
        path: str | None = None,
        mode: str = "shard",
        fmt: str = "parquet",
        drop_duplicate_keys: list[str] | None = None,
    ) -> None:
        for word, known in ((mode, _MODES), (fmt, FORMATS)):
            if word not in known:
                raise ConfigError(f"Stream2Local: {word!r}", hint=f"use {', '.join(known)}")
        default = f"STORE/{name}/{fmt}/" if mode == "shard" else f"CACHE/{name}_static.{fmt}"
        super().__init__(name=name, path=path or default, fmt=fmt, stream_type=f"local.{fmt}")
        self.path: str = path or default
        self.fmt: str = fmt
        self.mode = mode
        self.drop_duplicate_keys = drop_duplicate_keys

    def stream(self, data: DataFrame) -> None:
        """Store *data* as `mode` says."""
        store = {
            "shard": self.stream_shard,
            "update": self.stream_update,
            "replace": self.stream_replace,
        }
        store[self.mode](data)

    def stream_shard(self, data: DataFrame) -> None:
        """Store *data* as a file of its own in the folder `path`."""
        self._deliver(data, declared=self._as("shard"))

    def stream_update(self, data: DataFrame) -> None:
        """Add *data* to the file `path`."""
        self._deliver(data, declared=self._as("update"))

    def stream_replace(self, data: DataFrame) -> None:
        """Put *data* into the place of the file `path`."""
        self._deliver(data, declared=self._as("replace"))

    def _as(self, mode: str) -> Declaration:
        return replace(self.declaration(), target=self._target(mode), method=None)

    def _target(self, mode: str | None = None) -> Folder:
        return Folder(Path(self.path).parent, self.fmt, mode or self.mode, named=True)

    def _delivery(self) -> dict[str, Any]:
        keys = self.drop_duplicate_keys
        return {
            "table": Path(self.path).name,
            "replace": self.mode == "replace",
            "drop_duplicates": True if keys is None else tuple(keys),
        }
