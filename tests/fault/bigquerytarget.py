"""BigQuery as a target of a kill loop: a lasting emulator behind a proxy that cuts."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.fault.filetargets import TARGETS
from tests.fault.outages import Outages
from tests.fault.proxy import Frontend, Proxy
from tests.fault.targets import COUNTS, IN_LOAD, Target
from tests.fixtures import bigquery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: How a request begins, or goes on, that makes rows take effect: a script, or the upload of a load.
_COMMITS = (b"commit transaction", b"PUT /upload/bigquery")


class HttpFrontend(Frontend):
    """The same for a client of BigQuery's REST API: scripts and uploads are its COMMIT."""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """See `Frontend.feed`."""
        seen = self._buffer + data
        self._buffer = seen[-max(map(len, _COMMITS)) :]
        commits = any(commit in seen for commit in _COMMITS)
        if commits:
            self._buffer = b""
        return [(data, commits)]


class BigqueryTarget(Target):
    """By load jobs, straight into the table where rows are appended."""

    name = "bigquery"
    daemon = (sys.executable, "-m", "tests.fault.loadjobs")
    passes = (*IN_LOAD, "sink.after_intent")

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.server = bigquery.BigqueryServer(persistent=True)
        self.server.start()
        seed += len(self.name)
        self.proxy = Proxy(self.server.port, seed, HttpFrontend)
        self.outages = Outages(self.server.stop, self.server.start, seed)
        self.client = self.server.client()

    @staticmethod
    def available() -> bool:
        return bigquery.binaries() is not None

    def stream(self) -> str:
        return (
            f"{{ bigquery: {{ project: {self.server.project}, dataset: d, latency: 200ms,"
            f' endpoint: "http://127.0.0.1:{self.proxy.port}",'
            f' write_endpoint: "{self.server.write_endpoint}" }} }}'
        )

    def _query(self, query: str) -> list[dict[str, Any]]:
        job = self.client.query(
            query.replace("from ", "from d."), retry=None, job_retry=None, timeout=10
        )
        found = job.result(retry=None, job_retry=None, timeout=10)
        return [dict(row.items()) for row in found]

    def away(self) -> tuple[type[Exception], ...]:
        import requests
        from google.api_core.exceptions import GoogleAPIError

        return (GoogleAPIError, requests.RequestException)

    def landed(self) -> dict[str, int]:
        for table, query in COUNTS.items():
            with suppress(*self.away()):
                ((count,),) = (row.values() for row in self._query(query))
                self._landed[table] = int(count)
        return self._landed

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        yield from self._query(f"select * from {table}")

    def delete_markers(self) -> None:
        with suppress(*self.away()):
            self._query("delete from _api2db_batches where true")

    def heal(self) -> None:
        super().heal()
        self.proxy.cutting = False

    def foreign(self) -> list[str]:
        """Name every table: stages must be gone."""
        found = [table.table_id for table in self.client.list_tables("d")]
        return [name for name in found if name not in ("events", "state", "_api2db_batches")]

    def told(self) -> str:
        return f"{super().told()} commits={self.proxy.commits} cuts={self.proxy.cuts}"

    def close(self) -> None:
        super().close()
        self.proxy.close()
        self.client.close()  # type: ignore[no-untyped-call]
        self.server.destroy()


class BigqueryWriteTarget(BigqueryTarget):
    """By the Storage Write API."""

    name = "bigquerywrite"
    daemon = ()
    passes = IN_LOAD


TARGETS |= {cls.name: cls for cls in (BigqueryTarget, BigqueryWriteTarget)}
