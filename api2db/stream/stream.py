"""What all declared streams share."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError
from api2db.files.layout import checked
from api2db.stream import lastresort
from api2db.stream.declaration import Declaration
from api2db.stream.file_converter import FileConverter

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable

    from pandas import DataFrame

    from api2db.sink.target import Target

#: What belongs to a running process, and is not pickled.
_LIVE = ("q", "lock")


class Stream(FileConverter):
    """
    Where the rows of a collector go. To declare one opens nothing, nor imports what delivers.

    A subclass of a user's own overrides `stream`: it gets each DataFrame, and gets it again
    until it returns without an error.

    A collector runs its streams by itself. Alone, `start` spawns the thread that takes
    DataFrames from `q`::

        s.start()
        s.q.put(df)     # returns once df is on disk

    Args:
        name: The collector.
        path: Folder or file that the rows go to: the subclass says which.
        dtypes: The types of its columns, column -> dtype.
        fmt: ``parquet`` (recommended), ``json``, ``pickle`` or ``csv``.
        chunk_size: Most rows that are sent at a time; 0 for no limit.
        stream_type: Kind of stream; names its folder in ``STORE/upload_failed/<name>/``.
        store: Whether a store owns the stream. Then it has neither `q` nor `lock`.

    Attributes:
        is_store_instance: The argument *store*.

    Raises:
        ConfigError: No collector can be called *name*, or *chunk_size* is no number of rows. It
            is a ValueError.
    """

    def __init__(
        self,
        name: str,
        path: str | None = None,
        dtypes: dict[str, Any] | None = None,
        fmt: str | None = None,
        chunk_size: int = 0,
        stream_type: str = "stream",
        store: bool = False,
    ) -> None:
        super().__init__(name=name, dtypes=dtypes, path=path, fmt=fmt)
        if type(chunk_size) is not int or chunk_size < 0:
            raise ConfigError(f"chunk_size is {chunk_size!r}", hint="give a number of rows, or 0")
        self.name: str = checked(name)
        self.chunk_size = chunk_size
        self.stream_type = stream_type
        self.is_store_instance = store
        lastresort.install()

    @cached_property
    def q(self) -> queue.Queue[Any]:
        """The stream's queue; ``q.put(df)`` returns once the rows are on disk."""
        from api2db.stream import standalone

        self._not_of_a_store("q")
        return standalone.queue(self)

    @cached_property
    def lock(self) -> threading.Lock:
        """Held as long as the thread of `start` lives."""
        self._not_of_a_store("lock")
        return threading.Lock()

    def start(self) -> None:
        """Start `stream_start` in a new thread."""
        from api2db.stream import standalone

        self._not_of_a_store("start")
        standalone.start(self)

    def stream_start(self) -> None:
        """Take what comes into `q`, and stream it, until the process ends."""
        from api2db.stream import standalone

        self._not_of_a_store("stream_start")
        standalone.stream_start(self)

    def check_failures(self) -> None:
        """
        Try again what failed before.

        It lies in ``STORE/upload_failed/<name>/<stream_type>/``, a file for each DataFrame,
        named by its timestamp; files go once the target has their rows.
        """
        from api2db.stream import standalone

        standalone.check_failures(self)

    def stream(self, data: DataFrame) -> None:
        """
        Stream *data*: what a subclass is for.

        Raises:
            AttributeError: It is not overridden.
        """
        raise AttributeError(f"{type(self).__name__!r} object has no attribute 'stream'")

    # -- for the engine ----------------------------------------------------------------

    def declaration(self) -> Declaration:
        """Return what the engine runs."""
        method = self._method()
        return Declaration(
            name=self.name,
            stream_type=self.stream_type,
            target=None if method else self._target(),
            chunk_size=self.chunk_size,
            method=method,
            **self._delivery(),
        )

    def learn(self, data: Any) -> None:
        """Take the dtypes of the collector's first DataFrame for its own; any thread."""
        if self.dtypes is None and hasattr(data, "dtypes"):
            self.remember_dtypes(data)

    def _deliver(self, data: Any, retries: int = 5, declared: Declaration | None = None) -> bool:
        """Write *data* into the target now; return whether it is there. See `direct.deliver`."""
        from api2db.stream import direct, standalone

        done = direct.deliver(declared or self._direct(), data, retries)
        self.learn(data)
        if done and self._method() is None:
            standalone.again(self)
        return done

    def _direct(self) -> Declaration:
        """Return what `stream` itself writes to, whoever has overridden it."""
        return replace(self.declaration(), target=self._target(), method=None)

    def _method(self) -> Callable[[Any], object] | None:
        """Return `stream` if it is a user's."""
        owner = next(cls for cls in type(self).__mro__ if "stream" in vars(cls))
        return None if owner.__module__.startswith("api2db.") else self.stream

    def _target(self) -> Target:
        """Return what the stream leads to."""
        raise ConfigError(
            f"{type(self).__name__} leads nowhere", hint="override its method stream(self, data)"
        )

    def _delivery(self) -> dict[str, Any]:
        """Return the table, and how rows get into it: arguments of `Declaration`."""
        return {"table": self.name}

    def _not_of_a_store(self, name: str) -> None:
        if self.is_store_instance:
            raise AttributeError(f"a stream of a store has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key not in _LIVE}
