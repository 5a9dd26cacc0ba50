"""
Kill ``api2db run`` again and again, then count: 0 lost, 0 doubled, or exit 1.

``python -m tests.fault.killloop --kills 200 [--targets mariadb,mysql] [--seconds N] [--seed N]``

Half of the kills strike at a named crash point (``API2DB_CRASH=point:n``), half are
``kill -9`` at a random instant, some of them several starts in a row. Meanwhile each database
server is stopped as by a crash and started again, another process locks DuckDB's file and the
files' folders, a proxy cuts connections around COMMIT, and the API answers with errors,
broken bodies and refused cursors. Between two lives nothing in a target may be older than it
was. Then everything is healed, the daemon drains, ends on SIGTERM with 0, runs once more with
``--once``, and the oracle reads the targets.

``--pad 8000`` makes the events large, so that segments of the log fill up and go.
``--outage-spills 30`` makes outages last up to 30 s, and spill after two attempts; the kills then
strike while batches are spilled, and, while there are shards, above all at each point of
their recovery and recomposition, life after life: a point that was never hit is a fault.
Two controls, for an oracle that cannot see a fault proves nothing; each exits 1 if it sees none:
``--without-markers`` deletes the markers between two lives, so a batch that was committed but not
acknowledged lands again: rows must be doubled. ``--without-order``, with ``--outage-spills``,
lets newer batches overtake what was spilled: something must go back to what is older.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fault import oracle
from tests.fault.bigquerytarget import TARGETS
from tests.fault.filetargets import UpdateTarget
from tests.fault.paged_api import TOKEN
from tests.fault.points import AFTER_COMMIT, AFTER_RENAME, RARE, RECOVERY, Points, loop_points
from tests.fault.report import Tally, control, report, shards
from tests.fault.world import (
    COMMAND,
    ROOT,
    Api,
    Daemon,
    Progress,
    config,
    crash_points,
    progress,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 6.0  # seconds that a life waits for its crash point
DEFAULT = ("postgresql", "sqlite", "parquet")
OUTAGE = 2.0  # seconds that an outage lasts at most
IDLE_LIVES = 6  # lives in a row without progress that fail the loop
BURST = 4  # lives in a row that are killed while they start and recover, at most
#: The daemon, and the one of the control in which newer batches overtake shards.
DAEMON = (COMMAND,)
OVERTAKING = (sys.executable, "-m", "tests.fault.overtaking")


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
        order: bool = True,
    ) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.markers = markers
        self.spills = spills
        self.tally = Tally()
        self._burst = 0
        every = crash_points()
        passed = {point for name in targets for point in TARGETS[name].passes}
        names = loop_points(every, passed, spills=bool(spills), pad=bool(pad))
        if not markers:
            grows = any(issubclass(TARGETS[name], UpdateTarget) for name in targets)
            names = [AFTER_COMMIT, *([AFTER_RENAME] if grows else [])]
        self.points = Points(names, self.rng, 12 if markers else 3, 9)
        names = [name for name in every if spills and name.startswith(RECOVERY)]
        self.recovery = Points(names, self.rng, 12, sys.maxsize)
        self.api = Api(seed, rate, pad)
        self.targets = [TARGETS[name](folder, seed) for name in targets]
        env = {"API_TOKEN": TOKEN, "PYTHONPATH": str(ROOT)}
        (command,) = {target.daemon or DAEMON for target in self.targets}
        self.daemon = Daemon(folder, env, command if order else OVERTAKING)
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
        spec = None if self._burst else self._next()
        self.daemon.start(f"life {tally.lives} {spec or 'random'}", spec)
        if tally.lives % 15 == 0:
            self._end_politely(before)
        elif spec is not None:
            self._end_at(spec)
        elif self._burst:
            self._end_early()
        else:
            self._end_anywhere(before)
        # Who is killed at once gets nowhere.
        tally.note(progress=self._progress().since(before), excused=bool(self._burst))
        self._look()
        if tally.lives % 20 == 0:
            print(f"{tally.lives} lives, {tally.kills} kills", flush=True)
        if not self.markers:
            for target in self.targets:
                target.delete_markers()

    def _next(self) -> str | None:
        """Return the point at which the next life is to be killed, None: at any instant."""
        named = self.tally.named.total() <= self.tally.random
        if not (named or self.points.following) and self.markers:
            if self.rng.random() < 0.2:
                self._burst = self.rng.randint(2, BURST)
            return None
        if self.recovery.names and shards(self.folder) and self.rng.random() < 0.75:
            return self.recovery.next()
        return self.points.next()

    def _look(self) -> None:
        """Note what is older in a target than it was after the life before."""
        for target in self.targets:
            if found := target.look():
                where = f"life {self.tally.lives}: {target.name}: {len(found)} times: {found[0]}"
                self.tally.older.append(where)

    def _progress(self) -> Progress:
        return progress(self.api, self.folder, self.targets)

    def _end_at(self, spec: str) -> None:
        limit = LIMIT * RARE.get(spec.partition(":")[0], 1)
        if wait_until(lambda: self.daemon.ended() is not None, limit):
            code = self.daemon.kill()
            if code == -9:
                self.tally.named[spec.partition(":")[0]] += 1
            else:
                self.tally.fault(f"the daemon ended by itself with {code} (armed: {spec})")
        else:
            self.points.miss(spec)
            self.recovery.miss(spec)
            self._kill()

    def _end_early(self) -> None:
        """Kill while it starts: before, in and shortly after the recovery of its STORE."""
        self._burst -= 1
        self.tally.early += 1
        wait_until(lambda: self.daemon.ended() is not None, self.rng.uniform(0.2, 1.0), 0.01)
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
            self.tally.fault(f"SIGTERM gave exit code {code} (None: no end within 30 s)")

    def _await_pages(self, goal: int) -> None:
        wait_until(
            lambda: self.daemon.ended() is not None or self.api.stats()["pages"] >= goal,
            LIMIT,
            step=0.02,
        )

    def _kill(self) -> None:
        ended = self.daemon.ended()
        if ended is not None and ended != -9:
            self.tally.fault(f"the daemon ended by itself with {ended}")
        self.daemon.kill()
        self.tally.random += 1

    def settle(self, timeout: float) -> None:
        """Heal everything, let the daemon drain, end it with SIGTERM, and run it once more."""
        for target in self.targets:
            target.heal()
        self.api.control(faults=False, produce=False)
        self.daemon.start("drain")
        stats = self.api.stats()

        def drained() -> bool:
            return all(
                count >= stats[table]
                for landed in self._progress().landed
                for table, count in landed.items()
            )

        if not wait_until(drained, timeout, step=0.5):
            self.tally.fault(
                f"not drained after {timeout:g} s: {self._progress().landed} of {stats}"
            )
        if (code := self.daemon.terminate(30)) != 0:
            self.tally.fault(f"SIGTERM after the drain gave exit code {code}")
        if (code := self.daemon.once(120)) != 0:
            self.tally.fault(f"run --once after the drain gave exit code {code}")
        self._look()

    def verdicts(self) -> list[oracle.Verdict]:
        """Let the oracle judge every target."""
        return oracle.judge_all(self.api.ledger(), self.targets)

    def close(self) -> None:
        """End every process."""
        self.daemon.close()
        for target in self.targets:
            target.close()
        self.api.close()


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
    parser.add_argument("--without-markers", action="store_true", help="a control")
    parser.add_argument("--without-order", action="store_true", help="a control")
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
        order=not args.without_order,
    )
    try:
        loop.run(args.kills, args.seconds)
        loop.settle(args.drain)
        verdicts = loop.verdicts()
        clean = report(loop, verdicts, time.monotonic() - started)
    finally:
        loop.close()
    if args.without_markers or args.without_order:
        return 0 if control(loop, verdicts) else 1
    if clean and not args.keep:
        shutil.rmtree(folder)
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
