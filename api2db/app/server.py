"""The status server: page, metrics, health; loopback unless told otherwise."""

from __future__ import annotations

import html
import logging
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from api2db.app.metrics import Metrics
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

logger = logging.getLogger(__name__)


class StatusServer:
    """
    Serves snapshots over HTTP from a thread of its own, read-only.

    Args:
        picture: Returns a fresh snapshot; called in the server's thread.
        token: Bearer token that every path but ``/healthz`` asks for; None asks for none.
    """

    def __init__(
        self, host: str, port: int, *, token: str | None, picture: Callable[[], dict[str, Any]]
    ) -> None:
        self._picture = picture
        self._token = token
        self._metrics = Metrics(picture)
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()
        self.url = f"http://{_literal(bound[0])}:{bound[1]}"
        self._hosts = {"localhost", "127.0.0.1", "[::1]", _literal(bound[0]), host}
        config = uvicorn.Config(
            self._application(),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=5,
            limit_concurrency=64,
            server_header=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="status", daemon=True
        )

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()
        logger.info("status_page", extra={"url": self.url})

    def stop(self) -> None:
        """Stop answering; waits a second at most."""
        self._server.should_exit = True
        self._server.force_exit = True
        if self._thread.ident is not None:
            self._thread.join(1.0)
        self._socket.close()

    def _application(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/healthz", lambda _: PlainTextResponse("ok\n")),
                Route("/readyz", self._guarded(self._ready)),
                Route("/metrics", self._guarded(self._prometheus)),
                Route("/api/status", self._guarded(self._status)),
                Route("/", self._guarded(self._page)),
            ]
        )

    def _guarded(self, answer: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """Let only the right host (against DNS rebinding) and the right token in."""

        def guard(request: Request) -> Response:
            if self._token is None:
                name = request.headers.get("host", "").rsplit(":", 1)[0]
                if name not in self._hosts:
                    return PlainTextResponse("unknown host\n", 421)
                return answer(request)
            given = request.headers.get("authorization", "")
            if secrets.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                return answer(request)
            return PlainTextResponse("a bearer token is needed\n", 401)

        return guard

    def _status(self, _request: Request) -> Response:
        return Response(orjson.dumps(self._picture()), media_type="application/json")

    def _prometheus(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    def _ready(self, _request: Request) -> Response:
        bad = list(_troubles(self._picture()))
        if bad:
            return PlainTextResponse("".join(f"{line}\n" for line in bad), 503)
        return PlainTextResponse("ready\n")

    def _page(self, _request: Request) -> Response:
        return HTMLResponse(render(self._picture()))


def _troubles(picture: dict[str, Any]) -> list[str]:
    """Return why the daemon is not ready: a failing collector, a stream that is late."""
    found = []
    for name, collector in picture["collectors"].items():
        if collector["error"]:
            found.append(f"{name}: {collector['error']}")
        found += [
            f"{name}/{stream}: oldest unsent batch is {state['oldest_unsent_seconds']:.0f} s old"
            for stream, state in collector["streams"].items()
            if state["late"]
        ]
    return found


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as exc:
        sock.close()
        raise ConfigError(
            f"status.bind: cannot listen on {host}:{port}: {exc.strerror}",
            hint="another program uses it; choose another port, or 0 for any",
        ) from exc
    return sock


def _literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bad: #c22; --good: #2a7; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { font-size: 1.3rem; } h1 small { font-weight: normal; opacity: .7; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: var(--bad); } .good { color: var(--good); }
.error { color: var(--bad); font-size: .9em; overflow-wrap: anywhere; }
"""


def render(picture: dict[str, Any]) -> str:
    """Return the status page: one row per collector and stream, refreshed every 2 s."""
    rows = "".join(_rows(name, state) for name, state in picture["collectors"].items())
    mood = ("good", "all is well") if picture["healthy"] else ("bad", "needs attention")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>api2db</title>'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="refresh" content="2"><style>{_STYLE}</style>'
        f'<h1>api2db <small class="{mood[0]}">{mood[1]}</small></h1>'
        "<table><tr><th>collector<th>stream<th>state<th class=n>collected<th class=n>landed"
        "<th class=n>queued batches<th class=n>oldest, s<th class=n>dead rows</tr>"
        f"{rows}</table></html>"
    )


def _rows(name: str, collector: dict[str, Any]) -> str:
    mood = "good" if collector["state"] == "ok" else "bad"
    lines = [
        f"<tr><th>{html.escape(name)}<td><td class={mood}>{collector['state']}"
        f"<td class=n>{collector['rows_collected']:,}<td><td><td>"
        f"<td class=n>{collector['dead_rows']:,}</tr>" + _error(collector["error"])
    ]
    for stream, state in collector["streams"].items():
        mood = "good" if state["healthy"] else "bad"
        lines.append(
            f"<tr><td><td>{html.escape(stream)}<td class={mood}>{state['state']}<td>"
            f"<td class=n>{state['rows_landed']:,}<td class=n>{state['queued_batches']:,}"
            f"<td class=n>{state['oldest_unsent_seconds']:.1f}"
            f"<td class=n>{state['dead_rows']:,}</tr>" + _error(state["error"])
        )
    return "".join(lines)


def _error(text: str) -> str:
    return f"<tr><td><td colspan=7 class=error>{html.escape(text)}</tr>" if text else ""
