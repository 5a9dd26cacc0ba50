from __future__ import annotations

import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from api2db.core.errors import ConfigError
from api2db.sink.target import Database, Folder
from api2db.store import Store2Local, Store2Sql
from api2db.stream import Stream, Stream2Bitio, Stream2Local, Stream2Omnisci, Stream2Sql, direct
from api2db.stream.stream2siridb import Stream2Siridb

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = {"username": "u@x", "password": "p@ss:w/rd?#", "host": "db.example"}


def pg(**more: object) -> Stream2Sql:
    """Return a stream that nothing answers to."""
    return Stream2Sql("quakes", "geo", "postgresql", **{**LOGIN, **more})


def test_declaring_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder is made, nothing is connected, nor imported that delivers: no driver, no pandas."""
    monkeypatch.chdir(tmp_path)
    program = (
        "import sys\n"
        "from api2db.stream import Stream2Local, Stream2Sql\n"
        "from api2db.store import Store2Sql\n"
        "login = dict(username='u', password='p', host='192.0.2.1')\n"
        "Stream2Local('a'), Stream2Sql('a', 'd', 'mysql', **login).declaration()\n"
        "Store2Sql('a', 60, 'd', 'mariadb', move_shards_path='x/', **login).declaration()\n"
        "delivers = {'api2db.spool', 'api2db.stream.worker', 'api2db.ingest.form'}\n"
        "drivers = {'pandas', 'pymysql', 'psycopg', 'sqlalchemy'}\n"
        "loaded = (drivers | delivers) & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [None, 5, "", "..", "a/b", "a b", "_a"])
@pytest.mark.parametrize("make", [Stream, Stream2Local, lambda name: Stream2Local(name, "x.csv")])
def test_a_name_that_no_collector_can_have_is_told_at_once(make: Any, name: Any) -> None:
    """Not when the first rows are put."""
    with pytest.raises(ConfigError, match="cannot be a name; use "):
        make(name)


def test_a_password_of_any_characters_stays_one() -> None:
    """The URL quotes it; the text for logs has none of it."""
    from sqlalchemy.engine import make_url

    stream = pg(port="5433")
    url = make_url(stream.engine_str)
    assert (url.username, url.password, url.host, url.port, url.database) == (
        *("u@x", "p@ss:w/rd?#", "db.example"),
        *(5433, "geo"),
    )
    assert url.drivername == "postgresql+psycopg"
    assert stream.log_str == "postgresql://db.example:5433/geo"
    assert "p@ss" not in repr(stream.declaration())


def test_what_a_stream_of_sql_declares() -> None:
    """The table has the collector's name; `if_exists` says how rows get into it."""
    found = pg(if_exists="append", chunk_size=7).declaration()
    assert (found.name, found.stream_type, found.table) == ("quakes", "sql.postgresql", "quakes")
    assert isinstance(found.target, Database)
    assert (found.replace, found.must_be_new, found.chunk_size) == (False, False, 7)
    assert pg(if_exists="replace").declaration().replace
    assert pg(if_exists="fail").declaration().must_be_new


@pytest.mark.parametrize(
    ("mode", "path", "folder", "table"),
    [
        ("shard", None, "STORE/quakes", "parquet"),
        ("shard", "here/", "", "here"),
        ("update", None, "CACHE", "quakes_static.parquet"),
        ("replace", "a/b.dat", "a", "b.dat"),
    ],
)
def test_what_a_local_stream_declares(mode: str, path: str, folder: str, table: str) -> None:
    """A path is a folder of shards, or the file itself, whatever its suffix."""
    found = Stream2Local("quakes", path=path, mode=mode).declaration()
    assert found.stream_type == "local.parquet"
    assert isinstance(found.target, Folder)
    assert (str(found.target.path), found.table) == (folder or ".", table)
    assert (found.target.mode, found.replace) == (mode, mode == "replace")
    assert found.drop_duplicates is True
    assert Stream2Local("q", drop_duplicate_keys=["id"]).declaration().drop_duplicates == ("id",)


class Mine(Stream):
    """A user's."""

    def stream(self, data: pd.DataFrame) -> None:
        """Take rows."""


class Doubled(Stream2Local):
    """A user's, which calls what it overrides."""

    def stream(self, data: pd.DataFrame) -> None:
        """Store twice."""
        super().stream(pd.concat([data, data]))


def test_a_users_stream_is_called() -> None:
    """An overridden `stream` takes the rows, and nothing else does."""
    mine, doubled = Mine("quakes"), Doubled("quakes")
    assert mine.declaration().method == mine.stream
    assert mine.declaration().target is None
    assert doubled.declaration().method == doubled.stream


