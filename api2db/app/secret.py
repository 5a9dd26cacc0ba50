"""What in a configuration is secret, and how it is kept out of every line that is shown."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from api2db.sink.target import Method

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from api2db.app.model import RootModel
    from api2db.ingest.auth import Auth, OAuth2
    from api2db.sink.target import Target

#: Shorter texts would take ordinary words out of the log.
LENGTH = 4
#: Shorter ones are hidden where they stand as words of their own: in 'siridb' nobody sees 'siri'.
WORDS = 8
#: Before the beginning of a word: nothing that words are made of, or the end of an escape.
_BEGINS = r"(?:(?<![^\W_])|(?<=\\[nrt])|(?<=\\x[0-9a-f]{2})|(?<=%[0-9A-Fa-f]{2}))"
_ENDS = r"(?![^\W_])"
#: Values of headers that are not known to be harmless are secrets from this length on.
HEADER_LENGTH = 8
#: Keys of config.yaml that hold secrets, wherever they are.
_SECRET_KEYS = {
    *("bearer", "client_secret", "password", "refresh_token", "token", "value"),
    *("api_key", "account_passkey"),
}
#: Headers and parameters whose values are secrets even where they are written out.
_TELLTALE = re.compile(r"auth|cookie|key|passw|pwd|secret|sig|token", re.IGNORECASE)
#: Headers that say what is asked for, not who asks.
_HARMLESS = re.compile(
    r"accept.*|cache-control|content-type|from|if-.*|origin|prefer|range|referer|user-agent",
    re.IGNORECASE,
)


class Redactor:
    """
    Replaces secrets in a text by ``***``, in every spelling that a library may give them.

    Immutable, for any thread. Longer secrets go first: one may be part of another.
    """

    def __init__(self, secrets: Collection[str]) -> None:
        spelled = {
            text: len(secret) < WORDS for secret in secrets for text in _spellings(secret) if text
        }
        ordered = sorted(spelled, key=len, reverse=True)
        found = (f"{_BEGINS}{re.escape(t)}{_ENDS}" if spelled[t] else re.escape(t) for t in ordered)
        self._pattern = re.compile("|".join(found)) if ordered else None

    def __call__(self, text: str) -> str:
        """Return *text* without the secrets."""
        return text if self._pattern is None else self._pattern.sub("***", text)


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)


def secrets_of(
    model: RootModel,
    put_in: set[str],
    targets: Iterable[Target] = (),
    auth: Iterable[Auth | OAuth2] = (),
) -> frozenset[str]:
    """
    Return every text of a configuration that must never be shown.

    Args:
        put_in: What references such as ``${NAME}`` stood for.
        targets: With what was read from files of AUTH/.
        auth: The same, of collectors.
    """
    found, urls = _split([model.model_dump(), *map(asdict, auth)])
    found |= put_in | secrets_of_targets(targets)
    for collector in model.collectors.values():
        basic = collector.auth and collector.auth.basic
        if basic:
            found.add(base64.b64encode(f"{basic.user}:{basic.password}".encode()).decode())
        found |= {str(v) for name, v in collector.params.items() if _TELLTALE.search(name)}
        found |= {str(v) for name, v in collector.headers.items() if _is_secret(name, str(v))}
    # A URL as a whole is no secret, or nobody could be told what cannot be reached.
    return frozenset(text for text in found - urls if len(text) >= LENGTH)


def secrets_of_targets(targets: Iterable[Target]) -> frozenset[str]:
    """Return every text of *targets* that must never be shown."""
    found, urls = _split([asdict(each) for each in targets if not isinstance(each, Method)])
    return frozenset(text for text in found - urls if len(text) >= LENGTH)


def _split(known: object) -> tuple[set[str], set[str]]:
    """Return the secrets under *known*, and the URLs, which are none as a whole."""
    found: set[str] = set()
    urls: set[str] = set()
    for key, text in _texts(known):
        if key in _SECRET_KEYS:
            found.add(text)
        if "://" in text:
            urls.add(text)
            found |= set(_of_url(text))
    return found, urls


def _texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text under *value* with the key that holds it."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, str(name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, str):
        yield key, value


def _of_url(url: str) -> Iterator[str]:
    """Yield the password in *url* and its telltale parameters, as written and as meant."""
    parts = urlsplit(url)
    if parts.password:
        yield parts.password
        yield unquote(parts.password)
        # A driver that splits the URL elsewhere may take a part of it for the host.
        yield from (part for part in re.split(r"[@/:?#]", parts.password) if len(part) >= LENGTH)
    for name, value in parse_qsl(parts.query):
        if _TELLTALE.search(name):
            yield value


def _is_secret(header: str, value: str) -> bool:
    if _TELLTALE.search(header):
        return True
    return len(value) >= HEADER_LENGTH and not _HARMLESS.fullmatch(header)
