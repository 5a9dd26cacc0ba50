"""
Kill ``api2db run`` again and again, then count: 0 lost, 0 doubled, or exit 1.

``python -m tests.fault.killloop --kills 200 [--targets mariadb,mysql] [--seconds N] [--seed N]``

Half of the kills strike at a named crash point (``API2DB_CRASH=point:n``), half are
``kill -9`` at a random instant. Meanwhile each database server is stopped as by a crash and
started again, a proxy cuts connections around COMMIT, and the API answers with errors,
broken bodies and refused cursors. Then everything is healed, the daemon drains, ends on
SIGTERM with 0, runs once more with ``--once``, and the oracle reads the targets.

``--pad 8000`` makes the events large, so that segments of the log fill up and go.
``--outage-spills 30`` makes outages last up to 30 s, and spill after two attempts; the kills then
strike while batches are spilled and recomposed.
``--without-markers`` is the control: it deletes the marker rows between two lives, so a
batch that was committed but not acknowledged lands again. It must show doubled rows, and
exits 1 if it does not: an oracle that cannot see the fault proves nothing.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fault import oracle
from tests.fault.filetargets import TARGETS
from tests.fault.paged_api import TOKEN
from tests.fault.targets import Target
from tests.fault.world import Api, Daemon, Progress, config, crash_points, progress, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

AFTER_COMMIT = ("sink.after_commit",)  # where a lost marker doubles rows for sure
LIMIT = 6.0  # seconds that a life waits for its crash point
RARE = {"spool.before_unlink": 8}  # passed once a segment: only with --pad in such a time
ELSEWHERE = {"worker.after_dead_letter"}  # nothing here is refused: see test_start_and_end
DEFAULT = ("postgresql", "sqlite", "parquet")
#: With ``--outage-spills``: where it writes and recomposes shards, and where their order counts.
SPILLING = ("spill.", "recompose.", "sink.after_commit", "worker.before_ack", "spool.after_ack")
OUTAGE = 2.0  # seconds that an outage lasts at most
IDLE_LIVES = 6  # lives in a row without progress that fail the loop


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
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """All lives that ended by SIGKILL."""
        return self.random + self.named.total()


class Points:
    """Which crash point comes next, and at which passing of it."""

    def __init__(self, names: list[str], rng: random.Random, most: int, patience: int) -> None:
        self._rng = rng
        self._patience = patience
        self._most = {name: 1 if name in RARE else most for name in names}
        self._queue: list[str] = []
        self.missed: Counter[str] = Counter()

    def next(self) -> str | None:
        """Return ``point:n``, None when no point that is ever passed is left."""
        if not self._queue:
            self._queue = [name for name in self._most if self.missed[name] < self._patience]
            self._rng.shuffle(self._queue)
        if not self._queue:
            return None
        name = self._queue.pop()
        return f"{name}:{self._rng.randint(1, self._most[name])}"

    def miss(self, spec: str) -> None:
        """Remember that the point was not passed that often within one life."""
        name, _, nth = spec.partition(":")
        self._most[name] = max(1, int(nth) // 2)
        self.missed[name] += int(nth) == 1


class KillLoop:
    """One run of the loop in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        targets: Sequence[str] = DEFAULT,
        rate: float = 150.0,
        pad: int = 0,
        markers: bool = True,
        spills: float = 0.0,
    ) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.markers = markers
        self.spills = spills
        self.tally = Tally()
        names = [name for name in crash_points() if pad or name not in RARE]
        names = [name for name in names if name not in ELSEWHERE]
        if spills:
            names = [name for name in names if name.startswith(SPILLING)]
        else:
            names = [name for name in names if not name.startswith((*SPILLING[:2], "store."))]
        if not markers:
            names = [name for name in names if name in AFTER_COMMIT]
        self.points = Points(names, self.rng, 12 if markers else 3, 9 if spills else 3)
        self.api = Api(seed, rate, pad)
        self.targets: list[Target] = []
        for name in targets:
            self.targets.append(TARGETS[name](folder, seed))
        self.daemon = Daemon(folder, {"API_TOKEN": TOKEN})
        (folder / "config.yaml").write_text(
            config(self.targets, self.api.url, "attempts: 2" if spills else "")
        )

    def run(self, kills: int, seconds: float) -> None:
        """Kill until *kills* lives have ended so, or *seconds* are over."""
        deadline = time.monotonic() + seconds
        for target in self.targets:
            target.sabotage(self.spills or OUTAGE)
        while self.tally.kills < kills and time.monotonic() < deadline:
            if self.tally.idle_in_a_row >= IDLE_LIVES:
                self.tally.faults.append(f"{IDLE_LIVES} lives in a row made no progress")
                break
            self._life()
        self.tally.worst_idle = max(self.tally.worst_idle, self.tally.idle_in_a_row)

    def _life(self) -> None:
        tally = self.tally
        tally.lives += 1
        if self.rng.random() < 0.3:
            self.api.control(refuse=True)
        before = self._progress()
        named = tally.named.total() <= tally.random
        spec = self.points.next() if named or not self.markers else None
        self.daemon.start(f"life {tally.lives} {spec or 'random'}", spec)
        if tally.lives % 15 == 0:
            self._end_politely(before)
        elif spec is not None:
            self._end_at(spec)
        else:
            self._end_anywhere(before)
        self._note_progress(before)
        if tally.lives % 20 == 0:
            print(f"{tally.lives} lives, {tally.kills} kills", flush=True)
        if not self.markers:
            for target in self.targets:
                target.delete_markers()

    def _progress(self) -> Progress:
        return progress(self.api, self.folder, self.targets)

    def _end_at(self, spec: str) -> None:
        limit = LIMIT * RARE.get(spec.partition(":")[0], 1)
        if wait_until(lambda: self.daemon.ended() is not None, limit):
            code = self.daemon.kill()
            if code == -9:
                self.tally.named[spec.partition(":")[0]] += 1
            else:
                self._fault(f"the daemon ended by itself with {code} (armed: {spec})")
        else:
            self.points.miss(spec)
            self._kill()

    def _end_anywhere(self, before: Progress) -> None:
        if self.rng.random() < 0.25:
            wait_until(lambda: self.daemon.ended() is not None, self.rng.uniform(0.3, 2.0))
        else:
            self._await_pages(before.pages + self.rng.randint(1, 25))
            wait_until(lambda: False, self.rng.uniform(0, 0.15), step=0.01)
        self._kill()

    def _end_politely(self, before: Progress) -> None:
        """End with SIGTERM once the daemon polls; before that there is nobody to be polite."""
        self._await_pages(before.pages + 1)
        wait_until(lambda: self.daemon.ended() is not None, self.rng.uniform(0, 1.5))
        code = self.daemon.terminate(30)
        self.tally.terms += 1
        if code not in (0, -9):  # -9: it had been told to crash, and did
            self._fault(f"SIGTERM gave exit code {code} (None: no end within 30 s)")

    def _await_pages(self, goal: int) -> None:
        wait_until(
            lambda: self.daemon.ended() is not None or self.api.stats()["pages"] >= goal,
            LIMIT,
            step=0.02,
        )

    def _kill(self) -> None:
        ended = self.daemon.ended()
        if ended is not None and ended != -9:
            self._fault(f"the daemon ended by itself with {ended}")
        self.daemon.kill()
        self.tally.random += 1

    def _fault(self, what: str) -> None:
        self.tally.faults.append(f"life {self.tally.lives}: {what}")
        if len(self.tally.faults) > 10:
            raise RuntimeError("\n".join(["too many faults:", *self.tally.faults]))

    def _note_progress(self, before: Progress) -> None:
        tally = self.tally
        if self._progress().since(before):
            tally.worst_idle = max(tally.worst_idle, tally.idle_in_a_row)
            tally.idle_in_a_row = 0
        else:
            tally.idle += 1
            tally.idle_in_a_row += 1

    def settle(self, timeout: float) -> None:
        """Heal everything, let the daemon drain, end it with SIGTERM, and run it once more."""
        for target in self.targets:
            target.heal()
        self.api.control(faults=False, produce=False)
        self.daemon.start("drain")
        stats = self.api.stats()

        def drained() -> bool:
            return all(
                events >= stats["events"] and (versions is None or versions >= stats["versions"])
                for events, versions in self._progress().landed
            )

        if not wait_until(drained, timeout, step=0.5):
            self._fault(f"not drained after {timeout:g} s: {self._progress().landed} of {stats}")
        if (code := self.daemon.terminate(30)) != 0:
            self._fault(f"SIGTERM after the drain gave exit code {code}")
        if (code := self.daemon.once(120)) != 0:
            self._fault(f"run --once after the drain gave exit code {code}")

    def verdicts(self) -> list[oracle.Verdict]:
        """Let the oracle judge every target."""
        return oracle.judge_all(self.api.ledger(), self.targets)

    def spilled(self) -> int:
        """Count how often a stream began to spill."""
        return (self.folder / "daemon.log").read_text(errors="replace").count("stream_spilling")

    def shards(self) -> int:
        """Count the shards that are left; there must be none."""
        return sum(1 for _ in (self.folder / "STORE" / "upload_failed").rglob("*.parquet*"))

    def dead_letters(self) -> int:
        """Count the files of dead rows; there is no bad row, so there must be none."""
        dead = self.folder / "STORE" / "dead_letter"
        return sum(
            1 for path in dead.rglob("*") if path.is_file() and "_responses" not in path.parts
        )

    def left_behind(self) -> list[str]:
        """Say what there should not be at the end, in the STORE and in the targets."""
        found = []
        if self.spills and not self.spilled():
            found.append("nothing was spilled")
        if left := self.shards():
            found.append(f"{left} shards are left")
        if dead := self.dead_letters():
            found.append(f"{dead} files in STORE/dead_letter")
        for target in self.targets:
            found += [f"unasked-for in {target.name}: {name}" for name in target.foreign()]
        return found

    def close(self) -> None:
        """End every process."""
        self.daemon.close()
        for target in self.targets:
            target.close()
        self.api.close()


