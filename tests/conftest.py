"""Which targets the tests wrote to: said in the last line, and demanded where it counts."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.fixtures import bigquery, heavydb, mariadb, mysql, postgres, siridb

# How long an example takes says more about the machine than about the code.
settings.register_profile("api2db", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("api2db")

#: Every target that the whole suite tests, local files by their format.
TARGETS = (
    "parquet",
    "json",
    "csv",
    "pickle",
    "sqlite",
    "duckdb",
    "postgresql",
    "mariadb",
    "mysql",
    "bigquery",
    "bitio",
    "siridb",
    "ikv",
    "omnisci",
)
#: What only some machines can get; it is in the last line, and no failure.
_OPTIONAL = frozenset({"mysql", "bigquery", "siridb"})
#: Target -> is its server here, and how to get it?
_SERVERS = {
    "postgresql": (postgres.binaries, "apt-get install postgresql"),
    "bitio": (postgres.binaries, "apt-get install postgresql"),
    "mariadb": (mariadb.binaries, "apt-get install mariadb-server-core mariadb-client-core"),
    "bigquery": (bigquery.binaries, "sh scripts/setup_servers.sh"),
    "omnisci": (heavydb.binaries, "pip install 'api2db[omnisci]>=2'"),
    "mysql": (mysql.binaries, "sh scripts/setup_servers.sh"),
    "siridb": (siridb.binaries, "sh scripts/setup_servers.sh"),
}


class Ran:
    """
    What the tests wrote to, gathered from their reports: they may run in several processes.

    A test tells by its properties: ``backend``, the targets that it is marked with, and
    ``contract``, the one that the sink contract ran over.
    """

    def __init__(self) -> None:
        self.backend: set[str] = set()
        self.contract: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the targets of a test that passed."""
        if report.when == "call" and report.passed:
            for key, value in report.user_properties:
                if key in ("backend", "contract"):
                    getattr(self, key).add(value)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which targets the contract ran over."""
        if self.contract:
            ran = ", ".join(sorted(self.contract))
            terminalreporter.write_line(f"sink contract ran over: {ran}")


_ran = pytest.StashKey[Ran]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--targets`, which `make test` gives."""
    parser.addoption(
        "--targets",
        action="store_true",
        help="end with a line that says which targets were tested; with CI=true all must be",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Nothing has run yet."""
    config.stash[_ran] = Ran()
    config.pluginmanager.register(config.stash[_ran])


def targets(item: pytest.Item) -> set[str]:
    """Return the targets that a test is marked with."""
    return {str(mark.args[0]) for mark in item.iter_markers("backend")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a server that is not installed; the last line tells."""
    for item in items:
        item.user_properties += [("backend", name) for name in sorted(targets(item))]
    for name, (binaries, command) in _SERVERS.items():
        if binaries() is None:
            skip = pytest.mark.skip(reason=f"no server of {name} here: {command}")
            for item in items:
                if name in targets(item):
                    item.add_marker(skip)


def demanded(config: pytest.Config) -> bool:
    """Return whether this process, none of the workers, is to say which targets ran."""
    return bool(config.getoption("--targets")) and not hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where all targets are demanded and one was left out."""
    missing = set(TARGETS) - _OPTIONAL - session.config.stash[_ran].backend
    strict = demanded(session.config) and os.environ.get("CI") == "true"
    if strict and session.exitstatus == 0 and missing:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Write the last line."""
    if demanded(config):
        ran = config.stash[_ran].backend
        left_out = [name for name in TARGETS if name not in ran]
        print(
            f"backends: ran {', '.join(sorted(ran)) or 'none'};"
            f" NOT RUN: {', '.join(left_out) or 'none'}",
            file=sys.stdout,
            flush=True,
        )
