"""Facts about a target of bit.io; the contract itself runs over it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from bitdotio import _bitdotio as sdk

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkUnavailable
from api2db.sink.base import Delivery
from api2db.sink.bitio import client, explained
from api2db.sink.registry import make_sink
from api2db.sink.target import Bitio
from tests.contract.backends import BitioBackend
from tests.fixtures.bitio import KEY, BitioServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DELIVERY = Delivery("0" * 32, "c", "s", "t")
pytestmark = pytest.mark.backend("bitio")


@pytest.fixture
def target(bitio: BitioServer) -> Iterator[BitioBackend]:
    """An empty database."""
    backend = BitioBackend(bitio)
    yield backend
    backend.close()


def refused(target: BitioBackend, bitio: Bitio) -> str:
    """Return what a sink says that cannot log in for good."""
    sink = make_sink(bitio, DELIVERY, base=target.server.folder)
    with pytest.raises(SinkMisconfigured) as caught:
        sink.open()
    return str(caught.value)


def test_rows_go_over_tls(target: BitioBackend) -> None:
    """The connection is encrypted, and the server has shown a certificate that is trusted."""
    sink: Any = target.sink()
    assert sink._db.pgconn.ssl_in_use
    assert sink._db.info.user == "api_user"


def test_a_server_that_nobody_vouches_for(target: BitioBackend) -> None:
    """A certificate that the machine does not trust ends the login, before the key is sent."""
    trusted = target.target()
    strange = Bitio(trusted.database, KEY, trusted.base_url, trusted.host, trusted.port)
    assert "'ca' names the file of the certificates to trust" in refused(target, strange)


def test_a_wrong_key(target: BitioBackend) -> None:
    """The API says that it is the key, and the key is not shown."""
    said = refused(target, target.target(key="v2_wr0ng"))
    assert said == "bit.io refuses the API key; put a key of its owner into the file of AUTH/"


def test_no_such_database(target: BitioBackend) -> None:
    """The API says that it is the database."""
    said = refused(target, target.target(database="local/nowhere"))
    assert said == "bit.io has no database 'local/nowhere'; make it, or check 'database'"


def test_an_api_that_is_away(target: BitioBackend) -> None:
    """Rows land without the API; where it should explain, PostgreSQL's own word stands."""
    here = target.target()
    away = "http://127.0.0.1:1/"
    bitio = Bitio(here.database, KEY, away, here.host, here.port, here.ca)
    sink = make_sink(bitio, DELIVERY, base=target.server.folder)
    sink.open()
    sink.close()
    wrong = Bitio(here.database, "v2_wr0ng", away, here.host, here.port, here.ca)
    said = refused(target, wrong)
    assert "authentication failed" in said
    assert "check the stream's file of AUTH/" in said


def test_a_server_that_is_away(target: BitioBackend) -> None:
    """What cannot be reached is tried again; the API is not asked."""
    here = target.target()
    bitio = Bitio(here.database, KEY, here.base_url, here.host, 1, here.ca)
    with pytest.raises(SinkUnavailable, match=r"^bit.io 127.0.0.1:1: .* and 'port' right\?"):
        make_sink(bitio, DELIVERY, base=target.server.folder).open()


@pytest.mark.parametrize(
    ("key", "database", "said"),
    [("s3cret", "me/db", "AUTH/ is no key of bit.io"), ("v2_s3cret", "db", "write owner/name")],
)
def test_what_cannot_be(key: str, database: str, said: str, tmp_path: Path) -> None:
    """A key and a name are checked as the SDK checks them, and the key is not shown."""
    with pytest.raises(ConfigError, match=said) as caught:
        make_sink(Bitio(database, key), DELIVERY, base=tmp_path)
    assert "s3cret" not in str(caught.value) + repr(Bitio(database, key))


def _below(cls: type[BaseException]) -> list[type[BaseException]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _below(sub))]


@pytest.mark.parametrize(
    "cls",
    sorted({*_below(requests.RequestException), sdk.ApiError}, key=lambda cls: cls.__name__),
    ids=lambda cls: cls.__name__,
)
def test_every_error_of_the_sdk(cls: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the SDK raises, the login's own error is not lost."""
    error = cls(500, {}) if cls is sdk.ApiError else cls.__new__(cls)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(sdk._BitV2, "get_database", fail)
    login = SinkMisconfigured("what PostgreSQL said")
    assert str(explained(login, Bitio("me/db", "v2_x"))) == "what PostgreSQL said"


def test_the_sdk_speaks_to_the_address_that_is_given(target: BitioBackend) -> None:
    """The vendor's own code finds the database at `base_url`."""
    found = client(target.target()).get_database(target.database)
    assert found["name"] == target.database
