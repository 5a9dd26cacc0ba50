"""The names of 2021: where they are, what they take, and that they cost nothing until used."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import api2db.ingest

#: Class -> its bases and methods, each with its parameters and their defaults, in order.
SIGNATURES: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("signatures.json").read_text()
)


def _class(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


@pytest.mark.parametrize("path", SIGNATURES)
def test_signature(path: str) -> None:
    """Each class has its old methods, with the same parameters, order and defaults."""
    there = _class(path)
    for method, parameters in SIGNATURES[path]["methods"].items():
        function = inspect.getattr_static(there, method)
        taken = inspect.signature(getattr(function, "__func__", function)).parameters
        assert [
            [p.name] if p.default is p.empty else [p.name, repr(p.default)] for p in taken.values()
        ] == parameters, method


@pytest.mark.parametrize("path", SIGNATURES)
def test_bases(path: str) -> None:
    """Each class derives from the same classes, in the same order."""
    bases = [f"{base.__module__}.{base.__name__}" for base in _class(path).__mro__[1:-1]]
    assert bases == SIGNATURES[path]["bases"]


def test_short_imports() -> None:
    """`from api2db.ingest import *` brings every class that a collector is declared with."""
    found: dict[str, Any] = {}
    exec("from api2db.ingest import *", found)
    for path in SIGNATURES:
        name = path.rpartition(".")[2]
        if name not in ("BaseLam", "Pre", "Post"):
            assert found[name] is _class(path)
    with pytest.raises(AttributeError, match="'Festure'"):
        _ = api2db.ingest.Festure


def test_imports_are_lazy() -> None:
    """Neither package loads pandas, pyarrow, or a module of a name that was not asked for."""
    program = (
        "import sys, api2db, api2db.ingest\n"
        "heavy = {'pandas', 'pyarrow', 'numpy', 'api2db.ingest.api_form'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "from api2db.ingest import *\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
