"""As whom BigQuery is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.auth import default
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account

from api2db.core.errors import SinkMisconfigured
from api2db.files import credentials

if TYPE_CHECKING:
    from api2db.sink.target import Bigquery

_SCOPES = ("https://www.googleapis.com/auth/bigquery",)


def login(target: Bigquery) -> Any:
    """
    Return the credentials of a target; nothing is asked yet.

    Raises:
        ConfigError: The file cannot be used.
        SinkMisconfigured: It holds no service account.
    """
    if target.auth is None:
        anonymous: Any = AnonymousCredentials
        return anonymous() if target.endpoint else default(scopes=_SCOPES)[0]
    info = credentials.read_object(target.auth)
    account: Any = service_account.Credentials
    try:
        return account.from_service_account_info(info, scopes=_SCOPES)
    except Exception:  # noqa: BLE001 - no `from exc`: what it says may hold the key
        raise SinkMisconfigured(
            f"{target.auth}: not the JSON of a service account",
            hint="take the file that Google gave, as it is",
        ) from None
