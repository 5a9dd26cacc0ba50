"""From config.yaml to settings; every mistake at once, each with its line."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import ValidationError

from api2db.app import document as yaml_file
from api2db.app.interpolation import Interpolation
from api2db.app.model import MODELS, AuthModel, CollectorModel, RootModel, StreamModel, bind
from api2db.app.quantity import duration
from api2db.app.settings import (
    CollectorConfig,
    ColumnConfig,
    Config,
    Destination,
    SinceConfig,
    StatusConfig,
    StreamConfig,
)
from api2db.core.errors import ConfigError
from api2db.ingest.auth import Auth
from api2db.ingest.pages import Pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

    from api2db.app.document import Document, Place

__all__ = ["CollectorConfig", "Config", "duration", "json_schema", "load"]

#: Shorter texts would take ordinary words out of the log.
SECRET_LENGTH = 4
#: Headers and parameters whose values are secrets even where they are written out.
_TELLTALE = re.compile(r"auth|cookie|key|passw|pwd|secret|signature|token", re.IGNORECASE)


def load(path: Path, env: Mapping[str, str]) -> Config:
    """
    Read, check and resolve the configuration *path*.

    Raises:
        ConfigError: One line per mistake, ``config.yaml:LINE: KEY: what is wrong``.
    """
    document = yaml_file.read(path)
    folder = path.absolute().parent
    interpolation = Interpolation(folder, env)
    value = interpolation.apply(document.value)
    problems = list(document.problems)
    problems += [_at(document, place, text) for place, text in interpolation.problems]
    unset = {place for place, _ in interpolation.problems}
    model = None
    if not isinstance(value, dict):
        problems.append((1, "the file must be a mapping with 'streams' and 'collectors'"))
    else:
        problems += _references(value, document)
        try:
            model = RootModel.model_validate(_inherit(value))
        except ValidationError as exc:
            problems += _mistakes(exc, value, document, unset)
    if problems or model is None:
        lines = (f"{path}:{line}: {text}" for line, text in sorted(set(problems)))
        raise ConfigError(_without("\n".join(lines), interpolation.secrets))
    return _settings(model, path, folder, interpolation.secrets)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of config.yaml, draft 2020-12."""
    schema = RootModel.model_json_schema(by_alias=True)
    # Shorthands that the validators spell out: `name: type`, `upsert: key`, an empty `to`.
    shapes = schema["$defs"]
    columns = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/ColumnModel"}]}
    _spell(shapes["CollectorModel"], "columns", type="object", additionalProperties=columns)
    shapes["CollectorModel"]["required"] = ["get", "to"]
    to = shapes["CollectorModel"]["properties"]["to"]
    to["additionalProperties"] = {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/ToModel"}]}
    keys = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    _spell(shapes["ToModel"], "upsert", anyOf=[{"type": "string"}, keys])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _spell(shape: dict[str, Any], key: str, **allowed: object) -> None:
    """Say what *key* may hold, in place of what the model makes of it."""
    properties = shape["properties"]
    properties[key] = {"description": properties[key]["description"], **allowed}


# -- mistakes ----------------------------------------------------------------------


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
    """`every` and `cron` exclude each other; `params` and `headers` are merged by key."""
    result = {**shared, **collector}
    for a, b in (("every", "cron"), ("cron", "every")):
        if a in collector and b not in collector:
            result.pop(b, None)
    for key in ("params", "headers"):
        if isinstance(shared.get(key), dict) and isinstance(collector.get(key), dict):
            result[key] = {**shared[key], **collector[key]}
    return result


def _at(document: Document, place: Place, text: str) -> tuple[int, str]:
    where = ".".join(map(str, place))
    return document.line(place), f"{where}: {text}" if where else text


def _mistakes(
    error: ValidationError, value: Any, document: Document, unset: set[Place]
) -> Iterator[tuple[int, str]]:
    for detail in error.errors(include_url=False, include_input=False):
        place = _place(detail, value)
        if place in unset:
            continue  # said already, and better
        yield _at(document, _written(place, value), _text(detail, place))


def _place(detail: ErrorDetails, value: Any) -> Place:
    """Return the place of a mistake, without pydantic's names for the branches of a union."""
    place: list[str | int] = []
    for step in detail["loc"]:
        name = "schema" if step == "schema_" else step
        known = isinstance(value, dict) and name in value
        known = known or (isinstance(value, list) and isinstance(name, int) and name < len(value))
        if known:
            value = value[name]
        elif place and not isinstance(value, dict):
            continue
        else:
            value = None
        place.append("" if name == "[key]" else name)
    return tuple(step for step in place if step != "")


def _written(place: Place, value: Any) -> Place:
    """Return where an inherited mistake was written: in `defaults`."""
    if len(place) >= 3 and place[0] == "collectors":
        collector = value["collectors"].get(place[1])
        defaults = value.get("defaults")
        if isinstance(collector, dict) and isinstance(defaults, dict):
            if place[2] not in collector and place[2] in defaults:
                return ("defaults", *place[2:])
    return place


def _text(detail: ErrorDetails, place: Place) -> str:
    kind, text = detail["type"], detail["msg"]
    if kind == "extra_forbidden":
        return "unknown key" + _did_you_mean(place)
    if kind == "missing":
        return "this key is missing"
    if kind == "value_error":
        return text.removeprefix("Value error, ")
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "write a mapping here"
    if kind == "too_short":
        return "must not be empty"
    return text[0].lower() + text[1:]


def _did_you_mean(place: Place) -> str:
    parent = place[:-1]
    for pattern, model in MODELS.items():
        if len(pattern) == len(parent) and all(
            want in ("*", have) for want, have in zip(pattern, parent, strict=True)
        ):
            known = [field.alias or name for name, field in model.model_fields.items()]
            near = difflib.get_close_matches(str(place[-1]), known, 1, 0.6)
            return f", did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
    return ""


def _references(value: dict[str, Any], document: Document) -> Iterator[tuple[int, str]]:
    """Yield what is wrong between one part of the file and another."""
    streams = _mapping(value.get("streams"))
    for name, collector in _mapping(value.get("collectors")).items():
        columns = _mapping(_mapping(collector).get("columns"))
        for stream, to in _mapping(_mapping(collector).get("to")).items():
            place = ("collectors", name, "to", stream)
            if stream not in streams:
                near = difflib.get_close_matches(str(stream), streams, 1, 0.6)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(streams)}"
                yield _at(document, place, f"there is no stream {stream!r}; {hint}")
            keys = _mapping(to).get("upsert") or []
            if keys and "local" in _mapping(streams.get(stream)):
                text = "local files have no upsert; leave it out"
                yield _at(document, (*place, "upsert"), text)
            for key in [keys] if isinstance(keys, str) else keys:
                if columns and key not in columns:
                    text = f"there is no column {key!r} in 'columns'"
                    yield _at(document, (*place, "upsert"), text)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _without(text: str, secrets: set[str]) -> str:
    """Return *text* without the values that were put in and would be quoted in it."""
    for secret in secrets:
        text = text.replace(repr(secret), "'***'")
    return text


