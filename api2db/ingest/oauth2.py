"""Access tokens by OAuth 2 (RFC 6749): client credentials, or a refresh token."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_plus, urlencode

import httpx2

from api2db.core.errors import RequestRefused
from api2db.ingest.auth import basic, fault_of_text, fault_of_value
from api2db.ingest.httperrors import shown
from api2db.ingest.refresh import RefreshToken

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api2db.core.clock import Clock
    from api2db.ingest.auth import OAuth2

logger = logging.getLogger(__name__)

#: A token is renewed this long before it expires, in seconds, or a tenth of its life before.
MARGIN = 60.0
#: A code of RFC 6749 §5.2; anything else that a server sends may be an echo of a secret.
_CODE = re.compile(r"[a-z_]{1,40}")


class Post(Protocol):
    """Sends a form, in one try with a deadline of its own."""

    def __call__(
        self, url: httpx2.URL, headers: Mapping[str, str], body: bytes
    ) -> tuple[httpx2.Response, bytes]:
        """
        Return the answer, whatever its status, and its body.

        Raises:
            SourceUnavailable: There is none; 429 and 5xx count as none.
        """
        ...


class Tokens:
    """
    The access token of one source; used by one thread at a time.

    A token is kept until shortly before its end, or until `forget`. A server that gives a new
    refresh token with it is asked with that one from then on, after a restart, too.

    Args:
        folder: Where `RefreshToken` keeps them; None: in memory.
    """

    def __init__(
        self, settings: OAuth2, *, post: Post, clock: Clock, folder: Path | None = None
    ) -> None:
        self._settings = settings
        self._url = httpx2.URL(settings.token_url)
        self._post = post
        self._clock = clock
        self._refresh = RefreshToken(settings, folder)
        self._token = ""
        self._ends = float("-inf")
        self._in_body = not settings.client_secret

    @property
    def valid(self) -> bool:
        """Whether `headers` needs no new token."""
        return self._clock.monotonic() < self._ends

    def headers(self) -> dict[str, str]:
        """
        Return the header that carries a valid access token; ask for one if there is none.

        Raises:
            SourceUnavailable: The token server does not answer, or it is not our turn.
            RequestRefused: It refuses, as 401, or what it gives is no token.
        """
        if not self.valid:
            with self._refresh.turn():
                self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    def forget(self) -> None:
        """Ask for a new token the next time: the API does not take this one."""
        self._ends = float("-inf")

    def _renew(self) -> None:
        answer, body = self._ask()
        if not self._in_body and _refuses_client(answer, body):
            # RFC 6749 wants HTTP Basic; some servers read the secret in the form only.
            self._in_body = True
            answer, body = self._ask()
            self._in_body = answer.is_success
        if not answer.is_success:
            raise self._refused(f"{answer.status_code} {_code(body)}".rstrip(), "are they right?")
        self._take(_mapping(body))
        logger.info("token_renewed", extra={"url": shown(self._url)})

    def _ask(self) -> tuple[httpx2.Response, bytes]:
        settings = self._settings
        form = {"grant_type": "client_credentials"}
        if self._refresh.value:
            form = {"grant_type": "refresh_token", "refresh_token": self._refresh.value}
        if settings.scope:
            form["scope"] = settings.scope
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if self._in_body:
            form["client_id"] = settings.client_id
            if settings.client_secret:
                form["client_secret"] = settings.client_secret
        else:
            user, password = quote_plus(settings.client_id), quote_plus(settings.client_secret)
            headers["Authorization"] = basic(user, password)
        return self._post(self._url, headers, urlencode(form).encode())

    def _take(self, answer: dict[str, Any]) -> None:
        token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
        if not isinstance(token, str) or not token or fault_of_value(token):
            raise self._refused("its answer holds no usable access_token", "is that its URL?")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise self._refused("its tokens are no bearer tokens", "there is no other kind here")
        life = _seconds(answer.get("expires_in"))
        self._token = token
        self._ends = self._clock.monotonic() + life - min(MARGIN, life / 10)
        if self._refresh.value:
            self._refresh.replace(_text(answer.get("refresh_token")) or self._refresh.value)

    def _refused(self, reason: str, question: str) -> RequestRefused:
        """As 401: whatever the server says, it is the credential that does not work."""
        names = "refresh_token, client_id" if self._refresh.value else "client_id"
        return RequestRefused(
            f"{shown(self._url)}: the token server refuses: {reason}",
            status=401,
            hint=f"check token_url, {names}, client_secret and scope in 'auth.oauth2', or its"
            f" 'file': {question}",
        )


def _refuses_client(answer: httpx2.Response, body: bytes) -> bool:
    return answer.status_code == 401 or _code(body) in ("invalid_client", "invalid_request")


def _mapping(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _code(body: bytes) -> str:
    """Return the error code in *body*, "" if there is none."""
    code = _mapping(body).get("error")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _text(token: object) -> str:
    """Return a token that can be sent, "" if it is none."""
    return token if isinstance(token, str) and fault_of_text(token) is None else ""


def _seconds(life: object) -> float:
    """Return ``expires_in``; a server that does not say is believed until a 401."""
    try:
        seconds = float(life)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return float("inf")
    return seconds if seconds > 0 else float("inf")
