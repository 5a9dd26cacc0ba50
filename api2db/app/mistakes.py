"""What is wrong with a configuration, as lines that say what to write instead."""

from __future__ import annotations

import difflib
from os.path import normpath
from typing import TYPE_CHECKING, Any

from api2db.app.model import FOREIGN, MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from api2db.app.document import Document, Place

#: Kinds of targets that have neither upsert nor replace.
_APPEND_ONLY = {
    "local": "local files have no {}; the stream's 'mode' decides",
    "siridb": "SiriDB has no {}: it neither changes nor removes a point; use append",
    "omnisci": "OmniSci takes no {}, for it has no transactions; use append",
}


def at(document: Document, place: Place, text: str) -> tuple[int, str]:
    """Return the line of *place*, and *text* with *place* before it."""
    where = ".".join(map(str, place))
    return document.line(place), f"{where}: {text}" if where else text


def mistakes(
    error: ValidationError, value: Any, document: Document, unset: set[Place]
) -> Iterator[tuple[int, str]]:
    """
    Yield line and text of each mistake that the models found in *value*.

    The places in *unset* are left out: their references could not be replaced, which is said.
    """
    for detail in error.errors(include_url=False, include_input=False):
        place = _place(detail, value)
        if place in unset:
            continue
        yield at(document, _written(place, value), _text(detail, place))


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
        mappings = isinstance(collector, dict) and isinstance(defaults, dict)
        if mappings and place[2] not in collector and place[2] in defaults:
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


def references(value: dict[str, Any], document: Document) -> Iterator[tuple[int, str]]:
    """Yield what is wrong between one part of the file and another."""
    collectors = _mapping(value.get("collectors"))
    for name, collector in collectors.items():
        if isinstance(collector, dict):
            yield from _source(("collectors", name), collector, document)
        yield from _destinations(("collectors", name), _mapping(collector), value, document)
    for name, store in _mapping(value.get("stores")).items():
        place = ("stores", name)
        yield from _destinations(place, _mapping(store), value, document)
        if name in collectors:
            yield at(document, place, "a collector has this name; a store needs one of its own")
        yield from _store(place, _mapping(store), value, document)


def _store(
    place: Place, store: dict[str, Any], value: dict[str, Any], document: Document
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with whose shards a store takes, and where it leads them."""
    collectors, whose = _mapping(value.get("collectors")), store.get("collector")
    if isinstance(whose, str) and whose not in collectors:
        text = f"there is no collector {whose!r}; there are {', '.join(collectors)}"
        yield at(document, (*place, "collector"), text)
    back, source = "leads back into the folder of 'from'", normpath(str(store.get("from")))
    for key in ("keep_shards", "keep_composed"):
        if key in store and normpath(str(store[key])) == source:
            yield at(document, (*place, key), back)
    for stream, to in _mapping(store.get("to")).items():
        if _mapping(to).get("replace"):
            text = "a store has no whole polls to replace by: use append or upsert"
            yield at(document, (*place, "to", stream, "replace"), text)
        local = _mapping(_mapping(value.get("streams")).get(stream)).get("local")
        table = _mapping(to).get("table") or whose or place[-1]
        if local and normpath(f"{local}/{table}") == source:
            yield at(document, (*place, "to", stream), back)


def _destinations(
    place: Place, source: dict[str, Any], value: dict[str, Any], document: Document
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong between `to` and the streams, `columns` and `since`."""
    streams = _mapping(value.get("streams"))
    columns = _mapping(source.get("columns"))
    for stream, to in _mapping(source.get("to")).items():
        here = (*place, "to", stream)
        if stream not in streams:
            near = difflib.get_close_matches(str(stream), streams, 1, 0.6)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(streams)}"
            yield at(document, here, f"there is no stream {stream!r}; {hint}")
        keys = _mapping(to).get("upsert") or []
        yield from _keyed(here, _mapping(to), _mapping(streams.get(stream)), document)
        for way in ("upsert", "replace"):
            for kind in _APPEND_ONLY if _mapping(to).get(way) else ():
                if kind in _mapping(streams.get(stream)):
                    yield at(document, (*here, way), _APPEND_ONLY[kind].format(way))
        local = _mapping(streams.get(stream)).get("mode") == "replace"
        if source.get("since") and (local or _mapping(to).get("replace")):
            way = "mode: update" if local else "upsert"
            text = f"with 'since' a poll has only what is new: use {way}, or drop 'since'"
            yield at(document, here if local else (*here, "replace"), text)
        for key in [keys] if isinstance(keys, str) else keys:
            if columns and key not in columns:
                text = f"there is no column {key!r} in 'columns'"
                yield at(document, (*here, "upsert"), text)


def _keyed(
    here: Place, to: dict[str, Any], stream: dict[str, Any], document: Document
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with how rows go into a store of IKV: by its primary key, no table."""
    key = _mapping(stream.get("ikv")).get("primary_key")
    if key is None:
        return
    for other in ("table", "replace", "append"):
        if to.get(other):
            text = f"IKV has documents by their key alone: write upsert: {key}"
            yield at(document, (*here, other), text)
    if to.get("upsert") not in (key, [key]) and not (to.get("replace") or to.get("append")):
        place = (*here, "upsert") if "upsert" in to else here
        yield at(document, place, f"the store's primary key is {key!r}: write upsert: {key}")


def _source(
    place: Place, collector: dict[str, Any], document: Document
) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with the source of a collector, and with what does not go with it."""
    given = [kind for kind in FOREIGN if kind in collector]
    kinds = ", ".join(f"'{kind}'" for kind in FOREIGN)
    if not given:
        yield at(document, place, f"there is no source; give one of {kinds}")
    for kind in given[1:]:
        yield at(document, (*place, kind), f"'{given[0]}' is here already; give one of {kinds}")
    if len(given) != 1:
        return
    kind = given[0]
    for key in collector:
        if key in FOREIGN[kind]:
            yield at(document, (*place, key), f"does not go with '{kind}'")
    if kind == "sql" and ("table" in collector) == ("query" in collector):
        yield at(document, (*place, kind), "give either 'table' or 'query'")
    if "query" in collector and "key" not in collector:
        text = "give 'key', too: columns that together are unique and never NULL"
        yield at(document, (*place, "query"), text)
    since = collector.get("since")
    if isinstance(since, dict) and "field" in since and ("param" in since) != (kind == "get"):
        text = "this key is missing" if kind == "get" else f"does not go with '{kind}'"
        yield at(document, (*place, "since", "param"), text)
    if isinstance(since, dict) and "format" in since and kind != "get":
        yield at(document, (*place, "since", "format"), f"does not go with '{kind}'")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def without(text: str, secrets: set[str]) -> str:
    """Return *text* without the values that were put in and would be quoted in it."""
    for secret in secrets:
        text = text.replace(repr(secret), "'***'")
    return text
