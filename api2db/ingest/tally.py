"""What a form could not use of one poll: counted, and told in one line for each kind."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: Counts for the poll whose data this thread is at.
_counting: ContextVar[Tally | None] = ContextVar("counting", default=None)


class Tally:
    """Values that became NULL though there was something, and rows that were left out."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, event: str, count: int = 1, **fields: str) -> None:
        """Count *event*; those with the same *fields* are one line."""
        self._counts[event, tuple(fields.items())] += count

    def nulled(self, feature: str, error: Exception) -> None:
        """Count a value of a column; a missing key is nothing to tell."""
        if not isinstance(error, KeyError):
            self.add("feature_nulled", feature=feature, error=type(error).__name__)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Let `tell` count here, in this thread, as long as this lasts."""
        token = _counting.set(self)
        try:
            yield
        finally:
            _counting.reset(token)

    def lines(self) -> list[str]:
        """Return a line for each kind of event, for a person."""
        return [
            f"{event} ({', '.join(f'{name}: {value}' for name, value in fields)}): {count}"
            for (event, fields), count in self._counts.items()
        ]

    def log(self, collector: str) -> None:
        """Log a line for each kind of event, and begin anew."""
        for (event, fields), count in self._counts.items():
            logger.warning(event, extra={"collector": collector, **dict(fields), "count": count})
        self._counts.clear()


def tell(event: str, count: int = 1, **fields: str) -> None:
    """Count *event* for the poll that goes on in this thread; outside of one, log it at once."""
    tally = _counting.get()
    if tally is not None:
        tally.add(event, count, **fields)
    else:
        logger.warning(event, extra={**fields, "count": count})
