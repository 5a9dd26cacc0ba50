"""From config.yaml to settings; every mistake at once, each with its line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from api2db.app import document as yaml_file
from api2db.app.authfiles import credentials_of, targets_of
from api2db.app.field import bind
from api2db.app.interpolation import Interpolation
from api2db.app.mistakes import at, mistakes, references, without
from api2db.app.model import (
    FOREIGN,
    BesideModel,
    CollectorModel,
    DefaultsModel,
    RootModel,
    StoreModel,
    ToModel,
)
from api2db.app.secret import secrets_of
from api2db.app.settings import (
    CollectorConfig,
    ColumnConfig,
    Config,
    DatabaseConfig,
    Destination,
    FolderConfig,
    FunctionConfig,
    Limits,
    SinceConfig,
    StatusConfig,
)
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api2db.app.document import Document
    from api2db.app.target_model import StreamModel
    from api2db.ingest.auth import Auth, OAuth2
    from api2db.sink.target import Target

#: Folder of Python functions, beside config.yaml.
COLLECTORS = "collectors"


def load(path: Path, env: Mapping[str, str], *, beside: bool = False) -> Config:
    """
    Read, check and resolve the configuration *path*.

    Args:
        beside: Whether collectors are declared elsewhere, so that there need be none here.

    Raises:
        ConfigError: One line per mistake, ``config.yaml:LINE: KEY: what is wrong``.
    """
    document = yaml_file.read(path)
    folder = path.absolute().parent
    interpolation = Interpolation(folder, env)
    value = interpolation.apply(document.value)
    problems = list(document.problems)
    problems += [at(document, place, text) for place, text in interpolation.problems]
    unset = {place for place, _ in interpolation.problems}
    model = None
    if not isinstance(value, dict):
        problems.append((1, "the file must be a mapping with 'streams' and 'collectors'"))
    else:
        problems += references(value, document)
        try:
            shape = BesideModel if beside else RootModel
            model = shape.model_validate(_inherit(value))
        except ValidationError as exc:
            problems += mistakes(exc, value, document, unset)
    targets = {} if model is None else targets_of(model, folder, document, problems)
    auth = {} if model is None else credentials_of(model, folder, document, problems)
    if problems or model is None:
        lines = (f"{path}:{line}: {text}" for line, text in sorted(set(problems)))
        raise ConfigError(without("\n".join(lines), interpolation.secrets))
    settings = _settings(model, targets, auth, path, folder, interpolation.secrets)
    return _placed(settings, document)


def _placed(config: Config, document: Document) -> Config:
    """Return *config* with the place of each collector's source, as errors say it."""
    collectors = {}
    for name, collector in config.collectors.items():
        kind = next(kind for kind in FOREIGN if getattr(collector, kind) is not None)
        line = document.line(("collectors", name, kind))
        place = f"{config.path}:{line}: collectors.{name}.{kind}"
        collectors[name] = replace(collector, place=place)
    return replace(config, collectors=collectors)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.yaml, draft 2020-12."""
    schema = RootModel.model_json_schema(by_alias=True)
    # Shorthands that the validators spell out: `name: type`, `upsert: key`, an empty `to`.
    shapes = schema["$defs"]
    columns = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ColumnModel"}]}
    _spell(shapes["CollectorModel"], "columns", type="object", additionalProperties=columns)
    shapes["CollectorModel"]["required"] = ["to"]
    shapes["CollectorModel"]["oneOf"] = [{"required": [source]} for source in FOREIGN]
    for shape in ("CollectorModel", "StoreModel"):
        to = shapes[shape]["properties"]["to"]
        to["additionalProperties"] = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/ToModel"}]}
    keys = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    _spell(shapes["ToModel"], "upsert", anyOf=[{"type": "string"}, keys])
    drops = [{"type": "boolean"}, {"type": "string"}, keys]
    _spell(shapes["StoreModel"], "drop_duplicates", anyOf=drops)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _spell(shape: dict[str, Any], key: str, **allowed: object) -> None:
    """Say what *key* may hold, in place of what the model makes of it."""
    properties = shape["properties"]
    properties[key] = {"description": properties[key]["description"], **allowed}


def _inherit(value: dict[str, Any]) -> dict[str, Any]:
    """Return *value* with each collector's missing keys taken from `defaults`."""
    defaults, collectors = value.get("defaults"), value.get("collectors")
    if not isinstance(defaults, dict) or not isinstance(collectors, dict):
        return value
    shared = {
        k: v for k, v in defaults.items() if k in CollectorModel.model_fields or k == "schema"
    }
    merged = {
        name: _merge(shared, collector) if isinstance(collector, dict) else collector
        for name, collector in collectors.items()
    }
    return {**value, "collectors": merged}


