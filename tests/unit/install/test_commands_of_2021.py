"""`pmake`, `cadd`, `crem`, `clist`, `pclear`."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path

import pytest

from api2db.core.errors import ConfigError
from api2db.install import collector_add, collector_list, collector_remove, project_make
from api2db.install.collector_add import cadd
from api2db.install.collector_remove import crem
from api2db.install.project_clear import pclear
from api2db.install.project_make import pmake


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(builtins, "input", lambda _: answer)


def test_a_project_is_made_listed_and_cleared(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `pmake` made goes after a question, but for what somebody has changed."""
    pmake(["MadeOne", "MadeTwo"])
    assert collector_list.main() == 0
    printed = capsys.readouterr().out
    assert "MadeOne: disabled" in printed and "machine: python machine:load" in printed
    (project / "collectors/MadeTwo.py").write_text("# mine now\n")
    (project / "mine.txt").touch()
    _answering(monkeypatch, "n")
    assert pclear() == 1
    assert (project / "config.yaml").exists()
    _answering(monkeypatch, "y")
    assert pclear() == 0
    left = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {name for name in left if "__pycache__" not in name} == {
        "collectors/MadeTwo.py",
        "mine.txt",
    }
    assert pclear() == 0


def test_a_collector_is_added_and_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file goes after a question; a collector of config.yaml leaves only its lines."""
    pmake(["AddedOne"])
    with pytest.raises(ConfigError, match="there is a collectors/AddedOne.py"):
        cadd("AddedOne")
    _answering(monkeypatch, "n")
    crem("AddedOne")
    assert (project / "collectors/AddedOne.py").exists()
    _answering(monkeypatch, "y")
    crem("AddedOne")
    assert not (project / "collectors/AddedOne.py").exists()
    with pytest.raises(ConfigError, match="there is no collector 'AddedOne'"):
        crem("AddedOne")
    crem("machine")
    assert "machine:load" not in (project / "config.yaml").read_text()


def test_mistakes_are_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong name, or none, ends with 2 and a line that says what to do."""
    for argv, command in (
        (["cadd"], collector_add),
        (["cadd", "no name"], collector_add),
        (["crem"], collector_remove),
        (["pmake", "../x"], project_make),
    ):
        monkeypatch.setattr(sys, "argv", argv)
        assert command.main() == 2
        assert capsys.readouterr().err.strip()
