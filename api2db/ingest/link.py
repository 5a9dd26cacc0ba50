"""The Link header of a response (RFC 8288)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPACE = r"[ \t]*"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_TARGET = re.compile(rf"[ \t,]*<([^>]*)>{_SPACE}")
_PARAM = re.compile(rf";{_SPACE}([^\s;,=\"]*){_SPACE}(?:={_SPACE}({_QUOTED}|[^\s;,\"]*))?{_SPACE}")


def find(headers: Iterable[str], relation: str) -> str | None:
    """
    Return the target of the first link with *relation*, None if there is none.

    A target may hold commas and semicolons, a quoted text anything; ``rel`` may name several
    relations. Links with an ``anchor`` say something about another page, and are left out.

    Args:
        headers: The values of all Link headers of a response, in order.

    Raises:
        ValueError: A header is not written as RFC 8288 says, so that a link may be hidden.
    """
    for header in headers:
        at = 0
        while header[at:].strip(" \t,"):
            target = _TARGET.match(header, at)
            if target is None:
                raise ValueError("the Link header is damaged")
            params: dict[str, str] = {}
            at = target.end()
            while param := _PARAM.match(header, at):
                params.setdefault(param[1].lower(), _plain(param[2] or ""))
                at = param.end()
            if at < len(header) and header[at] != ",":
                raise ValueError("the Link header is damaged")
            if relation in params.get("rel", "").lower().split() and "anchor" not in params:
                return target[1].strip()
    return None


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
