"""References in values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api2db.app.interpolation import Interpolation

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"A": "apple", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${A}", "apple"),
        ("x-${A}-${A}", "x-apple-apple"),
        ("${A:-pear}", "apple"),
        ("${B:-pear}", "pear"),
        ("${B:-}", ""),
        ("${B:-a:-b}", "a:-b"),
        ("${EMPTY}", ""),
        ("${EMPTY:-pear}", "pear"),
        ("$${A}", "${A}"),
        ("$$${A}", "$${A}"),
        ("$A", "$A"),
        ("${NESTED}", "${A}"),
        ("{A}", "{A}"),
    ],
)
def test_variable(tmp_path: Path, written: str, meant: str) -> None:
    """References are replaced once; an empty variable has its default, as in a shell."""
    interpolation = Interpolation(tmp_path, ENV)
    assert interpolation.apply(written) == meant
    assert interpolation.problems == []


def test_everywhere_but_keys(tmp_path: Path) -> None:
    """Values in mappings and lists are replaced; keys, numbers and None stay."""
    value = {"${A}": ["${A}", {"x": "${A}"}, 1, None, True]}
    assert Interpolation(tmp_path, ENV).apply(value) == {
        "${A}": ["apple", {"x": "apple"}, 1, None, True]
    }


def test_file(tmp_path: Path) -> None:
    """A file's text comes without its last line end; the path starts at the configuration."""
    (tmp_path / "token").write_text(" secret \n")
    assert Interpolation(tmp_path, {}).apply("<${file:token}>") == "< secret >"
    assert Interpolation(tmp_path / "x", {}).apply(f"${{file:{tmp_path}/token}}") == " secret "


def test_credential(tmp_path: Path) -> None:
    """A credential comes from the folder that systemd names."""
    (tmp_path / "db").write_text("secret\n")
    env = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert Interpolation(tmp_path / "x", env).apply("${cred:db}") == "secret"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${B}", "the variable B is not set; export it, or write ${B:-default}"),
        ("${file:none}", "cannot read the file {}/none: No such file or directory"),
        ("${cred:x}", "there is no credential x: not started by systemd with LoadCredential="),
        ("${A", "'${' without its '}'; write $${ for the text '${'"),
        (
            "${A-b}",
            (
                "${A-b} is not a reference; write ${NAME}, ${NAME:-default},"
                " ${file:PATH} or ${cred:NAME}"
            ),
        ),
    ],
)
def test_problems(tmp_path: Path, written: str, said: str) -> None:
    """What cannot be replaced is named with its place."""
    interpolation = Interpolation(tmp_path, ENV)
    interpolation.apply({"k": [written]})
    assert interpolation.problems == [(("k", 0), said.replace("{}", str(tmp_path)))]


def test_credential_stays_in_its_folder(tmp_path: Path) -> None:
    """A credential's name is no path."""
    interpolation = Interpolation(tmp_path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    interpolation.apply("${cred:../x}")
    assert interpolation.problems == [((), "'../x' cannot be the name of a credential")]


def test_secrets(tmp_path: Path) -> None:
    """All that was put in is a secret; what was written is not."""
    interpolation = Interpolation(tmp_path, ENV)
    interpolation.apply(["${A}", "$${X}", "plain", "${B:-pear}"])
    assert interpolation.secrets == {"apple", "pear"}
