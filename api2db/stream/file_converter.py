"""DataFrames as files: the base of streams and stores."""

from __future__ import annotations

import logging
import pickle
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from api2db.core.errors import Api2dbError
from api2db.files import dtypes as cache
from api2db.files import frame
from api2db.files.atomic import atomic_write, make_folder
from api2db.files.frame_folder import compose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pandas import DataFrame

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: What files and what is in them can raise.
_FAILURES = (
    *(Api2dbError, OSError, pa.ArrowException, pickle.PicklingError),
    *(ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError),
)
#: The rights of what is made for a user: those that the umask leaves.
_FILE, _FOLDER = 0o666, 0o777
#: Threads that store the same file do so one after the other; few others wait for them.
_turns = tuple(threading.Lock() for _ in range(64))


class FileConverter:
    """
    Stores DataFrames as Parquet, JSON, CSV or pickle, and loads them.

    A file is there in full or not at all. Methods that fail say why in the log.

    Args:
        name: The collector.
        dtypes: The types of its columns, column -> dtype.
        path: A file or a folder: the subclass says which.
        fmt: ``parquet`` (recommended), ``json``, ``pickle`` or ``csv``.
    """

    def __init__(
        self,
        name: str | None = None,
        dtypes: dict[str, Any] | None = None,
        path: str | None = None,
        fmt: str | None = None,
    ) -> None:
        self.name = name
        self.dtypes: Mapping[str, Any] | None = dtypes
        self.path = path
        self.fmt = fmt
        self.dtypes = self.build_dtypes()

    def build_dtypes(self) -> Mapping[str, Any] | None:
        """
        Return dtypes for `DataFrame.astype`: those given, else those of the collector's data.

        None before the collector has brought any.
        """
        if self.dtypes is None and self.name is not None:
            return cache.remembered(self.name)
        return self.dtypes

    def remember_dtypes(self, df: DataFrame) -> None:
        """Take the dtypes of *df* for those of the collector, from now on and after a restart."""
        found = {str(name): str(dtype) for name, dtype in df.dtypes.items()}
        name = self.name
        if found != self.dtypes and name is not None:
            _attempt("dtypes_not_kept", name, lambda: cache.remember(name, found))
        self.dtypes = found

    @staticmethod
    def static_compose_df_from_dir(
        path: str,
        fmt: str,
        move_shards_path: str | None = None,
        move_composed_path: str | None = None,
        force: bool = True,
    ) -> DataFrame | None:
        """
        Make one DataFrame of all files in the folder *path*, in the order of their names.

        Then the files go, or move to *move_shards_path*: not before the DataFrame is whole
        and, with *move_composed_path*, stored there durably as
        ``<first file>_<last file>.<fmt>``. A file that is damaged is set aside in *path*, as
        ``<name>.unreadable``, and left out.

        Args:
            force: Make the folders to move to if they do not exist.

        Returns:
            The DataFrame; None if there are no rows, or on failure: then no file has moved.
        """
        shards, composed = _folder(move_shards_path), _folder(move_composed_path)
        return _attempt(
            "frame_not_composed",
            path,
            lambda: compose(Path(path), fmt, shards, composed, force=force),
        )

    # -- store -------------------------------------------------------------------------

    @staticmethod
    def static_store_df(df: DataFrame, path: str, fmt: str) -> bool:
        """Store *df* as the file *path*; return whether it is there, durable."""
        return _store(path, df, fmt, force=True)

    @staticmethod
    def pickle_store(path: str, df: DataFrame, force: bool = True) -> bool:
        """Store *df* as a pickle; *force* makes folders. Return whether it is there."""
        return _store(path, df, "pickle", force=force)

    @staticmethod
    def json_store(path: str, df: DataFrame, force: bool = True) -> bool:
        """Store *df* as JSON; *force* makes folders. Return whether it is there."""
        return _store(path, df, "json", force=force)

    @staticmethod
    def csv_store(path: str, df: DataFrame, force: bool = True) -> bool:
        """Store *df* as CSV; *force* makes folders. Return whether it is there."""
        return _store(path, df, "csv", force=force)

    @staticmethod
    def parquet_store(path: str, df: DataFrame, force: bool = True) -> bool:
        """Store *df* as Parquet; *force* makes folders. Return whether it is there."""
        return _store(path, df, "parquet", force=force)

    @staticmethod
    def store_valid(path: str, force: bool) -> bool:
        """Return whether the folder of the file *path* exists; *force* makes it."""
        folder = Path(path).parent
        if force:
            _attempt("folder_not_made", path, lambda: make_folder(folder, _FOLDER))
        return folder.is_dir()

    # -- load --------------------------------------------------------------------------

    @staticmethod
    def static_load_df(
        path: str, fmt: str, dtypes: Mapping[str, Any] | None = None
    ) -> DataFrame | None:
        """Return the DataFrame in the file *path*, cast to *dtypes*; None on failure."""
        return _attempt("frame_not_loaded", path, lambda: _load(path, fmt, dtypes))

    @staticmethod
    def pickle_load(path: str) -> DataFrame | None:
        """Return the DataFrame in a pickle; what else it may hold is not run. None on failure."""
        return FileConverter.static_load_df(path, "pickle")

    @staticmethod
    def json_load(path: str) -> DataFrame | None:
        """Return the DataFrame in a JSON file, None on failure."""
        return FileConverter.static_load_df(path, "json")

    @staticmethod
    def csv_load(path: str) -> DataFrame | None:
        """Return the DataFrame in a CSV file, None on failure."""
        return FileConverter.static_load_df(path, "csv")

    @staticmethod
    def parquet_load(path: str) -> DataFrame | None:
        """Return the DataFrame in a Parquet file, None on failure."""
        return FileConverter.static_load_df(path, "parquet")


def _store(path: str, df: DataFrame, fmt: str, *, force: bool) -> bool:
    def store() -> bool:
        if not FileConverter.store_valid(path, force):
            raise FileNotFoundError(f"there is no folder {Path(path).parent}")
        turn = _turns[hash(Path(path).absolute()) % len(_turns)]
        with turn, atomic_write(Path(path), _FILE) as file:
            frame.write(df, file, fmt)
        return True

    return bool(_attempt("frame_not_stored", path, store))


def _load(path: str, fmt: str, dtypes: Mapping[str, Any] | None) -> DataFrame:
    df = frame.read(Path(path), fmt)
    df = df if dtypes is None else frame.as_dtypes(df, dtypes)
    return df.reset_index(drop=True)


def _folder(path: str | None) -> Path | None:
    return None if path is None else Path(path)


def _attempt(event: str, path: str, do: Callable[[], T]) -> T | None:
    """Return what *do* returns; a failure is a line of the log, and None."""
    try:
        return do()
    except _FAILURES as exc:
        error = f"{type(exc).__name__}: {exc}"
        logger.error(event, extra={"path": str(path), "error": error})
        return None
