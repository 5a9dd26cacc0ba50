"""Stops a database server as a crash would, every few seconds, and starts it again."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fixtures.mysqlserver import MysqlServer
    from tests.fixtures.postgres import Postgres


class Outages(threading.Thread):
    """
    Alternates between service and outage until `heal`.

    Attributes:
        longest: Longest outage, in seconds; the first one is that long.
    """

    def __init__(self, server: Postgres | MysqlServer, seed: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._rng = random.Random(seed)
        self._over = threading.Event()
        self.longest = 2.0
        self.count = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Stop and start."""
        port = self._server.port
        try:
            while not self._over.wait(self._rng.uniform(4, 10)):
                self._server.stop("immediate")
                self.count += 1
                long = self.longest if self.count == 1 else self._rng.uniform(0.3, self.longest)
                self._over.wait(long)
                self._server.start(port)
        except BaseException as exc:
            self.failure = exc
            raise

    def heal(self) -> None:
        """Return when the server serves again and will go on to."""
        self._over.set()
        self.join(90)
        if self.failure is not None:
            raise RuntimeError("the server did not come back") from self.failure