# -- settings ----------------------------------------------------------------------


def _settings(model: RootModel, path: Path, folder: Path, put_in: set[str]) -> Config:
    host, port = bind(model.status.bind)
    auths = [collector.auth for collector in model.collectors.values() if collector.auth]
    secrets = {*put_in, *(_auth(auth).value for auth in auths)}
    secrets |= {password for url in _urls(model) for password in _passwords(url)}
    secrets |= {
        str(value)
        for collector in model.collectors.values()
        for name, value in (*collector.headers.items(), *collector.params.items())
        if _TELLTALE.search(name)
    }
    if model.status.token:
        secrets.add(model.status.token)
    streams = {name: _stream(name, stream, folder) for name, stream in model.streams.items()}
    return Config(
        path=path,
        folder=folder,
        store=folder / model.store,
        streams=streams,
        collectors={name: _collector(name, c) for name, c in model.collectors.items()},
        status=StatusConfig(host, port, model.status.token),
        grace=model.defaults.grace,
        secrets=frozenset(s for s in secrets - _urls(model) if len(s) >= SECRET_LENGTH),
    )


def _urls(model: RootModel) -> set[str]:
    streams = {stream.url for stream in model.streams.values() if stream.url}
    return streams | {collector.get for collector in model.collectors.values()}


def _passwords(url: str) -> Iterator[str]:
    """Yield the password in *url*, as it is written and as it is meant."""
    parts = urlsplit(url)
    if parts.password:
        yield parts.password
        yield unquote(parts.password)
    for name, value in parse_qsl(parts.query):
        if _TELLTALE.search(name):
            yield value


def _stream(name: str, stream: StreamModel, folder: Path) -> StreamConfig:
    local = None if stream.local is None else folder / stream.local
    return StreamConfig(name, stream.url, local, stream.fmt, stream.mode)


def _auth(auth: AuthModel) -> Auth:
    if auth.bearer is not None:
        return Auth("bearer", auth.bearer)
    if auth.basic is not None:
        return Auth("basic", auth.basic.password, auth.basic.user)
    key = auth.api_key
    assert key is not None
    if key.header is not None:
        return Auth("header", key.value, key.header)
    return Auth("query", key.value, cast("str", key.query))


def _collector(name: str, model: CollectorModel) -> CollectorConfig:
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
        to={
            stream: Destination(stream, to.table or name, tuple(to.upsert or ()))
            for stream, to in model.to.items()
        },
        every=model.every,
        cron=model.cron,
        auth=_auth(model.auth) if model.auth else None,
        rows=model.rows,
        pages=None
        if pages is None
        else Pages("cursor", pages.cursor, pages.param or "")
        if pages.cursor
        else Pages("next", pages.next or ""),
        since=None
        if since is None
        else SinceConfig(since.field, since.param, since.initial, since.lag),
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
    import json

    return json.dumps(name)
