"""What a run of the kill loop did and left behind, and whether the promise was kept."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fault.killloop import KillLoop
    from tests.fault.oracle import Verdict

#: A line of the daemon's log, on a pipe or not.
SPILL_LINE = re.compile(r'stream_spilling.*?"?stream"?\s*[=:]\s*"?([\w/]+)')


@dataclass
class Tally:
    """What the loop did, for its report and its verdict."""

    named: Counter[str] = field(default_factory=Counter)
    random: int = 0
    lives: int = 0
    terms: int = 0
    idle: int = 0
    idle_in_a_row: int = 0
    worst_idle: int = 0
    early: int = 0
    faults: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """All lives that ended by SIGKILL."""
        return self.random + self.named.total()

    def fault(self, what: str) -> None:
        """Note what must not be; raises RuntimeError if there is too much of it."""
        self.faults.append(f"life {self.lives}: {what}")
        if len(self.faults) > 10:
            raise RuntimeError("\n".join(["too many faults:", *self.faults]))

    def note(self, *, progress: bool, excused: bool) -> None:
        """Note whether a life made progress; lives without it in a row count unless excused."""
        if progress:
            self.worst_idle = max(self.worst_idle, self.idle_in_a_row)
            self.idle_in_a_row = 0
        else:
            self.idle += 1
            self.idle_in_a_row += not excused


def spilled(folder: Path) -> Counter[str]:
    """Count how often each stream of the project in *folder* began to spill."""
    log = (folder / "daemon.log").read_text(errors="replace")
    return Counter(SPILL_LINE.findall(log))


def shards(folder: Path) -> int:
    """Count the shards that are left; at the end there must be none."""
    return sum(1 for _ in (folder / "STORE" / "upload_failed").rglob("*.parquet*"))


def dead_letters(folder: Path) -> int:
    """Count the files of dead rows; there is no bad row, so there must be none."""
    dead = folder / "STORE" / "dead_letter"
    return sum(1 for path in dead.rglob("*") if path.is_file() and "_responses" not in path.parts)


def left_behind(loop: KillLoop) -> list[str]:
    """Say what there should not be at the end, in the STORE and in the targets."""
    found = []
    if loop.spills and not spilled(loop.folder):
        found.append("nothing was spilled")
    found += [f"nothing was killed at {n}" for n in loop.recovery.names if not loop.tally.named[n]]
    if left := shards(loop.folder):
        found.append(f"{left} shards are left")
    if dead := dead_letters(loop.folder):
        found.append(f"{dead} files in STORE/dead_letter")
    for target in loop.targets:
        found += [f"unasked-for in {target.name}: {name}" for name in target.foreign()]
    return found


def report(loop: KillLoop, verdicts: list[Verdict], seconds: float) -> bool:
    """Print what happened; return whether the promise was kept."""
    tally, stats = loop.tally, loop.api.stats()
    print(
        f"lives={tally.lives} kills={tally.kills} random={tally.random} (while starting: "
        f"{tally.early}) terms={tally.terms}"
    )
    print("named kills:", ", ".join(f"{k}={v}" for k, v in sorted(tally.named.items())) or "none")
    if never := sorted(n for n, m in loop.points.missed.items() if m and not tally.named[n]):
        print("points never passed:", ", ".join(never))
    print(f"lives without progress: {tally.idle} (longest row {tally.worst_idle})")
    print(f"api={stats['served']} faults={stats['faults']}")
    for target in loop.targets:
        if told := target.told():
            print(f"{target.name}: {told}")
    if loop.spills:
        counts = spilled(loop.folder)
        print(f"streams began to spill {counts.total()} times: {dict(sorted(counts.items()))}")
    for verdict in verdicts:
        print(verdict)
    faults = [*tally.faults, *left_behind(loop), *tally.older[:10]]
    for fault in faults:
        print("FAULT", fault)
    lost = sum(v.lost for v in verdicts)
    doubled = sum(v.doubled for v in verdicts)
    wrong = sum(v.wrong + v.alien for v in verdicts)
    print(
        f"{tally.kills} kills in {seconds:.0f} s: {lost} lost, {doubled} doubled, {wrong} wrong, "
        f"{len(tally.older)} times older than before"
    )
    return all(v.clean for v in verdicts) and not faults


def control(loop: KillLoop, verdicts: list[Verdict]) -> bool:
    """Print what an oracle saw of a fault that was put in; return whether it saw any."""
    if not loop.markers:
        seen = {verdict.target: verdict.doubled for verdict in verdicts if verdict.doubled}
        print(f"control without markers: doubled rows seen: {seen}")
        return bool(seen)
    wrong = sum(verdict.wrong for verdict in verdicts)
    older = len(loop.tally.older)
    print(f"control without order: {older} times older than before, {wrong} wrong at the end")
    return bool(wrong + older)
