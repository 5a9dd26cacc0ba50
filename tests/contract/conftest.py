"""Servers and targets of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.contract.backends import (
    Backend,
    LocalBackend,
    PostgresBackend,
    SqliteBackend,
)
from tests.fixtures.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BACKENDS = ("postgresql", "sqlite", "local")
PARAMS = [pytest.param(name, marks=pytest.mark.backend(name)) for name in BACKENDS]
_ran: set[str] = set()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of the session; its commits need not survive it."""
    with Postgres(durable=False) as server:
        yield server


def _backend(name: str, request: pytest.FixtureRequest, folder: Path) -> Backend:
    _ran.add(name)
    if name == "postgresql":
        return PostgresBackend(request.getfixturevalue("postgres"))
    return SqliteBackend(folder) if name == "sqlite" else LocalBackend(folder)


@pytest.fixture(params=PARAMS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every target in turn."""
    backend = _backend(request.param, request, tmp_path)
    yield backend
    backend.close()


@pytest.fixture(params=PARAMS[:2])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every target that speaks SQL in turn."""
    backend = _backend(request.param, request, tmp_path)
    yield backend
    backend.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which targets the contract ran over."""
    if _ran:
        ran = ", ".join(name for name in BACKENDS if name in _ran)
        terminalreporter.write_line(f"sink contract ran over: {ran}")
