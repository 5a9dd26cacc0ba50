"""One collector, run by itself."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

from api2db.app.run import Run
from api2db.ingest.collector import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api2db.ingest.api_form import ApiForm


class Api2Db:
    """
    Runs one collector: as `Run` with it alone.

    One process has a STORE: to run several collectors in one project, give all to `Run`.

    Args:
        collector: What to run.
    """

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def wrap_start(self) -> multiprocessing.Process:
        """Call `start` in a new process, and return the process."""
        process = multiprocessing.Process(target=self.start)
        process.start()
        return process

    def start(self) -> None:
        """Run until SIGTERM or Ctrl-C; raises as `Run.run`."""
        Run([self.collector]).run()

    @staticmethod
    def collect(
        import_target: Callable[[], list[dict[str, Any]] | None],
        api_form: Callable[[], ApiForm],
        stream_qs: Sequence[Any],
    ) -> None:
        """Ask the API once, and put each response's DataFrame into each queue, one for each."""
        collector = Collector("collect", 0, import_target, api_form, list, list)
        for table in collector.frames():
            for q in stream_qs:
                q.put(table.to_pandas())
