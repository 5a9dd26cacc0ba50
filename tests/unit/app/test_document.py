"""What a YAML file may hold, and where its parts lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from api2db.app.document import MAX_BYTES, Document, read
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def parse(folder: Path, text: str) -> Document:
    """Read *text* as a file."""
    path = folder / "x.yaml"
    path.write_text(text)
    return read(path)


def test_lines(tmp_path: Path) -> None:
    """Keys and items know their lines; what is not there has the line around it."""
    document = parse(tmp_path, "# first\na:\n  b: 1\n  c:\n    - x\n    - { d: 2 }\n")
    assert document.value == {"a": {"b": 1, "c": ["x", {"d": 2}]}}
    assert document.line(("a",)) == 2
    assert document.line(("a", "c", 1, "d")) == 6
    assert document.line(("a", "c", 7)) == 4
    assert document.line(("z",)) == 1


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "1: 1\nb: 2\n'1': 3\n"])
def test_duplicate_keys(tmp_path: Path, text: str) -> None:
    """A key that is there twice is a mistake at its second line."""
    key = text[0]
    assert parse(tmp_path, text).problems == [(3, f"{key}: this key is here twice")]


def test_keys_are_texts(tmp_path: Path) -> None:
    """A key stays as it is written: `on`, `no` and 010 are names, not values."""
    assert parse(tmp_path, "on: 1\nno: 2\n010: 3\n~: 4\n").value == {
        "on": 1,
        "no": 2,
        "010": 3,
        "~": 4,
    }


@pytest.mark.parametrize("text", ["a: { <<: { b: 1 } }", "a: { ? { b: 1 } : c }", "a: !!set { b }"])
def test_no_tricks(tmp_path: Path, text: str) -> None:
    """Merge keys and keys that are mappings are refused; sets are mappings to nothing."""
    document = parse(tmp_path, text)
    assert document.problems or document.value == {"a": {"b": None}}


def test_aliases(tmp_path: Path) -> None:
    """An alias repeats what its anchor says."""
    assert parse(tmp_path, "a: &x { b: 1 }\nc: *x\n").value == {"a": {"b": 1}, "c": {"b": 1}}


def test_alias_bomb(tmp_path: Path) -> None:
    """Aliases of aliases that would grow without end are refused."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    with pytest.raises(ConfigError, match=r"x\.yaml:\d+: not YAML: aliases repeat too much"):
        parse(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("text", ["a: &a [*a]", "[" * 5000 + "]" * 5000])
def test_endless(tmp_path: Path, text: str) -> None:
    """What holds itself, or is nested without end, is refused."""
    with pytest.raises(ConfigError, match=r"x\.yaml.*(nested too deeply|aliases repeat)"):
        parse(tmp_path, text)


def test_size(tmp_path: Path) -> None:
    """A file above a megabyte is no configuration; it is not parsed."""
    with pytest.raises(ConfigError, match="larger than 1,000,000 bytes"):
        parse(tmp_path, "a: [" + " " * MAX_BYTES)


@pytest.mark.parametrize(
    ("text", "line"), [("a: [\n", 2), ("a: b: c\n", 1), ("a: 1\n\tb: 2\n", 2), ("a: *x\n", 1)]
)
def test_not_yaml(tmp_path: Path, text: str, line: int) -> None:
    """A syntax error names its line."""
    with pytest.raises(ConfigError, match=rf"x\.yaml:{line}: not YAML: "):
        parse(tmp_path, text)


def test_not_text(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 are refused."""
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: \xff\xfe\n")
    with pytest.raises(ConfigError, match="not YAML"):
        read(path)


def test_no_file(tmp_path: Path) -> None:
    """A file that is missing, or a folder, is named."""
    with pytest.raises(ConfigError, match=r"nothing.yaml: there is no such file; name one"):
        read(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read(tmp_path)
