"""
A real API, replayed: one recorded week of earthquakes, in a minute, over HTTP.

Each event appears at its own ``time`` as a preliminary report (its magnitude still a bit
off), and is replaced at its own ``updated`` by the report that was recorded. When the week
is over it comes again, seven days later and under new ids, so the replay never ends.

``GET /quakes[?updatedafter=MS][&cursor=C]`` with a bearer token gives a GeoJSON page of the
current versions, oldest change first, ``updatedafter`` included; ``metadata.next`` is the
cursor of the next page. Every 13th request is answered with 429, every 19th with a body
that breaks off. `Replay` keeps a ledger of every version that it handed out whole.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from bisect import bisect_left
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).with_name("data") / "usgs_all_week_2018-02-07.geojson"
WEEK_MS = 7 * 24 * 3600 * 1000
PAGE = 100


@dataclass(frozen=True, slots=True)
class Version:
    """One report of one event: its id, when it was made (epoch ms), and its feature."""

    id: str
    updated: int
    feature: dict[str, Any]


def week(features: list[dict[str, Any]], number: int) -> list[Version]:
    """Return both versions of every event of the *number*-th week, in the order of changes."""
    versions = []
    for index, feature in enumerate(features):
        name = feature["id"] if number == 0 else f"{feature['id']}-{number}"
        shift = number * WEEK_MS
        final = feature["properties"]
        at, revised = final["time"] + shift, final["updated"] + shift
        first = {
            "mag": round(final["mag"] + (index % 5 - 2) / 10, 2),
            "status": "automatic",
            "updated": at,
        }
        for when, changed in ((at, first), (revised, {"updated": revised})):
            properties = {**final, "time": at, **changed}
            versions.append(Version(name, when, {**feature, "id": name, "properties": properties}))
    return sorted(versions, key=lambda version: version.updated)


class Replay:
    """
    What the API shows now, and what it has handed out. Thread-safe.

    Args:
        seconds: How long a week takes.
        head_start: Share of the first week that is there from the beginning.
    """

    def __init__(self, seconds: float = 60.0, head_start: float = 0.1) -> None:
        self._features = json.loads(DATA.read_bytes())["features"]
        self._weeks = 0
        self._coming: list[Version] = []
        self._log: list[Version] = []
        self._newest: dict[str, int] = {}
        self._speed = WEEK_MS / seconds
        self._start = time.monotonic() - head_start * seconds
        self._first = min(f["properties"]["time"] for f in self._features)
        self._frozen = False
        self._lock = threading.Lock()
        self._requests = 0
        self.handed_out: set[tuple[str, int]] = set()
        self.faults = {"429": 0, "broken body": 0}
        self.polls_since_freeze = 0

    def freeze(self) -> None:
        """Show nothing new from now on, and answer without faults."""
        with self._lock:
            self._advance()
            self._frozen = True

    def _advance(self) -> None:
        """Move what is due by now from the coming versions to the log."""
        if self._frozen:
            return
        now = self._first + (time.monotonic() - self._start) * self._speed
        while True:
            if not self._coming:
                self._coming = week(self._features, self._weeks)[::-1]
                self._weeks += 1
            if self._coming[-1].updated > now:
                return
            version = self._coming.pop()
            self._newest[version.id] = len(self._log)
            self._log.append(version)

    def fault(self) -> str | None:
        """Count a request; return the fault that it meets, if any."""
        with self._lock:
            self._requests += 1
            if self._frozen:
                return None
            for every, name in ((13, "429"), (19, "broken body")):
                if self._requests % every == 0:
                    self.faults[name] += 1
                    return name
            return None

    def page(self, after: int, cursor: int | None) -> tuple[list[Version], int | None]:
        """Return a page of current versions and the cursor of the next one, None at the end."""
        with self._lock:
            self._advance()
            at = cursor
            if at is None:
                at = bisect_left(self._log, after, key=lambda version: version.updated)
            versions: list[Version] = []
            while at < len(self._log) and len(versions) < PAGE:
                if self._newest[self._log[at].id] == at:
                    versions.append(self._log[at])
                at += 1
            return versions, at if at < len(self._log) else None

    def delivered(self, versions: list[Version], *, last: bool) -> None:
        """Enter a page that was sent whole into the ledger."""
        with self._lock:
            self.handed_out.update((version.id, version.updated) for version in versions)
            if last and self._frozen:
                self.polls_since_freeze += 1

    def collected(self) -> int:
        """Return how many distinct versions were handed out."""
        with self._lock:
            return len(self.handed_out)


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 over one `Replay`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    replay: Replay
    token: str

    def do_GET(self) -> None:
        """Answer with a page, or with a fault."""
        url = urlsplit(self.path)
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            return self._send(401, {"error": "this API wants a bearer token"})
        if url.path != "/quakes":
            return self._send(404, {"error": "try /quakes"})
        fault = self.replay.fault()
        if fault == "429":
            return self._send(429, {"error": "slow down"}, {"Retry-After": "1"})
        query = parse_qs(url.query)
        cursor = int(query["cursor"][0]) if "cursor" in query else None
        versions, following = self.replay.page(int(query.get("updatedafter", ["0"])[0]), cursor)
        value = {
            "type": "FeatureCollection",
            "metadata": {"count": len(versions), "next": following},
            "features": [version.feature for version in versions],
        }
        if fault == "broken body":
            return self._send(200, value, broken=True)
        self._send(200, value)
        return self.replay.delivered(versions, last=following is None)

    def _send(
        self,
        status: int,
        value: object,
        headers: dict[str, str] | None = None,
        *,
        broken: bool = False,
    ) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if broken else body)
        self.close_connection = self.close_connection or broken

    def log_message(self, format: str, *args: object) -> None:
        """Keep the terminal for the progress."""


class _Server(ThreadingHTTPServer):
    """Says nothing about clients that leave: giving up on a broken answer is their right."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def serve(replay: Replay, token: str) -> ThreadingHTTPServer:
    """Serve *replay* on a free loopback port, in threads of this process."""
    handler = type("ReplayHandler", (Handler,), {"replay": replay, "token": token})
    server = _Server(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
