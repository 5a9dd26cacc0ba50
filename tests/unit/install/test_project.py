"""`init`, `list`, `add`, `remove`: a project folder and its configuration, from outside."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from api2db.app import document
from api2db.core.errors import ConfigError
from api2db.install import edit
from tests.unit.install.test_cli import api2db

TARGETS = ("sql", "bigquery", "omnisci", "bitio", "siridb", "ikv", "bitbucket")


def test_a_new_project_runs_as_it_stands(tmp_path: Path) -> None:
    """`init` writes all that `run` needs, and keeps what is there already."""
    done = api2db(tmp_path, "init", "shop")
    shop = tmp_path / "shop"
    assert done.returncode == 0
    assert {path.name for path in (shop / "AUTH").iterdir()} == {
        f"{target}_auth_template.json" for target in TARGETS
    }
    for path in (shop / "AUTH").iterdir():
        json.loads(path.read_text())
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "/AUTH/*" in (shop / ".gitignore").read_text()
    assert api2db(shop, "run", "--once").returncode == 0
    config = shop / "config.yaml"
    config.write_text("# mine\n")
    again = json.loads(api2db(tmp_path, "init", "shop", "--json").stdout)
    assert again["wrote"] == []
    assert "config.yaml" in again["kept"]
    assert config.read_text() == "# mine\n"


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    """A file in the way is a mistake of who typed it."""
    (tmp_path / "file").touch()
    done = api2db(tmp_path, "init", "file/x")
    assert (done.returncode, "cannot write" in done.stderr) == (2, True)


CONFIG = """\
# head
streams: { lite: { url: "sqlite:///x.db" } }   # target
collectors:
    # about one
    one:
        every: 5s            # often
        get: https://me:hunter2@h/x?key=secret
        to: { lite: {} }
    # behind one

status: { bind: "127.0.0.1:0" }
# tail"""


def test_add_list_remove(tmp_path: Path) -> None:
    """A collector comes and goes, and not one other byte changes; secrets are not shown."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = api2db(tmp_path, "add", "two", "--every", "10m")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "collectors" / "two.py").read_text().startswith('"""What two collects')
    assert api2db(tmp_path, "preview", "two").returncode == 0
    done = api2db(tmp_path, "add", "three", "--get", "https://h/y", "--rows", "data")
    assert done.returncode == 0
    listed = json.loads(api2db(tmp_path, "list", "--json").stdout)
    assert listed == [
        {
            "name": "one",
            "source": "get https://h/x",
            "schedule": "every 5 s",
            "to": {"lite": "one"},
        },
        {
            "name": "two",
            "source": "python two:collect",
            "schedule": "every 600 s",
            "to": {"lite": "two"},
        },
        {
            "name": "three",
            "source": "get https://h/y",
            "schedule": "every 300 s",
            "to": {"lite": "three"},
        },
    ]
    for name in ("two", "three"):
        assert api2db(tmp_path, "remove", name).returncode == 0
    assert (tmp_path / "config.yaml").read_text() == CONFIG


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "one"], "there is a collector 'one'"),
        (["add", "One"], "cannot be a name"),
        (["add", "two", "--to", "pg"], "there is no stream 'pg'; there are: lite"),
        (["add", "two", "--every", "soon"], "--every"),
        (["remove", "two"], "there is no collector 'two'; there are: one"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], said: str) -> None:
    """Exit 2, what to do, and nothing is changed."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    done = api2db(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert (tmp_path / "config.yaml").read_text() == CONFIG
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml"]


HEADS = [
    "",
    "a: 1",
    "collectors:\n",
    "collectors: {}  # none yet\nb: 2\n",
    "collectors: null\n",
    "collectors:\n  one: { get: x }\n\n# end\n",
    "collectors:\r\n  one:\r\n    get: x\r\n",
    "collectors:\n  one:\n    query: |\n      select 1\n\n      from t\n  # c\nz: 1\n",
    "b: &x [1]\ncollectors:\n  one: { to: *x }",
]


@pytest.mark.parametrize("text", HEADS)
def test_what_is_added_is_removed_to_the_byte(tmp_path: Path, text: str) -> None:
    """Whatever stands around it."""
    path = tmp_path / "config.yaml"
    path.write_bytes(text.encode())
    before = document.read(path).value or {}
    edit.add(path, "new", ["every: 5s", "to:", "  a: {}"])
    value = document.read(path).value
    assert value["collectors"].pop("new") == {"every": "5s", "to": {"a": {}}}
    assert {k: v for k, v in value.items() if k != "collectors"} == {
        k: v for k, v in before.items() if k != "collectors"
    }
    assert value["collectors"] == (before.get("collectors") or {})
    edit.remove(path, "new")
    if "one" in text:
        assert path.read_bytes().decode().rstrip("\n") == text.rstrip("\n")


@pytest.mark.parametrize("text", ["{collectors: {}}", "collectors: { one: { get: x } }\n"])
def test_braces_are_left_alone(tmp_path: Path, text: str) -> None:
    """Where a line cannot be added, the file stays as it is."""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="in braces"):
        edit.add(path, "new", ["every: 5s"])
    assert path.read_text() == text
