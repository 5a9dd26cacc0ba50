"""Servers and targets of the contract."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from api2db.files.codec import FORMATS
from tests.contract.backends import (
    Backend,
    BigqueryBackend,
    BitioBackend,
    DuckdbBackend,
    IkvBackend,
    LocalBackend,
    MysqlBackend,
    OmnisciBackend,
    PostgresBackend,
    SqliteBackend,
)
from tests.contract.generic import WIDENING, GenericPostgresBackend, GenericSqliteBackend
from tests.contract.siridb import SiridbBackend
from tests.fixtures.bigquery import BigqueryServer
from tests.fixtures.bitio import BitioServer
from tests.fixtures.heavydb import HeavydbServer
from tests.fixtures.ikv import IkvServer
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.mysql import MySql
from tests.fixtures.postgres import Postgres
from tests.fixtures.siridb import SiriDbServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from _pytest.mark import ParameterSet

GENERIC = ("generic+postgresql", "generic+sqlite")
SERVERS = ("postgresql", "mariadb", "mysql", "bigquery", "bitio", "siridb", "omnisci")
DATABASES = (*SERVERS, "sqlite", "duckdb", *GENERIC)
FILES = tuple(f"{fmt}-{mode}" for mode in ("shard", "update") for fmt in FORMATS)
BACKENDS = (*DATABASES, "ikv", *FILES)
#: Targets that take an upsert; IKV has no tables, no types and no markers to test.
KEYED = (*DATABASES, "ikv")
#: What has a server of its own, under a fixture of its name.
SERVICES: dict[str, Callable[[Any], Backend]] = {
    "bigquery": BigqueryBackend,
    "bitio": BitioBackend,
    "ikv": IkvBackend,
    "siridb": SiridbBackend,
    "omnisci": OmnisciBackend,
}
#: MariaDB by another driver than PyMySQL, and the module that this driver is.
DRIVERS = {"mariadb+mysqldb": "MySQLdb", "mariadb+mariadbconnector": "mariadb"}


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of the session; its commits need not survive it."""
    with Postgres(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def bitio() -> Iterator[BitioServer]:
    """As `postgres`."""
    with BitioServer(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def ikv() -> Iterator[IkvServer]:
    """The gateway."""
    with IkvServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """As `postgres`."""
    with MariaDb(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def mysql() -> Iterator[MySql]:
    """As `postgres`."""
    with MySql(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def bigquery() -> Iterator[BigqueryServer]:
    """The emulator."""
    with BigqueryServer() as server:
        yield server


@pytest.fixture(scope="session")
def omnisci() -> Iterator[HeavydbServer]:
    """The stand-in."""
    with HeavydbServer() as server:
        yield server


@pytest.fixture(scope="session")
def siridb() -> Iterator[SiriDbServer]:
    """As `postgres`."""
    with SiriDbServer() as server:
        yield server


def _backend(name: str, request: pytest.FixtureRequest, folder: Path) -> Backend:
    request.node.user_properties.append(("contract", name))
    if name == "postgresql":
        return PostgresBackend(request.getfixturevalue("postgres"))
    if name in SERVICES:
        made: Backend = SERVICES[name](request.getfixturevalue(name))
        return made
    if name in ("mariadb", "mysql"):
        return MysqlBackend(request.getfixturevalue(name))
    if name in DRIVERS:
        return MysqlBackend(request.getfixturevalue("mariadb"), name.partition("+")[2])
    if name in ("sqlite", "duckdb"):
        return SqliteBackend(folder) if name == "sqlite" else DuckdbBackend(folder)
    if name in GENERIC and request.node.originalname in WIDENING:
        pytest.skip("the generic sink widens no column")
    if name == "generic+postgresql":
        return GenericPostgresBackend(request.getfixturevalue("postgres"))
    if name == "generic+sqlite":
        return GenericSqliteBackend(folder)
    fmt, _, mode = name.partition("-")
    return LocalBackend(folder, fmt, mode)


def _able(backend: Backend, request: pytest.FixtureRequest) -> Backend:
    """Return *backend*; skip the test if it needs what the target cannot do by its nature."""
    for mark in request.node.iter_markers("needs"):
        if reason := backend.cannot.get(mark.args[0]):
            backend.close()
            pytest.skip(f"{backend.name} cannot {mark.args[0]}: {reason}")
    return backend


def drivers() -> list[ParameterSet]:
    """Return the drivers, for the long tests; one that is not installed is skipped."""
    found = []
    for name, module in DRIVERS.items():
        absent = pytest.mark.skipif(find_spec(module) is None, reason=f"{module} is not installed")
        found.append(pytest.param(name, marks=[pytest.mark.soak, absent]))
    return found


def _params(names: Iterable[str]) -> list[ParameterSet]:
    """Mark each target by its kind, or by the format of its files; drivers are for the soak."""
    found = [
        pytest.param(name, marks=pytest.mark.backend(name.partition("-")[0])) for name in names
    ]
    return found + drivers()


@pytest.fixture(params=_params(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every target in turn."""
    backend = _able(_backend(request.param, request, tmp_path), request)
    yield backend
    backend.close()


@pytest.fixture(params=_params(DATABASES))
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every target that speaks SQL in turn."""
    backend = _able(_backend(request.param, request, tmp_path), request)
    yield backend
    backend.close()


@pytest.fixture(params=_params(KEYED))
def keyed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """Every target that takes an upsert in turn."""
    backend = _able(_backend(request.param, request, tmp_path), request)
    yield backend
    backend.close()
