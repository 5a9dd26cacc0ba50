"""What a declared stream leads to, and its sink."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.sink.target import Method
from api2db.stream.naming import name_of

if TYPE_CHECKING:
    from api2db.files.layout import Layout
    from api2db.sink.base import Sink
    from api2db.sink.target import Target
    from api2db.stream.declaration import Declaration


def sink_of(declared: Declaration, spool: str, layout: Layout) -> Sink:
    """Return the sink of a declared stream, not opened; relative paths begin where we are."""
    name = name_of(declared)
    delivery = Delivery(
        spool,
        declared.name,
        name,
        declared.table,
        upsert=declared.upsert,
        replace=declared.replace,
        must_be_new=layout.ours(declared.name, name) if declared.must_be_new else None,
        distinct=declared.drop_duplicates,
        chunk=declared.chunk_size,
    )
    return make_sink(target_of(declared, Path.cwd()), delivery, base=Path.cwd())


def target_of(declared: Declaration, folder: Path) -> Target:
    """
    Return what a declared stream leads to; relative paths begin at *folder*.

    Raises:
        ConfigError: It leads nowhere.
    """
    if declared.method is not None:
        return Method(declared.method, declared.stream_type)
    if declared.target is None:
        raise ConfigError(f"a stream of type {declared.stream_type!r} leads nowhere")
    given = {key: getattr(declared.target, key, None) for key in ("path", "auth", "ca")}
    files = {key: folder / path for key, path in given.items() if path is not None}
    return replace(declared.target, **files)
