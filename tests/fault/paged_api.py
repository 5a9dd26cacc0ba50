"""
A paged API that misbehaves: the source of the kill loop, in a process of its own.

``python -m tests.fault.paged_api --seed N [--rate ROWS] [--pad BYTES]`` prints its
port and serves until it is killed, so it outlives every life of the daemon. Three resources,
bearer token ``TOKEN``:

``GET /events?since=T[&cursor=C]``
    Rows that are only ever added, oldest first: ``{"data": [...], "meta": {"next": C}}``.
    ``since`` is inclusive, several rows share one ``updated_at`` (RFC 3339), later rows
    still get the time of rows that were served long ago, and now and then the same row
    comes twice (a twin: two rows are right then, not one).
``GET /state[?since=U]``
    One row per ``id``, with a ``version`` that grows with each revision, ordered by
    revision: ``{"items": [...], "next": URL}``; a revised row moves to the end.
``GET /board[?cursor=C]``
    The newest edition of something that is new as a whole many times a second, and has a
    length of its own each time; all pages of a poll are of one edition.

Faults, while they are on: 500, 429, a body cut short with and without a length, HTML with
200, and 410 for every cursor and next-URL given out before ``refuse`` or a random instant.

``POST /_control`` takes ``{"produce": bool, "faults": bool, "refuse": true}``;
``GET /_stats`` and ``GET /_ledger`` say what was served and what the API holds.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "kill-loop-token"
PAGE = 20
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = ("plain", "naïve", "日本", 'quo"te', "tab\there", "semi;colon", "back\\slash", "")
FAULTS = {"500": 0.02, "429": 0.015, "cut": 0.02, "cut_without_length": 0.005, "html": 0.005}


@dataclass
class Events:
    """Rows that are only added; their times never go back, and often stand still."""

    rng: random.Random
    rows: list[dict[str, Any]] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    pad: int = 0
    _instant: int = 0

    def add(self) -> None:
        """Add one row; one in three moves the time on, one in a hundred is a twin."""
        if self.rows and self.rng.random() < 0.01:
            self.rows.append(self.rows[-1])
            self.times.append(self.times[-1])
            return
        if self.rng.random() < 0.33:
            self._instant += self.rng.randint(1, 5000)
        number = len(self.rows)
        at = EPOCH + timedelta(milliseconds=self._instant)
        row: dict[str, Any] = {
            "id": number,
            "updated_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "kind": self.rng.choice(WORDS),
            # Integers at first, fractions later: the column has to widen on its way.
            "amount": number if number < 60 else number + 0.25,
            "quantity": None if number % 7 == 0 else 2**53 + number,
            "paid": number % 2 == 0,
            "details": {"sku": f"S-{number}", "tags": [self.rng.choice(WORDS), number]},
        }
        if number > 120 and number % 3 == 0:
            row["note"] = f"late key {number}"
        if self.pad:
            row["pad"] = self.rng.randbytes(self.pad // 2).hex()
        self.rows.append(row)
        self.times.append(row["updated_at"])

    def page(self, since: str | None, index: int | None) -> tuple[list[dict[str, Any]], int | None]:
        """Return one page and the index of the next row, None at the end."""
        start = index if index is not None else bisect_left(self.times, since or "")
        end = min(start + PAGE, len(self.rows))
        return self.rows[start:end], end if end < len(self.rows) else None


@dataclass
class States:
    """One row per id, revised again and again, in the order of the revisions."""

    rng: random.Random
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    _newest: dict[int, int] = field(default_factory=dict)
    _instant: int = 1_700_000_000_000

    def revise(self) -> None:
        """Revise one row, or, one time in five, add one."""
        if not self.rows or self.rng.random() < 0.2:
            key = len(self.rows)
        else:
            key = self.rng.randrange(len(self.rows))
        if self.rng.random() < 0.33:
            self._instant += self.rng.randint(1, 900)
        version = self.rows[key]["version"] + 1 if key in self.rows else 1
        self.rows[key] = {
            "id": key,
            "version": version,
            "updated": self._instant,
            "label": f"{self.rng.choice(WORDS)} {version}",
            "score": None if version % 5 == 0 else version / 4 + 0.125,
            "open": version % 2 == 0,
        }
        self._newest[key] = len(self.order)
        self.order.append(key)
        self.updated.append(self._instant)

    def page(self, since: int | None, after: int | None) -> tuple[list[dict[str, Any]], int | None]:
        """Return one page and the revision to go on after, None at the end."""
        at = after + 1 if after is not None else bisect_left(self.updated, since or 0)
        rows: list[dict[str, Any]] = []
        while at < len(self.order) and len(rows) < PAGE:
            if self._newest[self.order[at]] == at:
                rows.append(self.rows[self.order[at]])
            at += 1
        return rows, at - 1 if at < len(self.order) else None


@dataclass
class Board:
    """Rows that are all replaced by those of the next edition."""

    edition: int = 0

    @staticmethod
    def rows(edition: int) -> list[dict[str, Any]]:
        """Return one edition, 1 to 4 pages."""
        size = PAGE + edition * 7 % (3 * PAGE)
        label = f"{WORDS[edition % len(WORDS)]} {edition}"
        return [{"id": i, "edition": edition, "label": label} for i in range(size)]

    def page(self, edition: int, index: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return one page of an edition and the index of the next row, None at the end."""
        rows, end = self.rows(edition), index + PAGE
        return rows[index:end], end if end < len(rows) else None


