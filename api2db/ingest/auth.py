"""How requests identify themselves, and what of a request is a secret."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Headers that say where a request ends; the client sets them.
_FRAMING = frozenset({"connection", "content-length", "te", "transfer-encoding", "upgrade"})
#: Query parameters whose values are secrets.
_SECRET_PARAM = re.compile(
    r"(x[-_.]?)?((api|app|access|auth|client|private|subscription)[-_.]?)?"
    r"(auth|authorization|key|token|secret|password|passwd|pwd|sig|signature)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Auth:
    """
    One credential; added when a request is sent, never stored with it.

    Attributes:
        kind: ``bearer`` (value), ``basic`` (name and value), or an API key (name and value)
            in a ``header`` or in the ``query``.
        value: The secret.
    """

    kind: Literal["bearer", "basic", "header", "query"]
    value: str = field(repr=False)
    name: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry the credential."""
        if self.kind == "bearer":
            return {"Authorization": f"Bearer {self.value}"}
        if self.kind == "basic":
            return {"Authorization": basic(self.name, self.value)}
        return {self.name: self.value} if self.kind == "header" else {}

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        """The query parameters that carry the credential."""
        return ((self.name, self.value),) if self.kind == "query" else ()

    def fault(self) -> str | None:
        """Return why no request can carry the credential, None if one can; never shows it."""
        if self.kind == "basic":
            if ":" in self.name:
                return "the user must not have a colon in it"
            return fault_of_text(self.name) or fault_of_text(self.value)
        if self.kind == "query":
            return fault_of_text(self.value)
        if not self.value:
            return "it is empty"
        return fault_of_header(self.name, self.value) if self.name else fault_of_value(self.value)


@dataclass(frozen=True, slots=True)
class OAuth2:
    """
    Where access tokens come from.

    Attributes:
        token_url: Token endpoint.
        client_secret: Empty for a public client.
        scope: Scopes, separated by spaces; empty to leave it out.
        refresh_token: With it the grant is ``refresh_token``, else ``client_credentials``.
    """

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str = ""
    refresh_token: str = field(default="", repr=False)


def basic(user: str, password: str) -> str:
    """Return the value of ``Authorization`` for *user* and *password* (RFC 7617, UTF-8)."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def fault_of_header(name: str, value: str) -> str | None:
    """Return why a header cannot be sent, None if it can; never shows its value."""
    if _HEADER_NAME.fullmatch(name) is None:
        return "the name of a header is made of letters, digits and '-'"
    if name.lower() in _FRAMING:
        return "this header is for the client to set; leave it out"
    return fault_of_value(value)


def fault_of_value(value: str) -> str | None:
    """Return why *value* cannot stand in a header, None if it can; never shows it."""
    if "\n" in value or "\r" in value:
        return "it has a line break in it; is there one at the end of the secret?"
    if not value.isascii():
        return "it has a character in it that is not ASCII, which no header can hold"
    if not value.replace("\t", " ").isprintable():
        return "it has a control character in it"
    if value != value.strip():
        return "it begins or ends with a space"
    return None


def fault_of_text(value: str) -> str | None:
    """Return why *value* cannot be sent at all, None if it can; never shows it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return "it is not text: it has a byte in it that is not UTF-8, or half a character"
    return None


def secret_params(params: Mapping[str, str]) -> frozenset[str]:
    """Return the values in *params* that are secrets by the names that they have."""
    return frozenset(v for name, v in params.items() if v and _SECRET_PARAM.fullmatch(name))
