"""What the documents say is there: links, commands, targets of make, and the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api2db.app.config import load
from api2db.install.cli import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links(document: Path) -> None:
    """Every relative link leads to a file of the repository."""
    links = [link.partition("#")[0] for link in _LINK.findall(document.read_text())]
    local = [link for link in links if link and "://" not in link]
    assert [link for link in local if not (document.parent / link).exists()] == []


def test_commands() -> None:
    """The README names commands and options that exist, and every command."""
    named = set(re.findall(r"^\| `api2db (\w+)", README, re.MULTILINE))
    assert named == set(cli.commands)
    known = {"-c", "--json"} | {
        option for command in cli.commands.values() for p in command.params for option in p.opts
    }
    assert set(re.findall(r"--[a-z]+", README)) <= known


def test_make_targets() -> None:
    """Every `make` target that a document names is there."""
    makefile = ROOT / "Makefile"
    there = set(re.findall(r"^([a-z]+):", makefile.read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        for named in re.findall(r"(?:`|^)make ((?:[a-z]+ ?)+)", document.read_text(), re.MULTILINE):
            assert set(named.split()) <= there, document.name


def test_example(tmp_path: Path) -> None:
    """The README's configuration loads as it stands."""
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "config.yaml"
    path.write_text(example)
    config = load(path, {"PG_DSN": "postgresql://h/d", "ACME_TOKEN": "token"})
    assert config.collectors["orders"].to["pg"].upsert == ("id",)


def test_tests_that_are_named() -> None:
    """Every test that a document names is there."""
    for document in DOCUMENTS:
        for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", document.read_text()):
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


def test_short() -> None:
    """The README stays within 120 lines, a decision within 40."""
    assert README.count("\n") <= 120
    for decision in (ROOT / "docs" / "adr").glob("*.md"):
        assert decision.read_text().count("\n") <= 40, decision.name
