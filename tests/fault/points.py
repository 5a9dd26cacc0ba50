"""Where the next life of a kill loop is killed: the named crash points, each in its turn."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

AFTER_COMMIT = "sink.after_commit"  # where a lost marker doubles rows for sure
AFTER_RENAME = "sink.after_rename"  # the same where a file that grows has it
RARE = {"spool.before_unlink": 8}  # passed once a segment: only with --pad in such a time
#: Nothing here is refused, retried or stored: tests of their own kill there.
ELSEWHERE = ("worker.after_dead_letter", "retry.", "store.")
#: With outages that spill: where shards are written, and where their order counts.
SPILLING = ("spill.", "sink.after_commit", "worker.before_ack", "spool.after_ack")
#: Where a start that finds shards, and the recomposition of these, are killed.
RECOVERY = ("recompose.", "recover.before_ack", "recover.after_ack")
#: What is only passed in the life after one that was killed there.
AFTER = {"recover.before_cut": "spool.mid_append", "recover.after_cut": "spool.mid_append"}


class Points:
    """Which crash point comes next, and at which passing of it."""

    def __init__(self, names: Iterable[str], rng: random.Random, most: int, patience: int) -> None:
        self._rng = rng
        self._patience = patience
        self._most = {name: 1 if name in (*RARE, *AFTER) else most for name in names}
        self._queue: list[str] = []
        self.following = ""  # the point that the very next life has to be killed at
        self.missed: Counter[str] = Counter()

    @property
    def names(self) -> list[str]:
        """All points, sorted."""
        return sorted(self._most)

    def next(self) -> str | None:
        """Return ``point:n``, None when no point that is ever passed is left."""
        if name := self.following:
            self.following = ""
            return f"{name}:1"
        if not self._queue:
            self._queue = [name for name in self._most if self.missed[name] < self._patience]
            self._rng.shuffle(self._queue)
        if not self._queue:
            return None
        name = self._queue.pop()
        if name in AFTER:
            self.following = name
            return f"{AFTER[name]}:1"
        return f"{name}:{self._rng.randint(1, self._most[name])}"

    def miss(self, spec: str) -> None:
        """Remember that the point was not passed that often within one life."""
        name, _, nth = spec.partition(":")
        if AFTER.get(self.following) == name:
            self.following = ""
        if name not in self._most:
            return
        self._most[name] = max(1, int(nth) // 2)
        self.missed[name] += int(nth) == 1


def loop_points(
    names: Iterable[str], passed: Iterable[str], *, spills: bool, pad: bool
) -> list[str]:
    """
    Return which of all *names* a loop of this kind passes, but for those of `RECOVERY`.

    Args:
        passed: Which of the sinks' points some target passes.
    """
    names = [name for name in names if not name.startswith("sink.") or name in passed]
    left_out = (*ELSEWHERE, *RECOVERY, *(() if pad else RARE))
    names = [name for name in names if not name.startswith(left_out)]
    if spills:
        return [name for name in names if name.startswith(SPILLING)]
    return [name for name in names if not name.startswith("spill.")]
