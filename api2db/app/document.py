"""A YAML file as plain data that remembers its lines."""

from __future__ import annotations

import re
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

_STANDARD = "tag:yaml.org,2002:"
_SCALARS = frozenset({"str", "int", "float", "bool", "timestamp", "value", "merge"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,400})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """
    What a file says, and where.

    Attributes:
        value: Mappings with text keys, lists, texts, numbers, booleans, None.
        lines: Line (from 1) of each key of a mapping and each item of a list.
        problems: What only the file can tell, such as duplicate keys, with their lines.
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
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, place)

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        """
        Return what a scalar says. Only plain decimal numbers, true, false and null are no text.

        YAML 1.1 also reads 12:30 as 750, 010 as 8, no as false, and 2024-01-01 as a date; in a
        request each of them means what it says.
        """
        tag, text = node.tag.removeprefix(_STANDARD), str(node.value)
        if tag == "null":
            return None
        if tag == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if tag == "int" and _INT.fullmatch(text):
            return int(text)
        if tag == "float" and _FLOAT.fullmatch(text):
            return float(text)
        if tag not in _SCALARS:
            self._problem(node, place, f"the tag {node.tag} is not allowed")
        return text

    def _problem(self, node: yaml.Node, place: Place, text: str) -> None:
        where = ".".join(map(str, place))
        self._document.problems.append((node.start_mark.line + 1, f"{where}: {text}"))

    def _key(self, node: yaml.Node, place: Place) -> str | None:
        """Return a key as it is written; None, and a problem, if it can be none."""
        if isinstance(node, yaml.ScalarNode) and node.tag != f"{_STANDARD}merge":
            return str(node.value)
        text = "merge keys (<<) are not supported, use 'defaults'"
        if not isinstance(node, yaml.ScalarNode):
            text = "a key must be a text"
        self._problem(node, place, text)
        return None

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, place)
            if key is None:
                continue
            inner = (*place, key)
            if key in built:
                self._problem(key_node, inner, "this key is here twice")
            self._document.lines[inner] = key_node.start_mark.line + 1
            built[key] = self.build(value_node, inner)
        return built
