"""What a worker does and has done, for other threads to read."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class State(enum.Enum):
    """What a worker is doing; `PAUSED` and `RETRYING` come with an error."""

    IDLE = "idle"
    DELIVERING = "delivering"
    RETRYING = "retrying"
    PAUSED = "paused"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(slots=True)
class Progress:
    """
    What a worker has done since it started; read by other threads for status and metrics.

    Attributes:
        rows: Rows that landed.
        dead: Rows put into the dead letters.
        writes: Transactions that landed; `seconds` is what they took together.
        retries: Failed attempts, by kind of error.
        error: Last error that has not been overcome, "" if there is none.
        attempt: Attempts that failed since the last success, of any kind.
        retry_due: Monotonic instant of the next attempt; only while there is an error.
        spilling: Whether the attempts are used up: what comes is spilled, untried.
        spill_error: Why batches cannot be spilled, "" if they can.
        spilled: Batches that this worker has spilled.
    """

    state: State = State.IDLE
    rows: int = 0
    dead: int = 0
    writes: int = 0
    seconds: float = 0.0
    retries: dict[str, int] = field(default_factory=dict)
    error: str = ""
    attempt: int = 0
    retry_due: float = 0.0
    spilling: bool = False
    spill_error: str = ""
    spilled: int = 0

    def failed(self, kind: str, error: str) -> bool:
        """Count a failed attempt; return whether its error is another than the last one's."""
        self.attempt += 1
        self.retries[kind] = self.retries.get(kind, 0) + 1
        news, self.error = error != self.error, error
        return news

    def overcome(self) -> None:
        """Note that an attempt succeeded."""
        self.error = ""
        self.spilling = False
        self.attempt = 0
