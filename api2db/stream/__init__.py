"""From the spool into a sink: what users declare (Stream2X), and the worker thread."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for true; importing it would load `typing`
if TYPE_CHECKING:
    from api2db.stream.file_converter import FileConverter
    from api2db.stream.stream import Stream
    from api2db.stream.stream2bigquery import Stream2Bigquery
    from api2db.stream.stream2bitio import Stream2Bitio
    from api2db.stream.stream2ikv import Stream2Ikv
    from api2db.stream.stream2local import Stream2Local
    from api2db.stream.stream2omnisci import Stream2Omnisci
    from api2db.stream.stream2siridb import Stream2Siridb
    from api2db.stream.stream2sql import Stream2Sql

#: Name -> its module; imported when it is asked for.
_MODULES = {
    "FileConverter": "file_converter",
    "Stream": "stream",
    "Stream2Bigquery": "stream2bigquery",
    "Stream2Bitio": "stream2bitio",
    "Stream2Ikv": "stream2ikv",
    "Stream2Local": "stream2local",
    "Stream2Omnisci": "stream2omnisci",
    "Stream2Siridb": "stream2siridb",
    "Stream2Sql": "stream2sql",
}

__all__ = [
    "FileConverter",
    "Stream",
    "Stream2Bigquery",
    "Stream2Bitio",
    "Stream2Ikv",
    "Stream2Local",
    "Stream2Omnisci",
    "Stream2Siridb",
    "Stream2Sql",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
