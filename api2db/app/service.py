"""The daemon with its status page, from start to end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from api2db.app import snapshot
from api2db.app.daemon import Daemon
from api2db.app.notify import notify, watch
from api2db.core.errors import ConfigError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from api2db.app.server import StatusServer
    from api2db.app.settings import Config

logger = logging.getLogger(__name__)

#: What ending may take beyond `grace`: closing files, leaving, in seconds.
STOP_MARGIN = 10.0


def serve(config: Config, stop: threading.Event, loaded: Callable[[], None]) -> None:
    """
    Run until *stop*, which a signal sets, is set.

    Args:
        loaded: Called when all modules are loaded, before the work begins.

    Raises:
        StoreLocked: Another process has the STORE.
        ConfigError: The status page cannot be served, or a driver is missing.
    """
    import api2db.app.server  # noqa: F401 -- slow, and not needed by --once

    daemon = Daemon(config)
    loaded()
    server = None
    try:
        server = _server(config, daemon)
        url = server.url
        daemon.start()
        server.start()
        keep(daemon, running=True, url=url)
        notify("READY=1")  # every thread runs: `start` returned
        watch(daemon.hung, stop)
        # With time for the drain, whatever the unit's TimeoutStopSec says.
        notify(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int((config.grace + STOP_MARGIN) * 1e6)}")
        logger.info("stopping", extra={"grace": config.grace, "queued": daemon.waiting()})
        daemon.stop(config.grace)
        keep(daemon, running=False)
        logger.info("stopped", extra={"queued": daemon.waiting()})
    finally:
        if server is not None:
            server.stop()
        daemon.close()


def keep(daemon: Daemon, *, running: bool, url: str | None = None) -> dict[str, Any]:
    """Keep the daemon's picture for `status`, if the disk takes it; return it."""
    picture = snapshot.snapshot(daemon, running=running, url=url)
    try:
        snapshot.save(picture, daemon.layout.status)
    except OSError as exc:  # a full disk: the picture can wait, the rows cannot
        logger.warning("status_not_saved", extra={"error": str(exc)})
    return picture


def _server(config: Config, daemon: Daemon) -> StatusServer:
    """Return the status server; a project that names no port takes any, if its own is taken."""
    from api2db.app.server import StatusServer

    def serve_at(port: int) -> StatusServer:
        return StatusServer(
            config.status.host,
            port,
            token=config.status.token,
            picture=lambda: snapshot.snapshot(daemon, running=True),
        )

    try:
        return serve_at(config.status.port)
    except ConfigError as exc:
        if config.path.exists():
            raise
        logger.warning("port_taken", extra={"port": config.status.port, "error": str(exc)})
        return serve_at(0)
