"""Jobs of BigQuery, each of which happens once, over a connection that can be cut off."""

from __future__ import annotations

import itertools
import socket
import threading
import weakref
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery
from requests.adapters import HTTPAdapter

from api2db.core.errors import SinkUnavailable
from api2db.sink.bigquerylogin import login
from api2db.sink.target import LOAD_PACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.cloud.bigquery.job import LoadJob, QueryJob

    from api2db.sink.bigquerywrite import Writer
    from api2db.sink.target import Bigquery

    Job = LoadJob | QueryJob

#: Seconds that one request may take.
TIMEOUT = 60.0
#: Arguments of every request: the library would try for ten minutes.
_ONCE: Any = {"retry": None, "timeout": TIMEOUT}
#: Least and most seconds between two looks at a job; in between a tenth of what it took so far.
_LOOK, _LONGEST_LOOK = 0.02, 1.0


class Jobs:
    """
    A connection to one project.

    Nothing is retried here, nor in the library: the worker does that, and the ids of jobs let
    it. One thread uses it; `interrupt` is for others.
    """

    def __init__(self, target: Bigquery) -> None:
        self.open = False
        self._location = target.location
        self._cut = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        options = ClientOptions(api_endpoint=target.endpoint) if target.endpoint else None
        self.credentials = login(target)
        self.client = bigquery.Client(
            project=target.project,
            credentials=self.credentials,
            client_options=options,
            location=target.location,
        )
        for scheme in ("http://", "https://"):
            self.client._http.mount(scheme, _Adapter(self._sockets))
        self.writer: Writer | None = None
        if target.latency < LOAD_PACE:
            from api2db.sink.bigquerywrite import Writer  # heavy, and seldom needed

            self.writer = Writer(target, self.credentials)

    # -- jobs ------------------------------------------------------------------------

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        rows = self.execute(sql).result(**_ONCE, job_retry=None)
        return [tuple(row) for row in rows]

    def execute(self, sql: str, id_: str | None = None) -> QueryJob:
        """
        Run *sql*; with *id_* once, see `once`.

        `open` is true from when a job with an id may have begun until its end is known.
        """

        def begin(name: str | None) -> QueryJob:
            return self.client.query(sql, job_id=name, **_ONCE, job_retry=None)

        if id_ is None:
            job: Any = self._wait(begin(None))
        else:
            self.open = True
            job = self.once(id_, begin)
            self.open = False
        _raise(job)
        return job  # type: ignore[no-any-return]

    def load(self, data: bytes, table: bigquery.Table, id_: str, *, anew: bool) -> None:
        """Fill *table* with the Parquet file *data*, in place of all that it holds; see `once`."""

        def begin(name: str) -> LoadJob:
            return self._upload(data, table, name, "WRITE_TRUNCATE")

        _raise(self.once(id_, begin, anew=anew))

    def append(self, data: bytes, table: bigquery.Table, id_: str) -> None:
        """
        Add the rows of the Parquet file *data* to *table*, by a load job that nobody began.

        Raises:
            BadRequest: BigQuery refuses it, and nothing took effect.
        """
        _raise(self._wait(self._upload(data, table, id_, "WRITE_APPEND")))

    def _upload(self, data: bytes, table: bigquery.Table, name: str, disposition: str) -> LoadJob:
        config = bigquery.LoadJobConfig(
            schema=table.schema,  # else that of the file would take its place
            source_format="PARQUET",
            write_disposition=disposition,
            create_disposition="CREATE_NEVER",
        )
        return self.client.load_table_from_file(
            BytesIO(data),
            table.reference,
            job_id=name,
            job_config=config,
            num_retries=0,
            timeout=TIMEOUT,
        )

    def took_effect(self, id_: str) -> bool:
        """
        Return whether the load job *id_* did; one that has not begun never will.

        For its id is taken by a query: should the request for the load still be on its way, then
        BigQuery refuses it.
        """
        try:
            job = self._job(id_)
        except NotFound:
            try:
                job = self.client.query("select 1", job_id=id_, **_ONCE, job_retry=None)
            except Conflict as exc:
                raise SinkUnavailable(f"BigQuery: the job {id_} has just begun") from exc
        self._wait(job)
        return job.job_type == "load" and job.error_result is None

    def once(self, id_: str, begin: Callable[[str], Job], *, anew: bool = False) -> Job:
        """
        Begin a job, or find the one that was begun before the answer was lost; wait for its end.

        An id belongs to a job for good. So the id gets a number, which is raised only after a
        job is known to have ended with an error: while the outcome is open it stays.

        Args:
            anew: What an earlier job did is gone: its success does not count.
        """
        for attempt in itertools.count():
            name = f"{id_}_{attempt}"
            try:
                return self._wait(begin(name))
            except Conflict:
                job = self._wait(self._job(name))
                if job.error_result is None and not anew:
                    return job
        raise AssertionError

    def settle(self, id_: str) -> None:
        """Wait for the end of the jobs that an earlier life of the program began under *id_*."""
        for attempt in itertools.count():
            try:
                job = self._job(f"{id_}_{attempt}")
            except NotFound:
                return
            self._wait(job)

    def _job(self, name: str) -> Job:
        job: Any = self.client.get_job(name, location=self._location, **_ONCE)
        return job  # type: ignore[no-any-return]

    def _wait(self, job: Job) -> Job:
        waited = 0.0
        while job.state != "DONE" and not job.done(**_ONCE):
            look = min(max(_LOOK, waited / 10), _LONGEST_LOOK)
            if self._cut.wait(look):
                raise SinkUnavailable(f"BigQuery: the job {job.job_id} took too long")
            waited += look
        return job

    # -- tables ----------------------------------------------------------------------

    def table(self, table: str) -> bigquery.Table | None:
        """Return a table of the catalog, None if there is none."""
        try:
            return self.client.get_table(table, **_ONCE)
        except NotFound:
            return None

    def tables(self, dataset: str) -> list[str]:
        """Return the names of a dataset's tables."""
        found = self.client.list_tables(dataset, page_size=1000, **_ONCE)
        return [table.table_id for table in found]

    def create(self, table: bigquery.Table) -> bool:
        """Make a table; return False if it is there."""
        try:
            self.client.create_table(table, **_ONCE)
        except Conflict:
            return False
        return True

    def drop(self, table: str) -> None:
        """Remove a table, if it is there."""
        self.client.delete_table(table, **_ONCE, not_found_ok=True)

    def dataset(self, dataset: str) -> str:
        """Make a dataset, if it is missing; return where it lies."""
        try:
            found = self.client.get_dataset(dataset, **_ONCE)
        except NotFound:
            found = self.client.create_dataset(dataset, exists_ok=True, **_ONCE)
        return str(found.location or self._location)

    # -- the connection --------------------------------------------------------------

    def interrupt(self) -> None:
        """Make the call under way fail; never blocks, never raises."""
        self._cut.set()
        for open_ in list(self._sockets):
            with suppress(OSError):
                open_.shutdown(socket.SHUT_RDWR)
        if self.writer is not None:
            self.writer.close()

    def close(self) -> None:
        """Close the connection."""
        if self.writer is not None:
            self.writer.close()
        with suppress(Exception):
            self.client.close()  # type: ignore[no-untyped-call]


def _raise(job: Any) -> None:
    """Raise what a job that has ended says went wrong."""
    if job.error_result is not None:
        error = job.exception(timeout=TIMEOUT)
        assert error is not None
        raise error


class _Adapter(HTTPAdapter):
    """Knows the sockets that are open."""

    def __init__(self, sockets: weakref.WeakSet[socket.socket]) -> None:
        self._open = sockets
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {
            scheme: _known(pool, self._open) for scheme, pool in pools.items()
        }


def _known(pool: Any, sockets: weakref.WeakSet[socket.socket]) -> Any:
    """Return a class like *pool* whose connections put their sockets into *sockets*."""

    def connect(self: Any) -> None:
        pool.ConnectionCls.connect(self)
        sockets.add(self.sock)

    connection = type("Connection", (pool.ConnectionCls,), {"connect": connect})
    return type("Pool", (pool,), {"ConnectionCls": connection})
