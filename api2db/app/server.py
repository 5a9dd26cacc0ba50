"""The status server: page, metrics, health; loopback unless told otherwise."""

from __future__ import annotations

import base64
import logging
import secrets
import socket
import threading
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from api2db.app.metrics import CONTENT_TYPE, Metrics
from api2db.app.page import render
from api2db.app.readiness import readiness
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class StatusServer:
    """
    Serves snapshots over HTTP from a thread of its own, read-only.

    Args:
        picture: Returns a fresh snapshot; called in the server's thread.
        token: What every path but ``/healthz`` asks for, as ``Authorization: Bearer TOKEN`` or,
            from a browser, as the password of Basic; None asks for none, and answers only to
            the names of this machine.
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
        self._hosts = {"localhost", "127.0.0.1", "::1", bound[0], host.lower()}
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

    def _application(self) -> ASGIApp:
        return _Hardened(
            Starlette(
                routes=[
                    Route("/healthz", lambda _: PlainTextResponse("ok\n")),
                    Route("/readyz", self._guarded(self._ready)),
                    Route("/metrics", self._guarded(self._prometheus)),
                    Route("/api/status", self._guarded(self._status)),
                    Route("/", self._guarded(self._page)),
                ]
            )
        )

    def _guarded(self, answer: Callable[[], Response]) -> Callable[[Request], Response]:
        """Let only the right host (against DNS rebinding) and the right token in."""

        def guard(request: Request) -> Response:
            if self._token is None:
                if _host(request) in self._hosts:
                    return answer()
                return PlainTextResponse("unknown host\n", 421)
            if _admits(request.headers.get("authorization", ""), self._token):
                return answer()
            ask = {"WWW-Authenticate": 'Basic realm="api2db: any user, the token", Bearer'}
            return PlainTextResponse("the token is needed\n", 401, headers=ask)

        return guard

    def _status(self) -> Response:
        return _json(self._picture())

    def _prometheus(self) -> Response:
        return Response(self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    def _ready(self) -> Response:
        found = readiness(self._picture())
        return _json(found, 200 if found["ready"] else 503)

    def _page(self) -> Response:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
            " connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'"
        )
        page = render(self._picture(), nonce)
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})


class _Hardened:
    """Adds to every answer, errors included, what keeps a browser from misusing it."""

    _HEADERS: ClassVar = {
        b"cache-control": b"no-store",
        b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"referrer-policy": b"no-referrer",
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
    }

    def __init__(self, inner: ASGIApp) -> None:
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = dict(message["headers"])
                message["headers"] = list({**self._HEADERS, **given}.items())
            await send(message)

        await self._inner(scope, receive, hardened)


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value) + b"\n", status, media_type="application/json")


def _host(request: Request) -> str | None:
    """Return the host that the client believes to talk to, without port and brackets."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:
        return None


def _admits(authorization: str, token: str) -> bool:
    """Return whether a header holds *token*: as Bearer, or as the password of Basic."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "basic":  # what a browser sends
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(given.encode(), token.encode())


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen()  # who comes before the thread runs waits for it
    except OSError as exc:
        sock.close()
        raise ConfigError(
            f"status.bind: cannot listen on {host}:{port}: {exc.strerror}",
            hint="another program uses it; choose another port, or 0 for any",
        ) from exc
    return sock


def _literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address
