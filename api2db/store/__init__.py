"""Stores: shards of a folder, composed into large batches, loaded once."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for true; importing it would load `typing`
if TYPE_CHECKING:
    from api2db.store.store import Store
    from api2db.store.store2bigquery import Store2Bigquery
    from api2db.store.store2bitio import Store2Bitio
    from api2db.store.store2local import Store2Local
    from api2db.store.store2omnisci import Store2Omnisci
    from api2db.store.store2siridb import Store2Siridb
    from api2db.store.store2sql import Store2Sql

#: Name -> its module; imported when it is asked for.
_MODULES = {
    "Store": "store",
    "Store2Bigquery": "store2bigquery",
    "Store2Bitio": "store2bitio",
    "Store2Local": "store2local",
    "Store2Omnisci": "store2omnisci",
    "Store2Siridb": "store2siridb",
    "Store2Sql": "store2sql",
}

__all__ = [
    "Store",
    "Store2Bigquery",
    "Store2Bitio",
    "Store2Local",
    "Store2Omnisci",
    "Store2Siridb",
    "Store2Sql",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
