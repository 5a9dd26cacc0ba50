"""How a function is found, and what is said if it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api2db.core.errors import ConfigError
from api2db.ingest.function_module import load


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return a `collectors` folder; forget its modules afterwards."""
    before, path = set(sys.modules), list(sys.path)
    made = tmp_path / "collectors"
    made.mkdir()
    yield made
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(made) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_modules_find_each_other(folder: Path) -> None:
    """A module may import its neighbour, and may lie in a package."""
    write(folder, "a2d_helper.py", "WORD = 'hello'\n")
    write(folder, "a2d_pack/inner.py", "from a2d_helper import WORD\ndef f(): return [WORD]\n")
    write(folder, "a2d_pack/__init__.py", "")
    assert load(folder, "a2d_pack.inner:f")() == ["hello"]


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        ("def f(:\n", "a2d_mod:f", "collectors/a2d_mod.py:1: SyntaxError"),
        ("\nimport nosuch\n", "a2d_mod:f", "collectors/a2d_mod.py:2: ModuleNotFoundError"),
        ("x = 1\nexit(3)\n", "a2d_mod:f", "collectors/a2d_mod.py:2: SystemExit: 3"),
        ("def fetch(): pass\n", "a2d_mod:fecth", "did you mean 'fetch'?"),
        ("f = 3\n", "a2d_mod:f", "'f' is not a function"),
        ("def f(page): pass\n", "a2d_mod:f", "takes 'page', which api2db does not give"),
        ("def f(checkpoint, /): pass\n", "a2d_mod:f", "takes 'checkpoint'"),
        ("", "a2d_mud:f", "there is no collectors/a2d_mud.py; did you mean 'a2d_mod'?"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(
    folder: Path, text: str, target: str, said: str
) -> None:
    """Whoever wrote the module sees where to look."""
    write(folder, "a2d_mod.py", text)
    with pytest.raises(ConfigError) as caught:
        load(folder, target)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["json", "pytest", "msgspec"])
def test_nothing_takes_the_place_of_another_module(folder: Path, name: str) -> None:
    """A collector with the name of Python's or an installed module is refused, not imported."""
    write(folder, f"{name}.py", "def f(): pass\n")
    with pytest.raises(ConfigError, match="another module of Python has the name"):
        load(folder, f"{name}:f")
