"""JMESPath expressions, and which of them are plain enough to be compiled into structs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import jmespath
from jmespath import exceptions

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: A key of an object, or an index of an array.
Step: TypeAlias = str | int
Steps: TypeAlias = tuple[Step, ...]

#: Nodes whose other children are evaluated on what the first one found.
_CHAINS = frozenset(
    {
        "subexpression",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
        "flatten",
        "pipe",
    }
)
_UNIONS = frozenset(
    {
        "or_expression",
        "and_expression",
        "not_expression",
        "comparator",
        "multi_select_list",
        "multi_select_dict",
        "key_val_pair",
        "function_expression",
    }
)


class Path:
    """
    A compiled JMESPath expression.

    Attributes:
        text: The expression.
        steps: The keys and indexes that it is made of, None if it is anything more.
        roots: The keys at the top that it may read, None if it may read all.
    """

    def __init__(self, text: str) -> None:
        """Compile *text*; raises `ConfigError` if it is no JMESPath."""
        self.text = text
        try:
            self._compiled = jmespath.compile(text)
            self._compiled.search(None)
        except (exceptions.UnknownFunctionError, exceptions.ArityError) as exc:
            raise ConfigError(f"{text!r} is not a JMESPath expression: {exc}") from exc
        except exceptions.JMESPathTypeError:
            pass  # null is no argument for the function; a real row may be
        except exceptions.JMESPathError as exc:
            raise ConfigError(
                f"{text!r} is not a JMESPath expression: {str(exc).splitlines()[0]}",
                hint='quote keys that are not plain words: "odd key".value',
            ) from exc
        self.steps: Steps | None = _steps(self._compiled.parsed)
        self.roots: frozenset[str] | None = _roots(self._compiled.parsed)

    @classmethod
    def key(cls, name: str) -> Path:
        """Return the path of a key, whatever characters it is made of."""
        path = cls.__new__(cls)
        path.text = name
        path.steps = (name,)
        path.roots = frozenset([name])
        return path

    def search(self, value: object) -> Any:
        """
        Return what the expression finds in *value*, a decoded JSON value; None for nothing.

        Raises:
            ValueError: A function of the expression does not take what it was given.
        """
        if self.steps is not None:
            return walk(value, self.steps)
        try:
            return self._compiled.search(value)
        except exceptions.JMESPathError as exc:
            raise ValueError(" ".join(str(exc).split())) from exc


def named(key: str, text: str | None) -> Path | None:
    """Return the path at *key* of a configuration, None for none; errors name the key."""
    if text is None:
        return None
    try:
        return Path(text)
    except ConfigError as exc:
        raise ConfigError(f"{key}: {exc}") from exc


def lookup(lam: Callable[[Any], Any] | str) -> Callable[[Any], Any]:
    """Return a function that finds what *lam*, a function itself or a JMESPath, stands for."""
    return compiled(lam).search if isinstance(lam, str) else lam


@lru_cache(maxsize=1024)
def compiled(text: str) -> Path:
    """Return `Path` of *text*, made once; raises as it does."""
    return Path(text)


def walk(value: Any, steps: Steps) -> Any:
    """Return what lies at *steps* in a decoded JSON value; None for nothing."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict):
                return None
            value = value.get(step)
        else:
            if not isinstance(value, list):
                return None
            try:
                value = value[step]
            except IndexError:
                return None
    return value


def _steps(node: Mapping[str, Any]) -> Steps | None:
    match node["type"]:
        case "field" | "index":
            return (node["value"],)
        case "identity" | "current":
            return ()
        case "subexpression" | "index_expression":
            steps: Steps = ()
            for child in node["children"]:
                found = _steps(child)
                if found is None:
                    return None
                steps += found
            return steps
    return None


def _roots(node: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the keys of the value at the top that *node* may read; None for any."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        return frozenset([node["value"]])
    if kind == "literal":
        return frozenset()
    if kind in _CHAINS:
        return _roots(children[0])
    if kind in _UNIONS:
        found: frozenset[str] = frozenset()
        for child in children:
            roots = _roots(child)
            if roots is None:
                return None
            found |= roots
        return found
    return None
