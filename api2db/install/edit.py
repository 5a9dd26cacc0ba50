"""
Adds a collector to config.yaml and takes one out, as text: all else stays byte for byte.

The YAML parser says where things stand; each edit is read again before it counts, and must
say what was meant and nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from api2db.app import document
from api2db.core.errors import ConfigError
from api2db.files.atomic import atomic_write

if TYPE_CHECKING:
    from pathlib import Path

_KEY = "collectors"


def add(path: Path, name: str, lines: list[str]) -> None:
    """
    Add collector *name* behind the last one.

    Args:
        lines: Its keys, block style, without indentation.

    Raises:
        ConfigError: It is there, or the file is written in a way that has no place for it.
    """
    before = document.read(path).value or {}
    if name in (before.get(_KEY) or {}):
        raise ConfigError(f"{path}: there is a collector {name!r}", hint="choose another name")
    text = _read(path)
    rows = text.splitlines(keepends=True)
    end = "\r\n" if rows and rows[0].endswith("\r\n") else "\n"
    key, value = _collectors(path, text)
    indent = 2
    if key is None:
        at = len(rows)
        new = [*([end] if rows else []), f"{_KEY}:{end}"]
    elif isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
        indent = value.start_mark.column
        at, new = _last_line(value) + 1, []
    elif not before.get(_KEY):  # `collectors:` or `collectors: {}`
        at, new = key.start_mark.line + 1, []
        rows[at - 1] = re.sub(r"(:)\s*(\{\s*\}|null|~)?", r"\1", rows[at - 1], count=1)
    else:
        raise _flow(path)
    step = " " * indent
    new += [f"{step}{name}:{end}", *(f"{step}{step}{line}{end}" for line in lines)]
    if at and rows and not rows[at - 1].endswith(("\n", "\r")):
        rows[at - 1] += end
    made = "".join([*rows[:at], *new, *rows[at:]])
    wanted = yaml.load("\n".join(lines), Loader=yaml.BaseLoader)  # noqa: S506  (texts only)
    _write(path, made, {**before, _KEY: {**(before.get(_KEY) or {}), name: wanted}})


def remove(path: Path, name: str) -> None:
    """
    Take collector *name* out.

    Raises:
        ConfigError: It is not there, or the file is written in flow style.
    """
    before = document.read(path).value or {}
    collectors = before.get(_KEY) or {}
    if name not in collectors:
        hint = f"there are: {', '.join(collectors)}" if collectors else "there is none"
        raise ConfigError(f"{path}: there is no collector {name!r}", hint=hint)
    text = _read(path)
    rows = text.splitlines(keepends=True)
    key, value = _collectors(path, text)
    if not isinstance(value, yaml.MappingNode) or value.flow_style:
        raise _flow(path)
    found = next((k, v) for k, v in value.value if k.value == name)
    first, last = found[0].start_mark.line, _last_line(found[1])
    after = {each: body for each, body in collectors.items() if each != name}
    if not after and key is not None:  # `collectors:` alone would say null
        at = key.end_mark
        rows[at.line] = rows[at.line].replace(":", ": {}", 1)
    _write(path, "".join([*rows[:first], *rows[last + 1 :]]), {**before, _KEY: after})


def _read(path: Path) -> str:
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _collectors(path: Path, text: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Return the nodes of ``collectors`` and of what it holds, None if it is not there."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return None, None
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise _flow(path)
    return next(((k, v) for k, v in root.value if k.value == _KEY), (None, None))


def _last_line(node: yaml.Node) -> int:
    """Return the last line (from 0) on which *node* says something."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    mark: Any = node.end_mark
    return int(mark.line) - (1 if mark.column == 0 and mark.line > node.start_mark.line else 0)


def _flow(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}: '{_KEY}' is written in braces", hint="write it in lines, or edit it by hand"
    )


def _write(path: Path, text: str, wanted: dict[str, Any]) -> None:
    """Replace the file, if *text* says *wanted*; texts and numbers are not told apart."""
    trial = path.with_name(f".{path.name}.edit")
    try:
        trial.write_text(text, encoding="utf-8", newline="")
        if _plain(document.read(trial).value) != _plain(wanted):
            raise ConfigError(f"{path}: cannot be edited safely", hint="edit it by hand")
    finally:
        trial.unlink(missing_ok=True)
    with atomic_write(path, mode=path.stat().st_mode & 0o777) as file:
        file.write(text.encode())


def _plain(value: Any) -> Any:
    """Return *value* with its scalars as texts."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value or "")
