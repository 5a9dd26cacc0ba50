"""The laboratory: made, run until the form is whole, and cleared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api2db.install.clear_lab import clab
from api2db.install.make_lab import mlab
from api2db.install.run_lab import rlab

#: What a user puts in place of each ``return None``, in order, and what `rlab` shows before it.
STEPS = (
    ("return [{'t': 5, 'rows': [{'id': 1}, {'id': None}]}]", "import_target must return a list"),
    ("return [GlobalExtract('t', 't', int), ListExtract('rows')]", "pre_process must return"),
    ("return [Feature('id', lambda x: x['id'], int)]", "data_features must return"),
    ("return [DropNa(['id'])]", "post_process must return"),
)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_form_is_built(capfd: pytest.CaptureFixture[str]) -> None:
    """Each run shows the data as far as the form goes, and says what is missing next."""
    mlab()
    assert "Lab has been created" in capfd.readouterr().out
    lab = Path("laboratory/lab.py")
    for code, missing in STEPS:
        assert rlab() == 0
        assert missing in capfd.readouterr().out
        lab.write_text(lab.read_text().replace("return None", code, 1))
    assert rlab() == 0
    out = capfd.readouterr().out
    assert "finalized data dtypes:\nid    Int64\nt     Int64\n" in out
    files = {path.name: json.loads(path.read_text()) for path in Path("laboratory").glob("*.json")}
    rows = [{"id": 1}, {"id": None}]
    assert files == {
        "lab_cache.json": [{"t": 5, "rows": rows}],
        "data_without_preprocess.json": {"t": 5, "rows": rows},
        "data_after_preprocess.json": rows,
        "data_after_feature_extraction.json": [{"id": 1, "t": 5}, {"id": None, "t": 5}],
    }


def test_there_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A second `mlab` leaves the laboratory as it is."""
    mlab()
    Path("laboratory/lab.py").write_text("mine")
    mlab()
    assert "already exists" in capsys.readouterr().out
    assert Path("laboratory/lab.py").read_text() == "mine"


def test_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a laboratory `rlab` fails, and `clab` has nothing to do."""
    assert rlab() == 1
    assert "run the mlab command" in capsys.readouterr().out
    assert clab() == 0


@pytest.mark.parametrize("answers", [["n"], ["y", "n"], ["y", "yes"]])
def test_clab_asks_twice(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The laboratory stays unless both answers are ``y``."""
    mlab()
    given = iter(answers)
    monkeypatch.setattr("builtins.input", lambda question: next(given))
    assert clab() == 1
    assert Path("laboratory/lab.py").is_file()


def test_clab(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two answers the laboratory is gone."""
    mlab()
    Path("laboratory/data").mkdir()
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert clab() == 0
    assert not Path("laboratory").exists()


def test_clab_leaves_a_link(tmp_path: Path) -> None:
    """A link in place of the laboratory is not followed."""
    (tmp_path / "other").mkdir()
    Path("laboratory").symlink_to("other")
    assert clab() == 0
    assert (tmp_path / "other").is_dir()
