"""Finds the `Collector` objects at the top of the files in a project's ``collectors``."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api2db.core.errors import ConfigError
from api2db.ingest.function_module import module, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from api2db.ingest.collector import Collector

#: A file without this word declares none, and is not imported.
_WORD = b"Collector"


@dataclass(frozen=True, slots=True)
class Found:
    """
    A collector and where it is declared.

    Attributes:
        folder: In which its functions lie.
        target: ``module:variable``.
        place: ``collectors/file.py:LINE``.
    """

    collector: Collector
    folder: Path
    target: str
    place: str


def candidates(folder: Path) -> list[Path]:
    """Return the files directly in *folder* that may declare collectors; none is imported."""
    paths = sorted(folder.glob("*.py"))
    return [path for path in paths if path.name != "__init__.py" and _WORD in path.read_bytes()]


def find(paths: Iterable[Path]) -> list[Found]:
    """
    Import files and return the collectors at their top, in order; runs their code, once.

    Raises:
        ConfigError: Some cannot be imported; one line for each, with file and line.
    """
    found: dict[int, Found] = {}
    problems = []
    for path in paths:
        try:
            for each in _of_file(path):
                found.setdefault(id(each.collector), each)  # another file may import it
        except ConfigError as exc:
            problems.append(str(exc))
    if problems:
        raise ConfigError("\n".join(problems))
    return list(found.values())


def _of_file(path: Path) -> list[Found]:
    from api2db.ingest.collector import Collector

    folder = path.parent
    names = {
        name: value
        for name, value in vars(module(folder, path.stem)).items()
        if isinstance(value, Collector)
    }
    lines = _lines(path) if names else {}
    return [
        Found(value, folder, f"{path.stem}:{name}", f"{shown(folder, path)}:{lines.get(name, 1)}")
        for name, value in names.items()
    ]


def _lines(path: Path) -> dict[str, int]:
    """Return the line on which each name at the top of a file is given its value."""
    lines = {}
    for node in ast.parse(path.read_bytes()).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                lines[target.id] = node.lineno
    return lines