def test_a_bare_stream_streams_nothing() -> None:
    """The base class says so as documented, and cannot be run."""
    with pytest.raises(AttributeError, match="'Stream' object has no attribute 'stream'"):
        Stream("quakes").stream(pd.DataFrame())
    with pytest.raises(ConfigError, match="override its method stream"):
        Stream("quakes").declaration()


def test_declarations_can_be_pickled() -> None:
    """Locks, queues and connections stay behind; all else comes back."""
    for one in (Mine("a"), Stream2Local("a"), pg()):
        assert one.lock.acquire(blocking=False)
        back = pickle.loads(pickle.dumps(one))
        assert back.lock.acquire(blocking=False)
        assert {**vars(back), "lock": 0} == {**vars(one), "lock": 0}
    store = pickle.loads(pickle.dumps(Store2Local("a", 60, "x/")))
    assert store.declaration().stream.table == "x"


def test_a_stream_of_a_store_has_no_thread() -> None:
    """Neither queue nor lock nor start: the store runs it."""
    stream = pg(store=True)
    assert stream.is_store_instance
    assert not pg().is_store_instance
    for name in ("q", "lock"):
        assert not hasattr(stream, name)
    with pytest.raises(AttributeError):
        stream.start()


def test_what_a_store_declares() -> None:
    """All of it, and the default folder is where `Stream2Local` writes."""
    store = Store2Sql(
        *("quakes", 600, "geo", "mariadb"),
        **LOGIN,
        drop_duplicate_exclude=["at"],
        move_shards_path="old/",
        move_composed_path="whole/",
        chunk_size=9,
    )
    found = store.declaration()
    assert (found.seconds, found.path, found.fmt) == (600, "STORE/quakes/parquet/", "parquet")
    assert (found.move_shards_path, found.move_composed_path) == ("old/", "whole/")
    assert found.drop_duplicate_exclude == ("at",)
    assert (found.stream.stream_type, found.stream.chunk_size) == ("sql.mariadb", 9)
    assert store.is_store_instance and store.stream.is_store_instance
    for name in ("start", "stream_start", "q", "lock"):
        assert not hasattr(store, name)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Stream2Sql("a", "d", "mysql", username="u"), "a: password, host missing"),
        (lambda: pg(port="p@ss:w/rd?#"), "quakes: port: write a number from 1 to 65535"),
        (lambda: Stream2Bitio("a", "me/b"), "a: api_key missing; give it here, or auth_path"),
        (lambda: pg(if_exists="never"), "use append, replace, fail"),
        (lambda: Stream2Sql("a", "d", "sybase", **LOGIN), "'sybase' is no dialect"),
        (lambda: pg(chunk_size=-1), "chunk_size is -1"),
        (lambda: pg(auth_path="AUTH/none.json"), "AUTH/none.json: there is no such file"),
        (lambda: Stream2Local("a", mode="append"), "use shard, update, replace"),
        (lambda: Stream2Local("a", fmt="xlsx"), "use parquet, json, csv, pickle"),
        (lambda: Store2Local("a", 1, "x/", fmt="xlsx"), "use parquet, json, csv, pickle"),
    ],
)
def test_mistakes(make: object, said: str) -> None:
    """Each is a ValueError that says what to write, and never a secret."""
    with pytest.raises(ConfigError) as caught:
        make()  # type: ignore[operator]
    assert isinstance(caught.value, ValueError)
    assert said in str(caught.value)
    assert LOGIN["password"] not in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        lambda cls: cls(Stream2Bitio)("quakes", "me/geo", api_key="v2_k", host="127.0.0.1"),
        lambda cls: cls(Stream2Siridb)("quakes", None, "u", "p", "d", [["127.0.0.1", 1]]),
        lambda cls: cls(Stream2Omnisci)("quakes", "d", "u", "p", "127.0.0.1"),
        lambda cls: cls(Stream2Sql)("quakes", "d", "mysql", "u", "p", "127.0.0.1", port="1"),
    ],
    ids=["bitio", "siridb", "omnisci", "sql"],
)
def test_an_override_may_call_what_it_overrides(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`super().stream(df)` writes where the stream leads; here into `upload_failed`."""
    monkeypatch.chdir(tmp_path)

    def doubling(base: type[Stream]) -> type[Stream]:
        def stream(self: Any, data: pd.DataFrame) -> None:
            base.stream(self, data.assign(n=data["n"] * 2), 0)  # type: ignore[call-arg]

        return type("Doubling", (base,), {"stream": stream, "__module__": __name__})

    monkeypatch.setattr(direct, "_landed", lambda *_: False)
    made(doubling).stream(pd.DataFrame({"n": [1]}))
    (shard,) = tmp_path.glob("STORE/upload_failed/quakes/*/*.parquet")
    assert pd.read_parquet(shard)["n"].tolist() == [2]
