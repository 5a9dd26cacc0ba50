"""How requests identify themselves."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Literal


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
            pair = f"{self.name}:{self.value}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {self.name: self.value} if self.kind == "header" else {}

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        """The query parameters that carry the credential."""
        return ((self.name, self.value),) if self.kind == "query" else ()