def report(loop: KillLoop, verdicts: list[oracle.Verdict], seconds: float) -> bool:
    """Print what happened; return whether the promise was kept."""
    tally, stats = loop.tally, loop.api.stats()
    print(f"lives={tally.lives} kills={tally.kills} random={tally.random} terms={tally.terms}")
    print("named kills:", ", ".join(f"{k}={v}" for k, v in sorted(tally.named.items())) or "none")
    if never := sorted(n for n, m in loop.points.missed.items() if m and not tally.named[n]):
        print("points never passed:", ", ".join(never))
    print(f"lives without progress: {tally.idle} (longest row {tally.worst_idle})")
    print(f"api={stats['served']} faults={stats['faults']}")
    for target in loop.targets:
        if told := target.told():
            print(f"{target.name}: {told}")
    if loop.spills:
        print(f"streams began to spill {loop.spilled()} times")
    for verdict in verdicts:
        print(verdict)
    faults = [*tally.faults, *loop.left_behind()]
    for fault in faults:
        print("FAULT", fault)
    lost = sum(v.lost for v in verdicts)
    doubled = sum(v.doubled for v in verdicts)
    print(f"{tally.kills} kills in {seconds:.0f} s: {lost} lost, {doubled} doubled")
    return all(v.clean for v in verdicts) and not faults