class PagedApi:
    """What the API holds, what it served, and how it misbehaves; guarded by one lock."""

    def __init__(self, seed: int, rate: float, pad: int = 0) -> None:
        self.rng = random.Random(seed)
        self.rate = rate
        self.lock = threading.Lock()
        self.events = Events(random.Random(seed + 1), pad=pad)
        self.states = States(random.Random(seed + 2))
        self.board = Board()
        self.producing = True
        self.faulty = True
        self.generation = 0
        self.served = {"events": 0, "state": 0, "board": 0, "refused": 0, "rows": 0}
        self.injected = dict.fromkeys(FAULTS, 0)

    def produce_forever(self, stop: threading.Event) -> None:
        """Add `rate` rows a second to each resource, in bursts, until *stop*."""
        owed = 0.0
        while not stop.wait(0.02):
            with self.lock:
                if not self.producing:
                    continue
                self.board.edition += 1
                owed += self.rate * 0.02 * self.rng.choice((0.0, 0.5, 1.0, 2.5))
                while owed >= 1:
                    owed -= 1
                    self.events.add()
                    self.states.revise()

    def fault(self) -> str | None:
        """Decide whether this request meets a fault, and which."""
        if self.faulty:
            roll = self.rng.random()
            for name, share in FAULTS.items():
                roll -= share
                if roll < 0:
                    self.injected[name] += 1
                    return name
        return None

    def get(self, path: str, query: dict[str, list[str]], base: str) -> tuple[int, Any]:
        """Answer a request for data: the status and the JSON value."""

        def one(name: str) -> str | None:
            return query[name][0] if name in query else None

        with self.lock:
            if self.faulty and self.rng.random() < 0.005:
                self.generation += 1  # in the middle of somebody's pages
            if path == "/events":
                cursor = one("cursor")
                if cursor is not None and int(cursor.split("-")[0]) != self.generation:
                    return self._refuse()
                index = int(cursor.split("-")[1]) if cursor is not None else None
                rows, following = self.events.page(one("since"), index)
                token = None if following is None else f"{self.generation}-{following}"
                body: dict[str, Any] = {"data": rows, "meta": {"next": token}}
            elif path == "/state":
                after = one("after")
                if after is not None and int(one("generation") or -1) != self.generation:
                    return self._refuse()
                rows, following = self.states.page(
                    int(one("since") or 0), int(after) if after is not None else None
                )
                url = f"{base}/state?after={following}&generation={self.generation}"
                body = {"items": rows, "next": None if following is None else url}
            elif path == "/board":
                cursor = one("cursor") or f"{self.generation}-{self.board.edition}-0"
                generation, edition, start = (int(part) for part in cursor.split("-"))
                if generation != self.generation:
                    return self._refuse()
                rows, following = self.board.page(edition, start)
                token = None if following is None else f"{generation}-{edition}-{following}"
                body = {"data": rows, "meta": {"next": token}}
            else:
                return 404, {"error": "no such resource"}
            self.served[path[1:]] += 1
            self.served["rows"] += len(rows)
            return 200, body

    def _refuse(self) -> tuple[int, Any]:
        self.served["refused"] += 1
        return 410, {"error": "this cursor has expired, start again"}

    def control(self, order: dict[str, Any]) -> None:
        """Do what the harness asks."""
        with self.lock:
            self.producing = bool(order.get("produce", self.producing))
            self.faulty = bool(order.get("faults", self.faulty))
            if order.get("refuse"):
                self.generation += 1

    def stats(self) -> dict[str, Any]:
        """Say how much was served and made."""
        with self.lock:
            return {
                "served": self.served,
                "pages": sum(self.served[name] for name in ("events", "state", "board")),
                "faults": self.injected,
                "events": len(self.events.rows),
                "keys": len(self.states.rows),
                "state": sum(row["version"] for row in self.states.rows.values()),
                "board": self.board.edition,
            }

    def ledger(self) -> dict[str, Any]:
        """Return all that the API holds: the truth that the targets are held against."""
        with self.lock:
            return {
                "events": self.events.rows,
                "state": list(self.states.rows.values()),
                "board": self.board.rows(self.board.edition),
            }


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive over one `PagedApi`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: PagedApi

    def do_GET(self) -> None:
        """Serve data, the counts or the ledger."""
        url = urlsplit(self.path)
        if url.path == "/_stats":
            return self._answer(200, self.api.stats())
        if url.path == "/_ledger":
            return self._answer(200, self.api.ledger())
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer(401, {"error": "bad token"})
        fault = self.api.fault()
        if fault == "500":
            return self._answer(500, {"error": "injected"})
        if fault == "429":
            return self._answer(429, {"error": "injected"}, retry_after=True)
        if fault == "html":
            return self._send(200, b"<html><body>Down for maintenance</body></html>", "text/html")
        status, value = self.api.get(url.path, parse_qs(url.query), self._base())
        return self._answer(status, value, fault=fault)

    def do_POST(self) -> None:
        """Take an order of the harness."""
        length = int(self.headers.get("Content-Length", 0))
        self.api.control(json.loads(self.rfile.read(length)))
        self._answer(200, {})

    def _base(self) -> str:
        assert isinstance(self.server, Server)
        return f"http://127.0.0.1:{self.server.server_port}"

    def _answer(
        self, status: int, value: Any, *, fault: str | None = None, retry_after: bool = False
    ) -> None:
        body = json.dumps(value).encode()
        if fault in ("cut", "cut_without_length"):
            return self._cut(body, with_length=fault == "cut")
        return self._send(status, body, "application/json", retry_after=retry_after)

    def _send(self, status: int, body: bytes, kind: str, *, retry_after: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", "0" if self.api.rng.random() < 0.5 else "1")
        self.end_headers()
        self.wfile.write(body)

    def _cut(self, body: bytes, *, with_length: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if with_length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: thousands of requests are nobody's reading."""


class Server(ThreadingHTTPServer):
    """A server whose threads never keep the process alive, quiet when a client is killed."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore broken connections: the client is killed all the time."""


def serve(seed: int, rate: float, pad: int = 0) -> Server:
    """Return a server on loopback that produces already; call ``serve_forever`` on it."""
    api = PagedApi(seed, rate, pad)
    handler = type("BoundHandler", (Handler,), {"api": api})
    server = Server(("127.0.0.1", 0), handler)
    stop = threading.Event()
    threading.Thread(target=api.produce_forever, args=(stop,), daemon=True).start()
    return server


def main() -> None:
    """Serve until killed; the first line printed is the port."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=150.0, help="rows a second per resource")
    parser.add_argument("--pad", type=int, default=0, help="bytes of noise in each event")
    args = parser.parse_args()
    server = serve(args.seed, args.rate, args.pad)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
