"""A YAML file as plain data that remembers its lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

#: Where a value lies: the keys and indices that lead to it.
Place: TypeAlias = tuple[str | int, ...]

#: A configuration is small; anything larger is a mistake or an attack.
MAX_BYTES = 1_000_000
MAX_NODES = 50_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """
    Attributes:
        value: Mappings, lists, and scalars of the safe YAML types.
        lines: Line (from 1) of each key of a mapping and each item of a list.
        problems: Duplicate keys, with their lines.
    """

    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """Return the line of *place*, or of the nearest place around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(path: Path) -> Document:
    """
    Read the YAML file *path*; no tags, no aliases that blow up, no duplicate keys.

    Raises:
        ConfigError: It cannot be read, or is not YAML; names the line.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: there is no such file", hint="name one with --config") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES:,} bytes; this is no configuration")
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            document = Document()
            if node is not None:
                document.value = _Builder(loader, document).build(node, ())
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        raise ConfigError(f"{path}:{line}: not YAML: {exc.problem}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: not YAML: {exc}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{path}: nested too deeply") from exc
    return document


class _Builder:
    """Builds plain data from nodes; counts them, for an alias repeats all below it."""

    def __init__(self, loader: Any, document: Document) -> None:
        self._loader = loader
        self._document = document
        self._nodes = 0

    def build(self, node: yaml.Node, place: Place) -> Any:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(None, None, "aliases repeat too much", node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            items = []
            for i, item in enumerate(node.value):
                self._document.lines[(*place, i)] = item.start_mark.line + 1
                items.append(self.build(item, (*place, i)))
            return items
        return self._loader.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[Any, Any]:
        built: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self._loader.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if not isinstance(key, (str, int, float)) or isinstance(key, bool):
                key = str(key_node.value)
            inner = (*place, str(key))
            if key in built:
                where = ".".join(map(str, inner))
                self._document.problems.append((line, f"{where}: this key is here twice"))
            self._document.lines[inner] = line
            built[str(key)] = self.build(value_node, inner)
        return built
