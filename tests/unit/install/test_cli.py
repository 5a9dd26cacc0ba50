"""The command line, from outside: what is printed where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api2db import __version__

COMMAND = Path(sys.executable).with_name("api2db")
CONFIG = """\
streams:
  lite: { url: "sqlite:///x.db" }
collectors:
  orders:
    every: 30s
    get: http://127.0.0.1:1/orders
    retries: 0
    headers: { X-Key: "${KEY:-open-sesame}" }
    to: { lite: { upsert: id } }
"""


def api2db(
    folder: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the installed command in *folder*."""
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a folder with a configuration whose API never answers."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_help(tmp_path: Path) -> None:
    """`--help` names every command; `-h` does the same."""
    done = api2db(tmp_path, "--help")
    assert done.returncode == 0
    for command in ("run", "check", "preview", "status", "schema"):
        assert f"  {command} " in done.stdout
    assert api2db(tmp_path, "-h").stdout == done.stdout


def test_version(tmp_path: Path) -> None:
    """`--version` tells the package's version."""
    done = api2db(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[-1]) == (0, __version__)


def test_unknown_command(tmp_path: Path) -> None:
    """A command that does not exist is wrong usage."""
    done = api2db(tmp_path, "rum")
    assert done.returncode == 2
    assert "No such command 'rum'" in done.stderr


def test_check(project: Path) -> None:
    """A right configuration is said to be so; nothing is written."""
    done = api2db(project, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "config.yaml: ok, 1 collectors, 1 streams\n"
    assert [path.name for path in project.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("command", ["check", "run", "status", "preview"])
def test_wrong_configuration(project: Path, command: str) -> None:
    """A mistake ends every command with 2, and a line on stderr that names file, line and key."""
    (project / "config.yaml").write_text(CONFIG.replace("every", "evry"))
    done = api2db(project, command, *(["orders"] if command == "preview" else []))
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "config.yaml:5: collectors.orders.evry: unknown key, did you mean 'every'?\n"
    )


def test_no_configuration(tmp_path: Path) -> None:
    """Without a file the error says how to name one."""
    done = api2db(tmp_path, "check")
    assert done.returncode == 2
    assert done.stderr == "config.yaml: there is no such file; name one with --config\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "other.yaml", "check"],
        ["check", "-c", "other.yaml"],
        ["check", "--config", "other.yaml"],
        ["--config=other.yaml", "check"],
    ],
)
def test_config_option(project: Path, arguments: list[str]) -> None:
    """The configuration can be named before and after the subcommand."""
    (project / "config.yaml").rename(project / "other.yaml")
    done = api2db(project, *arguments)
    assert (done.returncode, done.stdout[:14]) == (0, "other.yaml: ok")


@pytest.mark.parametrize("arguments", [["--json", "check"], ["check", "--json"]])
def test_json_option(project: Path, arguments: list[str]) -> None:
    """So can `--json`; what is printed then is one JSON value."""
    said = json.loads(api2db(project, *arguments).stdout)
    assert said == {
        "config": "config.yaml",
        "collectors": ["orders"],
        "streams": ["lite"],
        "connect": {},
        "waiting_for_nobody": {},
    }


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_driver(project: Path, command: str) -> None:
    """`check` ends as `run` would: 2, and what to install, once for each target."""
    driver = project / "absent" / "psycopg.py"
    driver.parent.mkdir()
    driver.write_text("raise ModuleNotFoundError('no', name='psycopg')\n")
    other = CONFIG.partition("collectors:\n")[2].replace("orders", "more")
    config = CONFIG.replace("sqlite:///x.db", "postgresql://h/d") + other
    (project / "config.yaml").write_text(config)
    path = os.pathsep.join([str(driver.parent), os.environ.get("PYTHONPATH", "")])
    done = api2db(project, command, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 2
    said = "the stream 'lite' needs a driver: psycopg is not installed"
    assert done.stderr == f"{said}; pip install 'api2db[postgresql]>=2'\n"


def test_connect(project: Path) -> None:
    """`check --connect` says what can be reached and what cannot, without secrets: exit 1."""
    done = api2db(project, "check", "--connect")
    assert done.returncode == 1
    assert "stream lite for orders: ok" in done.stdout
    assert "collector orders: " in done.stderr
    assert "open-sesame" not in done.stdout + done.stderr


def test_schema(tmp_path: Path) -> None:
    """`schema` prints the JSON Schema, without a configuration."""
    done = api2db(tmp_path, "schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["properties"]["collectors"]["description"]


def test_preview_of_nothing(project: Path) -> None:
    """A collector that does not exist is a mistake that names those that do."""
    done = api2db(project, "preview", "ordrs")
    assert done.returncode == 2
    assert "ordrs" in done.stderr
    assert "orders" in done.stderr


def test_failed_poll(project: Path) -> None:
    """`run --once` ends with 1 when an API cannot be reached, and names it."""
    done = api2db(project, "run", "--once", "--timeout", "5s")
    assert done.returncode == 1
    assert "orders" in done.stdout
    assert "Traceback" not in done.stderr
    assert "open-sesame" not in done.stdout + done.stderr


def test_second_daemon(project: Path) -> None:
    """A second `run` on the same STORE ends with 75 and names the first one's process."""
    lock = project / "STORE" / "LOCK"
    program = (
        "import sys; from pathlib import Path; from api2db.files.lock import Lock;"
        "Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        # The lock object must live as long as the process: its descriptor is never closed.
        assert holder.stdout.readline() == "held\n"
        done = api2db(project, "run", "--once")
        holder.kill()
    assert done.returncode == 75
    assert f"pid {holder.pid}" in done.stderr


def test_status_of_a_stopped_daemon(project: Path) -> None:
    """`status` works without a daemon, as text and as JSON."""
    api2db(project, "run", "--once", "--timeout", "5s")
    assert "orders" in api2db(project, "status").stdout
    assert "orders" in json.dumps(json.loads(api2db(project, "status", "--json").stdout))
