"""A project as a whole: its config.yaml, and the collectors that its Python files declare."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from api2db.app import config
from api2db.app.collector_files import candidates
from api2db.app.settings import Config, StatusConfig

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Where projects of 2021 have their collectors.
OLD = "apis"


def load(path: Path, env: Mapping[str, str]) -> Config:
    """
    Return the configuration *path* with the collectors that are declared beside it.

    Where files of ``collectors``, or of ``apis``, declare some, *path* need not exist. Only
    these files are imported.

    Raises:
        ConfigError: As `config.load`, `collector_files.find` and `declared`.
    """
    folder = path.absolute().parent
    paths = [path for name in (config.COLLECTORS, OLD) for path in candidates(folder / name)]
    if not paths:
        return config.load(path, env)
    found = config.load(path, env, beside=True) if path.exists() else bare(folder, path)
    from api2db.app.collector_files import find
    from api2db.app.declared import declared

    with contextlib.chdir(folder):
        collectors = find(paths)
    return declared(found, collectors)


def bare(folder: Path, path: Path) -> Config:
    """Return a configuration of *folder* that says nothing, so that all is as by default."""
    return Config(
        path=path,
        folder=folder,
        store=folder / "STORE",
        streams={},
        collectors={},
        status=StatusConfig(),
    )
