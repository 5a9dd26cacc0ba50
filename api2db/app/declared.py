"""Collectors that are declared in Python, as settings: all of the product works on them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from api2db.app.secret import secrets_of_targets
from api2db.app.settings import CollectorConfig, Config, Destination, FolderConfig, FunctionConfig
from api2db.core.errors import ConfigError
from api2db.files.layout import is_name
from api2db.ingest.function_module import place, summary
from api2db.stream.naming import names
from api2db.stream.target import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from api2db.app.collector_files import Found
    from api2db.sink.target import Target
    from api2db.stream.declaration import Declaration, StoreDeclaration


@dataclass(frozen=True, slots=True)
class _Parts:
    """The settings that one collector becomes."""

    collector: CollectorConfig
    stores: dict[str, CollectorConfig]
    streams: dict[str, Target]


def declared(config: Config, found: Iterable[Found]) -> Config:
    """
    Return *config* with the collectors of *found*, their streams and their stores.

    Calls their ``streams`` and ``stores`` in the project's folder, where relative paths begin.

    Raises:
        ConfigError: One line for each that cannot be run, with file and line.
    """
    problems: list[str] = []
    disabled = []
    taken = {name.lower(): each.place or str(config.path) for name, each in config.lines.items()}
    for each in found:
        try:
            _claim(taken, each)
            if _seconds(each.collector.seconds, "seconds") == 0:
                disabled.append(each.collector.name)
                continue
            config = _joined(config, _parts(config, each))
        except ConfigError as exc:
            problems.append(f"{each.place}: {exc}")
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(config, disabled=tuple(disabled))


def _claim(taken: dict[str, str], found: Found) -> None:
    name = found.collector.name
    if not is_name(name):
        hint = "use letters, digits, '_', '-' and '.', beginning with a letter"
        raise ConfigError(f"{name!r} cannot be a name", hint=hint)
    if other := taken.get(name.lower()):
        hint = "give one of them another name; capital letters do not tell names apart"
        raise ConfigError(f"the name {name!r} is taken by {other}", hint=hint)
    taken[name.lower()] = found.place


def _seconds(value: object, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e10:
        raise ConfigError(f"{what}={value!r}: give a number of seconds, 0 to disable it")
    return float(value)


def _joined(config: Config, parts: _Parts) -> Config:
    return replace(
        config,
        collectors={**config.collectors, parts.collector.name: parts.collector},
        stores={**config.stores, **parts.stores},
        streams={**config.streams, **parts.streams},
        secrets=config.secrets | secrets_of_targets(parts.streams.values()),
    )


def _parts(config: Config, found: Found) -> _Parts:
    name = found.collector.name
    for what in ("import_target", "api_form", "streams", "stores"):
        if not callable(value := getattr(found.collector, what)):
            raise ConfigError(f"{what} is {value!r}", hint="give a function, without calling it")
    with _edge(found, config.folder):
        outs: list[Declaration] = _declarations("streams", found.collector.streams())
        ins: list[StoreDeclaration] = _declarations("stores", found.collector.stores())
    if not outs:
        raise ConfigError("its streams() brings no stream", hint="return a list of Stream2X")
    targets: dict[str, Target] = {}
    to = _to(config, name, names(outs), targets)
    collector = CollectorConfig(
        name=name,
        to=to,
        python=FunctionConfig(found.folder, found.target, _rows(found)),
        every=_seconds(found.collector.seconds, "seconds"),
        place=found.place,
        quota=config.limits.quota,
        max_age=config.limits.max_age,
    )
    return _Parts(collector, _stores(config, name, ins, found, targets), targets)


def _declarations(what: str, returned: Any) -> list[Any]:
    """Return what the engine runs of the streams, or stores, that a user's function returns."""
    if returned is not None and not hasattr(returned, "__iter__"):
        raise ConfigError(f"its {what}() returns {returned!r}", hint="return a list")
    found = list(returned or ())
    for each in found:
        if not hasattr(each, "declaration"):
            raise ConfigError(f"its {what}() brings {each!r}", hint=f"return a list of {what}")
    return [each.declaration() for each in found]


@contextlib.contextmanager
def _edge(found: Found, folder: Path) -> Iterator[None]:
    """Run the user's code in *folder*; what it raises becomes one error that says where."""
    try:
        with contextlib.chdir(folder):
            yield
    except ConfigError:
        raise
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"{place(exc, found.folder)}: {summary(exc)}") from exc


def _rows(found: Found) -> Callable[[], Iterable[object]]:
    """Return the function that brings a collector's rows, an Arrow table for each DataFrame."""

    def call() -> Iterable[object]:
        from api2db.ingest.collector import frames

        return frames(found.collector)

    return call


# -- streams ---------------------------------------------------------------------------


def _to(
    config: Config, owner: str, outs: Mapping[str, Declaration], targets: dict[str, Target]
) -> dict[str, Destination]:
    """Return the streams of *owner*, a collector or a store; their targets join *targets*."""
    to = {}
    for name, out in outs.items():
        key = f"{owner}/{name}"
        targets[key] = target_of(out, config.folder)
        to[name] = Destination(
            stream=key,
            table=out.table or out.name,
            upsert=out.upsert,
            replace=out.replace,
            attempts=config.limits.attempts,
            must_be_new=out.must_be_new,
            distinct=out.drop_duplicates,
            chunk=out.chunk_size,
            type=out.stream_type,
        )
    return to


# -- stores ----------------------------------------------------------------------------


def _stores(
    config: Config,
    collector: str,
    ins: Iterable[StoreDeclaration],
    found: Found,
    targets: dict[str, Target],
) -> dict[str, CollectorConfig]:
    """
    Return the stores of *collector*; those that compose the same shards in the same way are one.

    So each shard goes to all of their targets before it is put away.
    """
    groups: dict[tuple[float, FolderConfig], list[Declaration]] = {}
    for each in ins:
        seconds = _seconds(each.seconds, "a store's seconds")
        if seconds:
            groups.setdefault((seconds, _shards(config.folder, each)), []).append(each.stream)
    stores: dict[str, CollectorConfig] = {}
    for (seconds, shards), outs in groups.items():
        if any(shards.path == other.shards.path for other in stores.values() if other.shards):
            hint = "give them equal seconds and options, or a folder each"
            raise ConfigError(f"two stores compose the shards of {shards.path}", hint=hint)
        streams = names(outs)
        name = f"{collector}.{next(iter(streams))}"
        if not is_name(name):
            raise ConfigError(f"{name!r}, a store, has too long a name", hint="shorten the names")
        stores[name] = CollectorConfig(
            name=name,
            to=_to(config, name, streams, targets),
            shards=shards,
            every=seconds,
            place=found.place,
            quota=config.limits.quota,
            max_age=config.limits.max_age,
        )
    return stores


def _shards(folder: Path, store: StoreDeclaration) -> FolderConfig:
    shards, composed = store.move_shards_path, store.move_composed_path
    return FolderConfig(
        path=folder / store.path,
        fmt=store.fmt,
        drop_duplicates=True,
        ignored=tuple(store.drop_duplicate_exclude),
        keep_shards=None if shards is None else folder / shards,
        keep_composed=None if composed is None else folder / composed,
    )