def main(argv: list[str] | None = None) -> int:
    """Run the loop; 0 when nothing is lost or doubled (the control: when something is)."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--targets", default=",".join(DEFAULT), help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=3600.0, help="stop killing after")
    parser.add_argument("--drain", type=float, default=90.0, help="seconds allowed to drain")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--rate", type=float, default=150.0, help="rows a second per resource")
    parser.add_argument("--pad", type=int, default=0, help="bytes of noise in each event")
    parser.add_argument("--outage-spills", type=float, default=0.0, help="longest outage, seconds")
    parser.add_argument("--without-markers", action="store_true", help="the control")
    parser.add_argument("--keep", action="store_true", help="keep the folder, also if clean")
    args = parser.parse_args(argv)
    names = [name for name in args.targets.split(",") if TARGETS[name].available()]
    if left_out := set(args.targets.split(",")) - set(names):
        print(f"NOT RUN, for there is no server: {', '.join(sorted(left_out))}", flush=True)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(2**31)
    folder = Path(tempfile.mkdtemp(prefix="api2db-kill-"))
    print(f"seed={seed} folder={folder}", flush=True)
    started = time.monotonic()
    loop = KillLoop(
        folder,
        seed,
        targets=names,
        rate=args.rate,
        pad=args.pad,
        markers=not args.without_markers,
        spills=args.outage_spills,
    )
    try:
        loop.run(args.kills, args.seconds)
        loop.settle(args.drain)
        verdicts = loop.verdicts()
        clean = report(loop, verdicts, time.monotonic() - started)
    finally:
        loop.close()
    if args.without_markers:
        seen = sum(verdict.doubled for verdict in verdicts)
        print(f"control without markers: {seen} doubled rows seen")
        return 0 if seen else 1
    if clean and not args.keep:
        shutil.rmtree(folder)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
