"""The API of the acceptance example: orders, paged by cursor, filtered by ``since``."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "acme-secret-token"
PAGE = 2


class OrdersApi:
    """
    Serves `orders` at ``/v1/orders`` on a free loopback port, in threads of this process.

    Attributes:
        orders: The rows; change them between two runs.
        queries: Query of every request, in order.
        down: While true, every request is answered with 503.
    """

    def __init__(self, orders: list[dict[str, Any]]) -> None:
        self.orders = orders
        self.queries: list[dict[str, list[str]]] = []
        self.down = False
        handler = type("OrdersHandler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/orders"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def page(self, query: dict[str, list[str]]) -> dict[str, Any]:
        """Return the page that *query* asks for; ``since`` is inclusive."""
        self.queries.append(query)
        since = query.get("since", [""])[0]
        rows = [order for order in self.orders if order["updated_at"] >= since]
        rows.sort(key=lambda order: str(order["updated_at"]))
        start = int(query.get("cursor", ["c0"])[0][1:])
        end = start + PAGE
        following = f"c{end}" if end < len(rows) else None
        return {"data": rows[start:end], "meta": {"next": following}}

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    api: OrdersApi

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self.api.down:
            return self._send(503, {"error": "down"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._send(401, {"error": "who are you?"})
        if url.path != "/v1/orders":
            return self._send(404, {"error": "no such path"})
        return self._send(200, self.api.page(parse_qs(url.query)))

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
