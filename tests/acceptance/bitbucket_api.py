"""
A stand-in for Bitbucket Cloud's REST API 2.0: it answers as the service is documented to.

Tokens by client credentials, pages behind opaque `next` links, `pagelen` with the cap of each
list, `sort` and `q` by `updated_on`, 401 for a token that is used up, 429 with Retry-After.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.fixtures.api_server import ApiServer, Reply, Seen

KEY, SECRET = "consumer-key", "c0nsumer-secret"
BASE = "/2.0/repositories/acme"
_QUERY = re.compile(r'updated_on\s*(>=?)\s*"?(\d{4}-\d\d-\d\dT[^"\s]+)"?')
_START = datetime(2026, 3, 1, tzinfo=UTC)

Item = dict[str, Any]


class Bitbucket:
    """
    The service, with one workspace ``acme`` and one repository ``shop``.

    Attributes:
        items: What each list has, by the end of its path; change it between two polls.
        uses: Requests that a token is good for.
        limited: Which requests with a good token (from 1) are answered with 429.
        given: Items that were sent, by list.
        tokens: Tokens that were given away.
        statuses: Of all answers but the tokens'.
        waited: Seconds between each 429 and the next request for the same page.
        after_page: Called with the list and the number of its pages that were sent.
    """

    def __init__(self, server: ApiServer, *, uses: int = 2) -> None:
        self.server = server
        self.uses = uses
        self.limited: set[int] = set()
        self.items: dict[str, list[Item]] = {
            "": [self.repository(i) for i in range(130)],
            "/shop/issues": [self.issue(i) for i in range(1, 251)],
            "/shop/pullrequests": [self.pull_request(i) for i in range(1, 121)],
            "/shop/commits": [self.commit(i) for i in range(230)],
        }
        self.given = dict.fromkeys(self.items, 0)
        self.tokens: dict[str, int] = {}
        self.statuses: list[int] = []
        self.waited: list[float] = []
        self.after_page = lambda name, pages: None
        self._links: dict[str, tuple[str, dict[str, list[str]], int]] = {}
        self._pages = dict.fromkeys(self.items, 0)
        self._limited_at: dict[str, float] = {}
        self._lock = threading.RLock()
        server.on("/site/oauth2/access_token", self._token)
        for name in self.items:
            server.on(BASE + name, self._answer)

    # -- what it has -------------------------------------------------------------------

    @staticmethod
    def at(minute: float) -> str:
        """Return an instant as the service writes it."""
        return (_START + timedelta(minutes=minute)).isoformat(timespec="microseconds")

    def repository(self, i: int) -> Item:
        """Return a repository."""
        at = self.at(i)
        return {"type": "repository", "uuid": f"{{{i:036}}}", "slug": f"r{i}", "updated_on": at}

    def issue(self, i: int, minute: float | None = None, title: str = "") -> Item:
        """Return an issue, changed at *minute*. Some share an instant."""
        return {
            "type": "issue",
            "id": i,
            "title": title or f"issue {i}",
            "state": "new" if i % 3 else "resolved",
            "kind": "bug",
            "priority": "major",
            "content": {"type": "rendered", "raw": f"body {i} é😀", "markup": "markdown"},
            "reporter": {"type": "user", "display_name": "Ada", "uuid": "{u1}"},
            "assignee": None if i % 2 else {"type": "user", "display_name": "Bob"},
            "repository": {"type": "repository", "full_name": "acme/shop"},
            "votes": i,
            "created_on": self.at(0),
            "updated_on": self.at(i // 3 if minute is None else minute),
        }

    def pull_request(self, i: int, minute: float | None = None, title: str = "") -> Item:
        """Return a pull request, changed at *minute*."""
        shop = {"repository": {"full_name": "acme/shop"}, "branch": {"name": "main"}}
        return {
            "type": "pullrequest",
            "id": i,
            "title": title or f"request {i}",
            "description": "",
            "state": ("OPEN", "MERGED", "DECLINED", "SUPERSEDED")[i % 4],
            "author": {"display_name": "Ada"},
            "source": {**shop, "branch": {"name": f"b{i}"}},
            "destination": shop,
            "merge_commit": {"hash": f"{i:012x}"} if i % 4 == 1 else None,
            "comment_count": i,
            "task_count": 0,
            "created_on": self.at(0),
            "updated_on": self.at(i if minute is None else minute),
        }

    def commit(self, i: int) -> Item:
        """Return a commit; its time says nothing about when it was pushed."""
        return {
            "type": "commit",
            "hash": f"{i:040x}",
            "message": f"change {i}\n",
            "date": self.at(-i).replace(".000000", ""),
            "author": {"type": "author", "raw": "Ada <ada@acme.com>"},
            "parents": [{"hash": f"{i - 1:040x}"}] if i else [],
            "repository": {"full_name": "acme/shop"},
        }

    # -- what it answers ---------------------------------------------------------------

    def _token(self, seen: Seen) -> Reply:
        basic = "Basic " + b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if seen.headers.get("authorization") != basic:
            error = {"error": "unauthorized_client", "error_description": "Invalid OAuth client"}
            return Reply(error, 401)
        if seen.form != {"grant_type": "client_credentials"}:
            return Reply({"error": "unsupported_grant_type"}, 400)
        token = secrets.token_urlsafe(24)
        with self._lock:
            self.tokens[token] = self.uses
        return Reply(
            {
                "access_token": token,
                "scopes": "issue pullrequest repository",
                "token_type": "bearer",
                "expires_in": 7200,
                "state": "client_credentials",
                "refresh_token": "r3fresh",
            }
        )

    def _answer(self, seen: Seen) -> Reply:
        with self._lock:
            reply = self._page(seen)
            self.statuses.append(reply.status)
            return reply

    def _page(self, seen: Seen) -> Reply:
        if seen.target in self._limited_at:
            self.waited.append(time.monotonic() - self._limited_at.pop(seen.target))
        token = seen.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) <= 0:
            return _error(401, "Access token expired. Use your refresh token to obtain a new one.")
        self.tokens[token] -= 1
        if sum(status != 401 for status in self.statuses) + 1 in self.limited:
            self._limited_at[seen.target] = time.monotonic()
            reply = _error(429, "Rate limit for this resource has been exceeded")
            reply.headers = {"Retry-After": "1"}
            return reply
        name = seen.path.removeprefix(BASE)
        query: dict[str, list[str]] = {}
        for key, value in seen.params:
            query.setdefault(key, []).append(value)
        start = 0
        if "page" in query:
            link = self._links.get(query["page"][0])
            if link is None or len(seen.params) > 1 or link[0] != name:
                return _error(400, "Invalid page")
            _, query, start = link
        found = self._select(name, query)
        if isinstance(found, str):
            return _error(400, found)
        length = int(query.get("pagelen", ["10"])[0])
        values = found[start : start + length]
        body: dict[str, Any] = {"pagelen": length, "size": len(found), "values": values}
        if start + length < len(found):
            page = secrets.token_hex(8)
            self._links[page] = name, query, start + length
            body["next"] = f"{self.server.url}{seen.path}?page={page}"
        reply = Reply(Reply(body).content())  # as it is now: what comes may change it
        self.given[name] += len(values)
        self._pages[name] += 1
        self.after_page(name, self._pages[name])
        return reply

    def _select(self, name: str, query: dict[str, list[str]]) -> list[Item] | str:
        """Return what a list has for *query*, or why it is refused."""
        items = list(self.items[name])
        if int(query.get("pagelen", ["10"])[0]) > (50 if name.endswith("requests") else 100):
            return "Invalid pagelen"
        if name.endswith("requests"):
            items = [item for item in items if item["state"] in query.get("state", ["OPEN"])]
        if name.endswith("commits"):
            return "Invalid query" if {"q", "sort"} & query.keys() else items
        if "q" in query:
            match = _QUERY.fullmatch(query["q"][0])
            if match is None:
                return "Invalid query"
            least = datetime.fromisoformat(match[2])
            items = [item for item in items if datetime.fromisoformat(item["updated_on"]) >= least]
        sort = query.get("sort", ["id"])[0]
        return sorted(items, key=lambda item: item[sort.lstrip("-")], reverse=sort.startswith("-"))


def _error(status: int, message: str) -> Reply:
    return Reply({"type": "error", "error": {"message": message}}, status)
