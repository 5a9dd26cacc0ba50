from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from api2db.core.errors import ConfigError
from api2db.files.credentials import read

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"username": "me", "password": "s3cret-word", "host": "h", "port": 5432, "note": "mine"}


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of AUTH/."""
    path = folder / "sql.json"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_what_is_asked_for(tmp_path: Path) -> None:
    """Numbers become text, absent optional keys are left out, other keys are nobody's business."""
    path = write(tmp_path, json.dumps(GOOD))
    assert read(path, ["username", "host"], ["port", "nothing"]) == {
        "username": "me",
        "host": "h",
        "port": "5432",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({**GOOD, "host": ""}), "the key 'host' is empty; fill it in"),
        (json.dumps({"password": "s3cret-word"}), "the key 'username' is missing; fill it in"),
        (json.dumps({**GOOD, "host": ["s3cret-word"]}), "host: write a text"),
        *(
            (json.dumps({**GOOD, "port": port}), "port: write a number from 1 to 65535")
            for port in ("s3cret-word", 5432.5, 0, 65536, "\u00b2")
        ),
        ('{"password": "s3cret-word",', "not JSON; its template is in AUTH/"),
        ("[" * 100_000, "not JSON; its template is in AUTH/"),
        ('"s3cret-word"', "not a JSON object; its template is in AUTH/"),
    ],
)
def test_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    """The error names the file and the key, and no value, in its cause neither."""
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read(path, ["username", "host"], ["port"])
    assert str(caught.value) == f"{path}: {said}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_others_can_read_it(mode: int, tmp_path: Path) -> None:
    """A file that others can read is refused with the command that mends it."""
    path = write(tmp_path, json.dumps(GOOD), mode)
    with pytest.raises(ConfigError, match=f"others can read it; chmod 600 {path}"):
        read(path, ["username"])


def test_no_file(tmp_path: Path) -> None:
    """A folder in its place, and nothing in its place, are told apart."""
    with pytest.raises(ConfigError, match="there is no such file"):
        read(tmp_path / "x.json", [])
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path, [])
