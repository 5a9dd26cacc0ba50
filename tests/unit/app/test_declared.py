"""Collectors that are declared in Python, as settings."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest

from api2db.app.project import load
from api2db.core.errors import ConfigError
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Method

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_numbers = itertools.count()

HEAD = """\
from api2db.ingest import *
from api2db.store import *
from api2db.stream import *

LOGIN = dict(username="me", password="p@ss:w/rd", host="db")

def import_target():
    return [{"rows": [{"id": 1}]}]

def form():
    pre = [ListExtract(lam=lambda x: x["rows"])]
    return ApiForm("x", pre, [Feature("id", lambda x: x["id"], int)], [])

def streams():
    return STREAMS

def stores():
    return STORES

"""


def declare(
    folder: Path, streams: str, stores: str = "[]", *, name: str = "quakes", seconds: str = "30"
) -> str:
    """Write a collector's file; return its name. No two have one name: modules are kept."""
    file = f"declared_{next(_numbers):03}.py"
    (folder / "collectors").mkdir(exist_ok=True)
    (folder / "collectors" / file).write_text(
        f"{HEAD}STREAMS = {streams}\nSTORES = {stores}\n"
        f"info = Collector({name!r}, {seconds}, import_target, form, streams, stores)\n"
    )
    return file


def shown(names: Iterable[str]) -> list[str]:
    """Return the names of streams without the digest of where they lead."""
    found = [re.fullmatch(r"(.+)-[0-9a-f]{6}", name) for name in names]
    return [name[1] for name in found if name is not None]


def test_a_collector_becomes_settings(tmp_path: Path) -> None:
    """Streams, stores, interval and options are those of a collector of config.yaml."""
    file = declare(
        tmp_path,
        '[Stream2Local("quakes"), Stream2Sql("quakes", "shop", "mysql", **LOGIN)]',
        '[Store2Sql("quakes", 600, "lake", "mariadb", **LOGIN, drop_duplicate_exclude=["at"],'
        ' move_shards_path="done", move_composed_path="whole")]',
        seconds="2.5",
    )
    config = load(tmp_path / "config.yaml", {})
    quakes = config.collectors["quakes"]
    assert (quakes.every, quakes.place) == (2.5, f"collectors/{file}:22")
    assert shown(quakes.to) == ["local.parquet.quakes-parquet", "sql.mysql.shop"]
    local, mysql = (config.streams[to.stream] for to in quakes.to.values())
    assert isinstance(local, Folder) and local.path == tmp_path / "STORE/quakes"
    assert isinstance(mysql, Database) and "p%40ss%3Aw%2Frd" in mysql.url
    assert "p@ss:w/rd" in config.secrets
    shards, shop = quakes.to.values()
    assert shards.distinct is True
    assert (shop.table, shop.attempts, shop.distinct) == ("quakes", 5, False)
    (store,) = config.stores.values()
    assert shown([store.name]) == ["quakes.sql.mariadb.lake"]
    assert store.shards is not None and store.every == 600
    assert store.shards.path == tmp_path / "STORE/quakes/parquet"
    assert (store.shards.drop_duplicates, store.shards.ignored) == (True, ("at",))
    assert store.shards.keep_shards == tmp_path / "done"
    assert store.shards.keep_composed == tmp_path / "whole"


def test_files_of_a_declared_stream_begin_at_the_project(tmp_path: Path) -> None:
    """Wherever the daemon is started: the folder, and the certificates."""
    declare(
        tmp_path,
        '[Stream2Local("q", "here/q.json", "update", "json"),'
        ' Stream2Bitio("q", "me/b", api_key="v2_k", ca_path="ca.pem"),'
        ' Stream2Ikv("q", "id", None, "a", "p", "s", ca_path="ca.pem")]',
    )
    local, bitio, ikv = load(tmp_path / "config.yaml", {}).streams.values()
    assert isinstance(local, Folder) and local.path == tmp_path / "here"
    for target in (bitio, ikv):
        assert isinstance(target, Bitio | Ikv) and target.ca == tmp_path / "ca.pem"


def test_a_stream_is_named_by_where_it_leads(tmp_path: Path) -> None:
    """In another order they keep their names: what waits for one never goes to another."""
    names = []
    for order in (1, -1):
        folder = tmp_path / str(order)
        folder.mkdir()
        both = '[Stream2Sql("q", db, "postgresql", **LOGIN) for db in ("a", "b")]'
        declare(folder, f"{both}[::{order}]")
        names.append(list(load(folder / "config.yaml", {}).collectors["quakes"].to))
    assert shown(names[0]) == ["sql.postgresql.a", "sql.postgresql.b"]
    assert names[0] == names[1][::-1]


def test_seconds_0_disables(tmp_path: Path) -> None:
    """Nothing of a disabled collector is asked for, not even its streams."""
    declare(tmp_path, "[]", seconds="0")
    config = load(tmp_path / "config.yaml", {})
    assert (config.collectors, config.disabled) == ({}, ("quakes",))


def test_a_method_of_the_users_is_a_target(tmp_path: Path) -> None:
    """A subclass that overrides `stream` gets the rows, whatever it was made from."""
    declare(tmp_path, '[type("Mine", (Stream,), {"stream": lambda self, data: 7})("quakes")]')
    config = load(tmp_path / "config.yaml", {})
    (target,) = config.streams.values()
    assert isinstance(target, Method) and target.type == "stream"


