"""Finds the function ``module:name`` in a project's ``collectors`` folder."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

#: What a function may take.
PARAMETERS = ("checkpoint", "since")


def load(folder: Path, target: str) -> Callable[..., Any]:
    """
    Import ``module`` from *folder*, as `module` does, and return its function ``name``.

    Args:
        folder: The project's ``collectors``.
        target: ``module:name``; the module may be ``package.module``.

    Raises:
        ConfigError: It cannot be imported, or is no such function; names file and line.
    """
    where, _, name = target.partition(":")
    found = module(folder, where)
    file = shown(folder, Path(found.__file__ or ""))
    function = getattr(found, name, None)
    if function is None:
        names = [n for n, value in vars(found).items() if inspect.isroutine(value)]
        near = difflib.get_close_matches(name, names, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"define it in {file}"
        raise ConfigError(f"{file}: there is no function {name!r}", hint=hint)
    if not callable(function):
        raise ConfigError(f"{file}: {name!r} is not a function", hint="name a function")
    parameters(function, f"{file}: {name}")
    return function  # type: ignore[no-any-return]


def parameters(function: Callable[..., Any], where: str) -> frozenset[str]:
    """
    Return which of `PARAMETERS` *function* takes.

    Raises:
        ConfigError: It needs something else.
    """
    taken = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if name in PARAMETERS and parameter.kind is not parameter.POSITIONAL_ONLY:
            taken.add(name)
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise ConfigError(
                f"{where} takes {name!r}, which api2db does not give",
                hint="a function takes nothing, 'checkpoint', 'since', or both",
            )
    return frozenset(taken)


def module(folder: Path, name: str) -> Any:
    """
    Import the module *name* from *folder*, and return it; runs its code, once.

    *folder* and the one around it, the project's, are put at the end of ``sys.path``, so that
    modules there find each other and nothing there can take the place of another module.

    Raises:
        ConfigError: It cannot be imported; names file and line.
    """
    _present(folder, name)
    for path in (str(folder), str(folder.parent)):
        if path not in sys.path:
            sys.path.append(path)
            importlib.invalidate_caches()
    top = name.partition(".")[0]
    if not _ours(folder, top):
        raise ConfigError(
            f"{shown(folder, folder / top)}: another module of Python has the name {top!r}",
            hint="rename it",
        )
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        raise ConfigError(f"{place(exc, folder)}: {summary(exc)}") from exc


def _present(folder: Path, module: str) -> None:
    path = folder.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file() or (path / "__init__.py").is_file():
        return
    there = sorted(p.stem for p in folder.glob("*.py")) if folder.is_dir() else []
    near = difflib.get_close_matches(module, there, 1, 0.6)
    hint = f"there are: {', '.join(there)}" if there else "write it there"
    hint = f"did you mean {near[0]!r}?" if near else hint
    raise ConfigError(f"there is no {shown(folder, path.with_suffix('.py'))}", hint=hint)


def _ours(folder: Path, name: str) -> bool:
    """Return whether the name *name* leads into *folder*, not to another module."""
    if name in sys.stdlib_module_names:
        return False
    spec = importlib.util.find_spec(name)
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    return any(place and Path(place).is_relative_to(folder) for place in places)


# -- for messages --------------------------------------------------------------------------


def place(error: BaseException, folder: Path) -> str:
    """Return ``file:line`` where *error* arose: the innermost frame in *folder*."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(folder, Path(error.filename))}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    for frame in reversed(ours or frames):
        return f"{shown(folder, Path(frame.filename))}:{frame.lineno}"
    return folder.name


def summary(error: BaseException) -> str:
    """Return the last line of a traceback, such as ``KeyError: 'rows'``."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return traceback.format_exception_only(error)[-1].strip()


def shown(folder: Path, path: Path) -> str:
    """Return *path* as a person knows it: from the project's folder on."""
    root = folder.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
