"""
Rows into a database of bit.io, which is a PostgreSQL behind an API key.

Rows and markers go the way of `PostgresSink`, over TLS. The SDK speaks to the HTTP API: it is
asked where a login is refused, for PostgreSQL cannot tell a wrong key from a missing database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

import requests
from bitdotio import _bitdotio as sdk
from bitdotio.api_client import ApiClient
from bitdotio.utils import validate_database_name, validate_token

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkUnavailable
from api2db.sink.postgresql import PostgresSink
from api2db.sink.target import Database

if TYPE_CHECKING:
    from api2db.sink.base import Delivery
    from api2db.sink.target import Bitio

#: The user that every key logs in as.
USER = "api_user"
#: Seconds for one answer of the HTTP API.
_PATIENCE = 10.0


class BitioSink(PostgresSink):
    """
    One table of a database of bit.io, through one connection.

    Raises:
        ConfigError: The key or the database's name cannot be one.
    """

    def __init__(self, target: Bitio, delivery: Delivery) -> None:
        where = f"streams.{delivery.stream}"
        try:
            validate_token(target.api_key)
        except ValueError:
            text = f"{where}: 'api_key' in the file of AUTH/ is no key of bit.io"
            raise ConfigError(text, hint="write one that begins with v2_") from None
        try:
            validate_database_name(target.database)
        except ValueError:
            text = f"{where}: {target.database!r} cannot be a database"
            raise ConfigError(text, hint="write owner/name") from None
        login = Database.of(
            "postgresql",
            target.database,
            host=target.host,
            username=USER,
            password=target.api_key,
            port=str(target.port),
        )
        # The SDK's own sslmode=require would send the key to anybody.
        trusted = quote(str(target.ca) if target.ca else "system", safe="")
        tls = f"sslmode=verify-full&sslrootcert={trusted}"
        super().__init__(f"{login.url}?{tls}", delivery)
        self.name = "bitio"
        self._bitio = target

    def open(self) -> None:
        """As `Sink.open`; a login that is refused is explained by the HTTP API."""
        try:
            super().open()
        except SinkMisconfigured as exc:
            raise explained(exc, self._bitio) from exc
        except SinkUnavailable as exc:
            text = f"bit.io {self._bitio.host}:{self._bitio.port}: {exc.args[0]}"
            hint = "is it up, and are 'host' and 'port' right? It is tried again by itself"
            raise SinkUnavailable(text, hint=hint) from exc


def explained(exc: SinkMisconfigured, target: Bitio) -> SinkMisconfigured:
    """Return what PostgreSQL says, or in its place what the API says of key and database."""
    try:
        client(target).get_database(target.database)
    except sdk.ApiError as error:
        if error.status_code in (401, 403):
            hint = "put a key of its owner into the file of AUTH/"
            return SinkMisconfigured("bit.io refuses the API key", hint=hint)
        if error.status_code == 404:
            text = f"bit.io has no database {target.database!r}"
            return SinkMisconfigured(text, hint="make it, or check 'database'")
    except (requests.RequestException, ValueError):
        pass  # then PostgreSQL's own word must do
    if "certificate" in exc.args[0]:
        exc.hint = "'ca' names the file of the certificates to trust"
    elif exc.hint:
        exc.hint = exc.hint.replace("the url of the stream", "the stream's file of AUTH/")
    return exc


def client(target: Bitio) -> Any:
    """Return the SDK's object, which speaks to the API of *target* instead of the hosted one."""
    made = sdk.bitdotio(target.api_key)
    made._api_client = _Client(target.api_key, sdk.API_VERSION, target.base_url)
    return made


class _Client(ApiClient):  # type: ignore[misc]
    """The SDK's client, with an address of its own and a limit of time."""

    __slots__ = ("_base",)

    def __init__(self, key: str, version: str, base: str) -> None:
        super().__init__(key, version)
        self._base = base.rstrip("/") + "/"

    def _url(self, path: str) -> str:
        return urljoin(self._base, f"{self._api_version}{path}")

    def request(self, method: str, url: str, **how: Any) -> requests.Response:
        how.setdefault("timeout", _PATIENCE)
        answer: requests.Response = super().request(method, url, **how)
        return answer
