"""Facts about mysqlclient and MariaDB's connector; the contract itself runs over both, too."""

from __future__ import annotations

import os
import signal
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pymysql
import pytest

from api2db.core.errors import ConfigError, SinkError, SinkUnavailable
from api2db.sink.base import Delivery
from api2db.sink.mysqldriver import DRIVERS, connector
from api2db.sink.mysqlerrors import translate
from api2db.sink.registry import make_sink
from api2db.sink.target import Database
from tests.contract.backends import MysqlBackend
from tests.contract.conftest import drivers
from tests.contract.test_mysql import stopped_amid_a_load
from tests.contract.test_sink import batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=drivers())
def target(request: pytest.FixtureRequest) -> Iterator[MysqlBackend]:
    """A database of MariaDB, by each driver."""
    driver = request.param.partition("+")[2]
    backend = MysqlBackend(request.getfixturevalue("mariadb"), driver)
    yield backend
    backend.close()


def test_the_driver_is_the_one_that_was_asked_for(target: MysqlBackend) -> None:
    """A URL with a driver connects by that driver, and takes no file from the server."""
    sink: Any = target.sink()
    assert type(sink._db._db).__module__.partition(".")[0] in ("MySQLdb", "mariadb")
    assert not sink._db.infile
    with pytest.raises(pymysql.MySQLError):
        sink._db.run("load data local infile '/etc/passwd' into table _api2db_batches")


@pytest.mark.parametrize("upsert", [(), ("k",)])
def test_text_of_any_characters(target: MysqlBackend, upsert: tuple[str, ...]) -> None:
    """Quotes, backslashes, placeholders and NUL come back as they were."""
    texts = ["%s", "?", "%", "a\0b", "'", '"', "\\", "\\0", "\n", "ünï😀", ":x", "--", "/* */"]
    sink = target.sink(upsert=upsert)
    sink.write([batch([{"k": text, "v": text} for text in texts])])
    assert sorted(row["k"] for row in target.rows()) == sorted(texts)
    assert all(row["k"] == row["v"] for row in target.rows())


@pytest.mark.parametrize("rows", [1, 60_000])
def test_a_stopped_server_is_interrupted(target: MysqlBackend, rows: int) -> None:
    """A call that waits on a stopped server ends soon after `interrupt`."""
    stopped_amid_a_load(target, rows)


def test_a_login_that_nobody_answers_ends_by_itself(target: MysqlBackend) -> None:
    """Nothing can cut off such a login: it ends after `connect_timeout`."""
    target.url += "?connect_timeout=1"
    sink: Any = target.closed_sink(Delivery("0" * 32, "c", "s", "t"))
    os.kill(target.server.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(SinkUnavailable):
            sink.open()
        assert time.monotonic() - began < 8
    finally:
        os.kill(target.server.pid, signal.SIGCONT)


def test_a_wrong_password(target: MysqlBackend) -> None:
    """A login that is refused is a mistake of the configuration, as with PyMySQL."""
    target.url = target.url.replace("root@", "root:wr0ng-pass@")
    sink: Any = target.closed_sink(Delivery("0" * 32, "c", "s", "t"))
    with pytest.raises(SinkError, match="check the url") as caught:
        sink.open()
    assert "wr0ng-pass" not in str(caught.value)


@pytest.mark.soak
@pytest.mark.parametrize("name", sorted(DRIVERS))
def test_every_class_of_the_driver_is_one_of_pymysqls(name: str) -> None:
    """Each error of a driver becomes one of PyMySQL's, whose kinds are tested for themselves."""
    module = pytest.importorskip(DRIVERS[name][0])
    connection: Any = connector(name, "x")({"password": b""})
    pending = [module.Error]
    for cls in pending:
        pending += cls.__subclasses__()
        with pytest.raises(pymysql.MySQLError) as caught, connection._errors():
            raise cls("what it says")
        assert caught.value.args[1] == "what it says"
        assert isinstance(translate(caught.value), SinkError)


def test_a_driver_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what brings the driver, and what goes without it."""
    monkeypatch.setitem(__import__("sys").modules, "MySQLdb", None)
    with pytest.raises(ImportError):
        import_module("MySQLdb")
    url = Database("mysql+mysqldb://me:s3cret@h/d")
    with pytest.raises(ConfigError, match=r"api2db\[mysqlclient\].*PyMySQL") as caught:
        make_sink(url, Delivery("0" * 32, "c", "s", "t"), base=tmp_path)
    assert "s3cret" not in str(caught.value)