def _merge(shared: dict[str, Any], collector: dict[str, Any]) -> dict[str, Any]:
    """
    `every` and `cron` exclude each other; `params` and `headers` are merged by key.

    What does not go with a collector's source is not inherited.
    """
    foreign = frozenset[str]().union(*(FOREIGN[kind] for kind in FOREIGN if kind in collector))
    result = {**{key: value for key, value in shared.items() if key not in foreign}, **collector}
    for a, b in (("every", "cron"), ("cron", "every")):
        if a in collector and b not in collector:
            result.pop(b, None)
    for key in ("params", "headers"):
        if isinstance(shared.get(key), dict) and isinstance(collector.get(key), dict):
            result[key] = {**shared[key], **collector[key]}
    return result


# -- settings ----------------------------------------------------------------------


def _settings(
    model: RootModel,
    targets: dict[str, Target],
    auth: dict[str, Auth | OAuth2],
    path: Path,
    folder: Path,
    put_in: set[str],
) -> Config:
    host, port = bind(model.status.bind)
    return Config(
        path=path,
        folder=folder,
        store=folder / model.store,
        streams=targets,
        collectors={
            name: _collector(name, collector, auth.get(name), folder, model.streams)
            for name, collector in model.collectors.items()
        },
        status=StatusConfig(host, port, model.status.token),
        grace=model.defaults.grace,
        secrets=secrets_of(model, put_in, targets.values(), auth.values()),
        stores={name: _store(name, store, folder, model) for name, store in model.stores.items()},
        limits=Limits(model.defaults.attempts, model.defaults.quota, model.defaults.max_age),
    )


def _store(name: str, store: StoreModel, folder: Path, root: RootModel) -> CollectorConfig:
    """Return a store as the collector that it is run as."""
    drop, defaults = store.drop_duplicates, root.defaults
    shards = FolderConfig(
        folder / store.from_,
        store.fmt,
        drop if isinstance(drop, bool) else tuple(drop),
        (),
        None if store.keep_shards is None else folder / store.keep_shards,
        None if store.keep_composed is None else folder / store.keep_composed,
    )
    return CollectorConfig(
        name=name,
        to=_destinations(store.to, store.collector or name, root.streams, defaults),
        shards=shards,
        every=store.every,
        quota=defaults.quota,
        max_age=defaults.max_age,
    )


def _destinations(
    to: Mapping[str, ToModel],
    table: str,
    streams: Mapping[str, StreamModel],
    defaults: DefaultsModel,
) -> dict[str, Destination]:
    return {
        stream: Destination(
            stream,
            entry.table or _default_table(streams[stream], table),
            tuple(entry.upsert or ()),
            bool(entry.replace) or streams[stream].mode == "replace",
            _attempts(streams[stream], defaults),
            streams[stream].timeout,
        )
        for stream, entry in to.items()
    }


def _default_table(stream: StreamModel, collector: str) -> str:
    """Return the table that is called for without a name; that of OmniSci dates from 1.x."""
    return f"{collector}_stream" if stream.omnisci is not None else collector


def _attempts(stream: StreamModel, collector: DefaultsModel) -> int | None:
    """The key of the stream, if it is there, stands above that of the collector."""
    return stream.attempts if "attempts" in stream.model_fields_set else collector.attempts


def _collector(
    name: str,
    model: CollectorModel,
    auth: Auth | OAuth2 | None,
    folder: Path,
    streams: Mapping[str, StreamModel],
) -> CollectorConfig:
    pages, since = model.pages, model.since
    columns = None
    if model.columns is not None:
        columns = tuple(
            ColumnConfig(column, c.type, c.path or _quoted(column), c.default, c.required)
            for column, c in model.columns.items()
        )
    return CollectorConfig(
        name=name,
        get=model.get,
        python=FunctionConfig(folder / COLLECTORS, model.python) if model.python else None,
        sql=None
        if model.sql is None
        else DatabaseConfig(
            model.sql,
            folder,
            model.table,
            model.query,
            tuple(model.key or ()),
            model.page_size,
        ),
        to=_destinations(model.to, name, streams, model),
        every=model.every,
        cron=model.cron,
        auth=auth,
        rows=model.rows,
        pages=None if pages is None else pages.rule(),
        since=None
        if since is None
        else SinceConfig(since.field, since.param, since.initial, since.lag, since.format or "{}"),
        params=model.params,
        headers={key: _header(value) for key, value in model.headers.items()},
        timeout=model.timeout,
        max_bytes=model.max_bytes,
        max_pages=model.max_pages,
        retries=model.retries,
        columns=columns,
        schema=model.schema_,
        quota=model.quota,
        max_age=model.max_age,
        jitter=model.jitter or 0.0,
    )


def _header(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(name: str) -> str:
    """Return the JMESPath of the key *name*, whatever characters it has."""
    return json.dumps(name)
