"""
A collector, declared in Python.

::

    quakes = Collector(
        name="quakes", seconds=30, import_target=load, api_form=form, streams=streams, stores=stores
    )

Four of its arguments are functions, so that nothing is connected or built until it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.core.errors import FormError, SourceError, SourceUnavailable
from api2db.ingest.api2pandas import missing_files
from api2db.ingest.function_module import place, summary
from api2db.ingest.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from api2db.ingest.api_form import ApiForm


class Collector:
    """
    What is collected, how often, and where it goes.

    Args:
        name: Of the collector, its folders and its tables. Another name is another collector.
        seconds: Time from one poll to the next; 0 disables the collector.
        import_target: Asks the API. Returns a list of dicts, one for each response, or None
            for nothing.
        api_form: Returns the form of a response.
        streams: Returns the streams that get the rows.
        stores: Returns the stores that recompose local shards.
        debug: Whether log lines are to be shown at the console.

    Attributes:
        q: A queue for log lines, set by `set_q`. Nothing reads it any more.
    """

    def __init__(
        self,
        name: str,
        seconds: int,
        import_target: Callable[[], list[dict[str, Any]] | None],
        api_form: Callable[[], ApiForm],
        streams: Callable[[], list[Any]],
        stores: Callable[[], list[Any]],
        debug: bool = True,
    ) -> None:
        self.name = name
        self.seconds = seconds
        self.import_target = import_target
        self.api_form = api_form
        self.streams = streams
        self.stores = stores
        self.debug = debug
        self.q: Any = None

    def __repr__(self) -> str:
        return f"Collector(name={self.name!r}, seconds={self.seconds!r})"

    def set_q(self, q: Any) -> None:
        """Keep *q* as the attribute ``q``."""
        self.q = q

    def frames(self) -> Iterator[pa.Table]:
        """
        Ask the API once; yield its data points as tables (n >= 0 rows x the form's columns).

        Data points that are None, or hold no list of rows, are left out; the others stay.
        Values that could not be used are logged at the end, one line for each feature. A
        poller calls this, in its own thread.

        Raises:
            SourceUnavailable: ``import_target`` failed; says where. Or a file that the form
                reads is not there yet: the API is then not asked.
            FormError: It returned no list, or a step of the form failed.
        """
        form = self._call(self.api_form)
        missing = missing_files(form)
        if missing:
            raise SourceUnavailable(
                f"{self.name}: there is no file {', '.join(missing)}",
                hint="let the local stream that writes it run first",
            )
        tally = Tally()
        try:
            for data in self._data(self._call(self.import_target)):
                table = None if data is None else form.table(data, tally)
                if table is not None:
                    yield table
        finally:
            tally.log(self.name)

    def _data(self, returned: object) -> list[Any]:
        if returned is None:
            return []
        if isinstance(returned, (list, tuple)):
            return list(returned)
        raise FormError(
            f"{self.name}: import_target returned a {type(returned).__name__}, no list",
            hint="return a list of dicts, one for each response, or None",
        )

    def _call(self, function: Callable[[], Any]) -> Any:
        try:
            return function()
        except SourceError:
            raise
        except (Exception, SystemExit) as exc:
            file = getattr(getattr(function, "__code__", None), "co_filename", "")
            where = place(exc, Path(file).parent)
            raise SourceUnavailable(f"{self.name}: {where}: {summary(exc)}") from exc


def frames(collector: Collector) -> Iterator[pa.Table]:
    """Return `Collector.frames` of *collector*."""
    return collector.frames()
