"""What a form could not use of one poll: counted, and told in one line for each feature."""

from __future__ import annotations

import logging
from collections import Counter

logger = logging.getLogger(__name__)


class Tally:
    """Values that became NULL, or their feature's replacement, though there was something."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, feature: str, error: Exception) -> None:
        """Count one value of the column *feature*; a missing key is nothing to tell."""
        if not isinstance(error, KeyError):
            self._counts[feature, type(error).__name__] += 1

    def __len__(self) -> int:
        """Return how many values were counted."""
        return self._counts.total()

    def lines(self) -> list[str]:
        """Return a line for each feature and kind of error, for a person."""
        return [
            f"feature {feature!r}: {count} values could not be used ({error})"
            for (feature, error), count in self._counts.items()
        ]

    def log(self, collector: str) -> None:
        """Log a line for each feature and kind of error, and begin anew."""
        for (feature, error), count in self._counts.items():
            extra = {"collector": collector, "feature": feature, "error": error, "values": count}
            logger.warning("feature_nulled", extra=extra)
        self._counts.clear()
