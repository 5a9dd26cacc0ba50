from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import ConfigError
from api2db.stream.login import login

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file without a password."""
    path = tmp_path / "sql.json"
    path.write_text(json.dumps({"username": "file", "host": "h", "port": 5432}))
    path.chmod(0o600)
    return str(path)


def test_what_is_given_goes_before_the_file(file: str) -> None:
    """The file need not hold it then; an empty password is one."""
    given = {"username": "me", "password": "", "host": None, "port": None}
    assert login("a", file, given, optional=("port",)) == {
        "username": "me",
        "password": "",
        "host": "h",
        "port": "5432",
    }


def test_what_is_missing_in_both(file: str) -> None:
    """The file is named, for it is where the key belongs."""
    with pytest.raises(ConfigError, match=r"sql.json: the key 'password' is missing"):
        login("a", file, {"username": None, "password": None})


def test_a_port_beside_a_file(file: str) -> None:
    """What is given is checked as what a file holds."""
    with pytest.raises(ConfigError, match="a: port: write a number"):
        login("a", file, {"host": None, "port": 70_000}, optional=("port",))
