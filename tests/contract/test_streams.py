"""`Stream2Sql` as the document of 2021 has it, against real servers."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import sqlalchemy as sa

from api2db.stream import Stream2Sql

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "p@ss:w/r%d?#é "
DIALECTS = [
    pytest.param("postgresql", marks=pytest.mark.backend("postgresql")),
    *(
        pytest.param(name, marks=pytest.mark.backend("mariadb"))
        for name in ("mariadb", "mysql", "amazon_aurora")
    ),
]


class Server:
    """A database of its own, with a user whose password a URL must quote."""

    def __init__(self, dialect: str, request: pytest.FixtureRequest, folder: Path) -> None:
        self.dialect = dialect
        self.folder = folder
        self.db = self.user = f"d{uuid.uuid4().hex[:12]}"
        if dialect == "postgresql":
            server = request.getfixturevalue("postgres")
            server.create_database(self.db)
            with server.connect(self.db) as connection:
                connection.execute(f"create role {self.user} login superuser password '{PASSWORD}'")
        else:
            server = request.getfixturevalue("mariadb")
            server.create_database(self.db)
            with server.connect(self.db) as connection, connection.cursor() as cursor:
                cursor.execute(f"create user {self.user} identified by '{PASSWORD}'")
                cursor.execute(f"grant all on {self.db}.* to {self.user}")
        self.port = str(server.port)
        auth = folder / "auth.json"
        auth.touch(mode=0o600)
        login = {"username": self.user, "password": PASSWORD, "host": "127.0.0.1"}
        auth.write_text(json.dumps({**login, "port": server.port}))

    def stream(self, **more: Any) -> Stream2Sql:
        """Return a stream of the collector ``quakes``."""
        auth = str(self.folder / "auth.json")
        return Stream2Sql("quakes", self.db, self.dialect, auth_path=auth, **more)

    def values(self, stream: Stream2Sql) -> list[int]:
        """Read the table by the documented attribute `con`."""
        assert stream.con is not None
        with stream.con.connect() as connection:
            return list(connection.scalars(sa.text("select v from quakes order by v")))


@pytest.fixture(params=DIALECTS)
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Server:
    monkeypatch.chdir(tmp_path)
    return Server(request.param, request, tmp_path)


def frame(*values: int) -> pd.DataFrame:
    return pd.DataFrame({"v": values, "name": [f"n{v}" for v in values]})


def test_append_and_replace(server: Server, caplog: Any) -> None:
    """Rows are added; or take the place of all that is there; in chunks, too."""
    stream = server.stream(chunk_size=2)
    assert stream.connect() is True, caplog.records[-1].error
    stream.stream(frame(1, 2, 3))
    stream.stream(frame(4))
    assert stream.connected
    assert server.values(stream) == [1, 2, 3, 4]
    server.stream(if_exists="replace").stream(frame(7, 8))
    assert server.values(stream) == [7, 8]
    assert not (server.folder / "STORE/upload_failed").exists()


def test_fail(server: Server) -> None:
    """A table that was there takes nothing, and the rows are kept; one's own takes all."""
    first = server.stream(if_exists="fail")
    first.stream(frame(1))
    first.stream(frame(2))
    assert first.connect()
    assert server.values(first) == [1, 2]
    (server.folder / "STORE/tables").rename(server.folder / "forgotten")
    first.stream(frame(3), retry_depth=0)
    assert server.values(first) == [1, 2]
    kept = server.folder / f"STORE/upload_failed/quakes/sql.{server.dialect}"
    assert len(list(kept.glob("*.parquet"))) == 1


def test_rows_for_a_server_that_is_away_go_to_no_other(server: Server) -> None:
    """Though both have a database of one name: they wait for theirs."""
    server.stream(port="1").stream(frame(1), retry_depth=0)
    here = server.stream()
    here.stream(frame(2))
    assert here.connect()
    assert server.values(here) == [2]
    kept = server.folder / f"STORE/upload_failed/quakes/sql.{server.dialect}"
    assert len(list(kept.glob("*.parquet"))) == 1


def test_a_wrong_password(server: Server, caplog: Any) -> None:
    """`connect` says no, and says it without a secret."""
    if server.dialect == "postgresql":
        pytest.skip("the test's server trusts everybody")
    stream = server.stream()
    stream.password = "wr0ng-word"
    stream.load()
    assert stream.connect() is False
    assert stream.connected is False
    assert "wr0ng-word" not in str([vars(record) for record in caplog.records])
