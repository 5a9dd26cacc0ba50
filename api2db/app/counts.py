"""What a poller has done, for other threads to read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """
    What a poller has done since it started; read by other threads for status and metrics.

    Attributes:
        rows: New rows that are durable in the log.
        polls: Ended polls by result: ok, failed, skipped (no room in the log).
        dead: Rows that did not fit the form.
        seconds: What all polls took together.
        lateness: Seconds by which polls began after they were due, together.
        error: Why the last poll failed, "" if it did not.
        failing_since: Monotonic instant of the first failure in a row, None if none.
        last_poll_at: Wall time at which the last poll began, None before the first.
        last_result: How the last poll ended, a key of `polls`; "" before the first end.
        next_due: Monotonic instant at which the next poll is due, None while one is under way.
    """

    rows: int = 0
    polls: dict[str, int] = field(default_factory=lambda: {"ok": 0, "failed": 0, "skipped": 0})
    dead: int = 0
    seconds: float = 0.0
    lateness: float = 0.0
    error: str = ""
    failing_since: float | None = None
    last_poll_at: float | None = None
    last_result: str = ""
    next_due: float | None = None
