"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """
    Exponential backoff with full jitter: uniform in [0, min(maximum, initial * 2^(n-1))].

    Attributes:
        initial: Longest wait before the second attempt, in seconds.
        maximum: Longest wait before any attempt, in seconds.
    """

    initial: float = 0.5
    maximum: float = 60.0

    def delay(self, attempt: int) -> float:
        """Return the wait after the failure of *attempt* (1-based), in seconds."""
        ceiling = min(self.maximum, self.initial * 2.0 ** min(attempt - 1, 62))
        return random.uniform(0.0, ceiling)