def test_beside_a_config(tmp_path: Path) -> None:
    """`config.yaml` may say anything or almost nothing; its `defaults` are theirs, too."""
    declare(tmp_path, '[Stream2Local("quakes")]')
    (tmp_path / "config.yaml").write_text("defaults: { attempts: 9, quota: 1MB }\nstore: S\n")
    config = load(tmp_path / "config.yaml", {})
    assert config.store == tmp_path / "S"
    quakes = config.collectors["quakes"]
    assert quakes.quota == 10**6
    assert [to.attempts for to in quakes.to.values()] == [9]


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    """A collision names both places; folders of some file systems do not know capitals."""
    file = declare(tmp_path, '[Stream2Local("x")]', name="Quakes")
    (tmp_path / "config.yaml").write_text(
        "streams: { a: { local: x } }\n"
        "collectors:\n  quakes: { every: 1s, get: http://h/, to: { a: } }\n"
    )
    with pytest.raises(ConfigError, match=rf"{file}:22: the name 'Quakes' is taken by .*yaml:3"):
        load(tmp_path / "config.yaml", {})


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """Each names its file and line; nothing runs until all are mended, as with functions."""
    one = declare(tmp_path, "[1 / 0]", name="one")
    two = declare(tmp_path, "[]", name="two")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    assert str(caught.value) == f"collectors/{one}:20: ZeroDivisionError: division by zero"
    (tmp_path / "collectors" / one).unlink()
    three = declare(tmp_path, '[Stream2Local("x")]', name="three", seconds="-1")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"collectors/{two}:22: its streams() brings no stream")
    assert second.startswith(f"collectors/{three}:22: seconds=-1: give a number of seconds")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """A file that declares no collector is not imported by commands that only look."""
    declare(tmp_path, '[Stream2Local("quakes")]')
    (tmp_path / "collectors" / "broken_function.py").write_text("1 / 0\n")
    assert list(load(tmp_path / "config.yaml", {}).collectors) == ["quakes"]


def test_credentials_lie_in_the_project(tmp_path: Path) -> None:
    """A file that is read at each connection is found wherever the daemon was started."""
    service = {
        "type": "service_account",
        "project_id": "p",
        "private_key": "-----BEGIN PRIVATE KEY-----",
        "client_email": "a@b",
        "token_uri": "https://t/",
    }
    (tmp_path / "AUTH").mkdir()
    (tmp_path / "AUTH/google.json").write_text(json.dumps(service))
    (tmp_path / "AUTH/google.json").chmod(0o600)
    arguments = '"quakes", auth_path="AUTH/google.json", pid="p", did="d", tid="t"'
    declare(tmp_path, f'[Stream2Bigquery({arguments}, location="EU")]')
    (target,) = load(tmp_path / "config.yaml", {}).streams.values()
    assert isinstance(target, Bigquery)
    assert (target.auth, target.location) == (tmp_path / "AUTH/google.json", "EU")


def test_a_project_of_2021(tmp_path: Path) -> None:
    """Collectors in `apis/`, a package, with `helpers.py` beside it, are found as they lie."""
    file = declare(tmp_path, "[Stream2Local(NAME)]")
    (tmp_path / "helpers_of_2021.py").write_text('NAME = "helped"\n')
    (tmp_path / "collectors").rename(tmp_path / "apis")
    path = tmp_path / "apis" / file
    path.write_text(f"from helpers_of_2021 import *\n{path.read_text()}")
    (tmp_path / "apis/__init__.py").write_text(f"from .{path.stem} import info\napis = [info]\n")
    (to,) = load(tmp_path / "config.yaml", {}).collectors["quakes"].to
    assert shown([to]) == ["local.parquet.helped-parquet"]


def test_two_stores_of_one_folder_are_one(tmp_path: Path) -> None:
    """Each shard goes to both targets before it is put away; unlike options are a mistake."""
    store = 'Store2Sql("quakes", {}, "{}", "mysql", **LOGIN)'
    declare(tmp_path, '[Stream2Local("q")]', f"[{store.format(60, 'a')}, {store.format(60, 'b')}]")
    (only,) = load(tmp_path / "config.yaml", {}).stores.values()
    assert shown(only.to) == ["sql.mysql.a", "sql.mysql.b"]
    other = tmp_path / "other"
    other.mkdir()
    declare(other, '[Stream2Local("q")]', f"[{store.format(60, 'a')}, {store.format(9, 'b')}]")
    with pytest.raises(ConfigError, match="two stores compose the shards of"):
        load(other / "config.yaml", {})


@pytest.mark.parametrize(
    ("streams", "stores", "said"),
    [
        ("[1]", "[]", r"its streams\(\) brings 1; return a list of streams"),
        ("Stream2Local('quakes')", "[]", r"its streams\(\) returns .*; return a list"),
        ("[Stream2Local('quakes')]", "[None]", r"its stores\(\) brings None"),
        ("[]; streams = None", "[]", "streams is None; give a function, without calling it"),
        ("[]; form = form()", "[]", "api_form is .*; give a function, without calling it"),
    ],
)
def test_what_is_no_stream_is_said_at_its_collector(
    tmp_path: Path, streams: str, stores: str, said: str
) -> None:
    """The error names the argument, not a line of the product."""
    file = declare(tmp_path, streams, stores)
    with pytest.raises(ConfigError, match=rf"^collectors/{file}:\d+: {said}"):
        load(tmp_path / "config.yaml", {})
