"""
Faults put into the log and the delivery by hand, one at a time: the models must catch each.

``python -m tests.model.mutants`` runs all, ``python -m tests.model.mutants NAME EXAMPLES`` runs
the model on one and exits 3 if it was caught.
"""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType

#: Exit status of a process in which the model found the fault.
CAUGHT = 3


@dataclass(frozen=True)
class Mutant:
    """
    A fault: in *module*, *old* (found once) becomes *new*.

    Attributes:
        rules: The rules of the machine that provoke it, where all together rarely do.
        package: Of api2db, which holds the module.
    """

    module: str
    old: str
    new: str
    rules: tuple[str, ...] = ()
    package: str = "spool"

    @property
    def machine(self) -> str:
        """The module of the machine that must catch it."""
        return "machine" if self.package == "spool" else "delivery"


_SYNC = """        try:
            self._fs.fdatasync(self._fd)
        except OSError:
            # What"""
_ROLL_BACK = """            self._fs.ftruncate(self._fd, active.end)
            self._fs.fdatasync(self._fd)
            self._must_roll = False
"""

MUTANTS = {
    "put_returns_before_sync": Mutant(
        "writer", _SYNC, _SYNC.replace("self._fs.fdatasync(self._fd)", "pass")
    ),
    "no_roll_back_after_a_failed_write": Mutant(
        "writer",
        _ROLL_BACK,
        "            self._must_roll = False\n",
        rules=("crash_after_a_short_write",),
    ),
    "short_write_is_taken_as_success": Mutant(
        "writer",
        "if self._fs.pwritev(self._fd, buffers, active.end) != size:",
        "if self._fs.pwritev(self._fd, buffers, active.end) < 0:",
    ),
    "same_segment_after_a_failed_sync": Mutant(
        "writer",
        "            with suppress(OSError):\n"
        "                self._fs.ftruncate(self._fd, active.end)\n",
        "            self._must_roll = False\n",
        rules=("go_on_after_a_failed_sync",),
    ),
    "segment_is_removed_too_early": Mutant(
        "log", "and self.segments[0].base < needed", "and self.segments[0].base <= needed"
    ),
    "fastest_stream_decides_what_goes": Mutant(
        "spool", "return min(needs, default", "return max(needs, default"
    ),
    "hold_is_ignored": Mutant(
        "log",
        "and (not hold or self.segments[1].base <= hold)",
        "and True",
        rules=("hold_what_all_have",),
    ),
    "new_segment_forgets_the_state": Mutant(
        "writer", "fmt.encode(Record(None, tip.state,", 'fmt.encode(Record(None, b"",'
    ),
    "new_segment_forgets_the_hold": Mutant(
        "writer", "hold=tip.hold or None))", "hold=None))", rules=("hold_what_all_have",)
    ),
    "segment_has_a_name_before_it_is_durable": Mutant(
        "whole", "        fs.fsync(fd)\n        fs.rename", "        fs.rename"
    ),
    "name_of_a_segment_is_not_synced": Mutant("whole", "        fs.fsync_dir(path.parent)\n", ""),
    "end_of_an_abandoned_segment_is_ignored": Mutant(
        "recovery",
        "            end = following.previous_end\n",
        "            pass\n",
        rules=("go_on_after_a_failed_sync",),
    ),
    "body_is_not_verified": Mutant("segment", "fmt.crc_of((body,)) != header.body_crc", "False"),
    "no_search_for_the_next_record": Mutant(
        "segment",
        "        while offset < end:\n            size",
        "        while False:\n            size",
    ),
    "torn_tail_is_not_cut": Mutant(
        "recovery",
        "            if segment.size > segment.end:\n",
        "            if False:\n",
        rules=("write_over_a_torn_group",),
    ),
    "record_after_a_hole_in_its_group_is_kept": Mutant(
        "recovery",
        "                newest = safe\n",
        "                pass\n",
        rules=("write_over_a_torn_group",),
    ),
    "proof_of_a_cursor_is_ignored": Mutant(
        "recovery",
        "(self._proven >= seq or safe is None)",
        "safe is None",
        rules=("flip_a_bit_in_the_newest_group",),
    ),
    "seq_is_given_twice": Mutant("opening", "return found, newest + 1", "return found, newest"),
    "lost_end_is_forgotten_by_acks": Mutant(
        "consumer",
        "log_end = max(newest, self.cursor.mark.log_end)",
        "log_end = newest",
        rules=("lose_the_newest",),
    ),
    "cursor_is_not_synced": Mutant(
        "cursor", "        self._fs.fdatasync(self._fd)\n", "", rules=("tear_a_cursor",)
    ),
    "cursor_has_one_slot": Mutant(
        "cursor", "SLOTS[generation % 2]", "SLOTS[0]", rules=("tear_a_cursor",)
    ),
    "cursor_is_not_verified": Mutant(
        "cursor",
        "if google_crc32c.value(raw[:-4]) != crc or owner != queue:",
        "if False:",
        rules=("tear_a_cursor",),
    ),
    "ack_of_an_unread_batch_is_one_too_far": Mutant(
        "consumer",
        "if found.header.seq > seq:",
        "if found.header.seq > seq + 1:",
        rules=("put", "ack_unread", "read"),
    ),
    "shards_land_though_the_log_has_them": Mutant(
        "backlog",
        "        self._settle()\n        batches = self.spilled.read",
        "        batches = self.spilled.read",
        rules=("spill_without_acknowledgement", "attempt"),
        package="stream",
    ),
    "a_start_leaves_what_is_spilled_in_the_log": Mutant(
        "backlog",
        "self._settled = False  # whether",
        "self._settled = True  # whether",
        package="stream",
    ),
    "cursor_moves_though_a_shard_is_missing": Mutant(
        "backlog",
        "self._spool.ack(self.stream, kept.seq)",
        "self._spool.ack(self.stream, batches[-1].seq)",
        rules=("put", "attempt_on_a_broken_disk", "attempt", "idle"),
        package="stream",
    ),
    "shards_are_removed_before_they_land": Mutant(
        "worker",
        "        landed = self._write(batches, prunable)\n"
        '        crash_point("worker.before_ack")\n'
        "        self.backlog.done(batches)\n",
        "        self.backlog.done(batches)\n        landed = self._write(batches, prunable)\n",
        package="stream",
    ),
    "markers_of_an_earlier_life_go_with_the_first_load": Mutant(
        "worker",
        "prunable = self._markers.done.copy()",
        "prunable = self._markers.known - {batch.id for batch in batches}",
        package="stream",
    ),
    "markers_are_pruned_while_something_waits": Mutant(
        "worker",
        "if not self.backlog.unfinished:",
        "if True:",
        rules=("spill_all", "attempt", "attempt_at_a_target_that_fails", "idle"),
        package="stream",
    ),
    "markers_are_done_before_all_has_landed": Mutant(
        "worker",
        "last=not self.backlog.unfinished",
        "last=True",
        rules=("put", "spill_all", "attempt", "attempt_at_a_target_that_fails", "idle"),
        package="stream",
    ),
    "a_shard_that_was_refused_stays": Mutant(
        "spill",
        "            self._stray = path\n",
        "            pass\n",
        rules=("put", "attempt_on_a_broken_disk", "attempt", "idle"),
        package="stream",
    ),
    "a_shard_that_is_not_read_is_damaged": Mutant(
        "spill",
        "  # its bytes were not read: nothing says that they are damaged\n",
        "\n            return _Found(timestamp_ns, None, str(exc))\n",
        package="stream",
    ),
    "a_dead_row_lives_after_a_start": Mutant(
        "refused",
        "letters.names()  # of an earlier life",
        "frozenset[str]()",
        rules=("put", "refuse", "refuse_nothing", "attempt", "restart"),
        package="stream",
    ),
    "a_letter_is_dropped_whose_batch_waits": Mutant(
        "retry",
        'why = _waits(line, stream, letter) if line else ""',
        'why = ""',
        rules=("put", "refuse", "attempt", "spill_all", "drop_dead_rows"),
        package="app",
    ),
    "a_letter_is_sent_again_whose_batch_is_a_shard": Mutant(
        "retry",
        "        if waits := _spilled(spill, letter):\n            rows, why = None, waits\n",
        "",
        rules=("put", "refuse", "attempt", "spill_all", "retry_dead_rows"),
        package="app",
    ),
    "a_letter_goes_before_its_shard_is_written": Mutant(
        "retry",
        "        with atomic_write(letter.path.with_suffix(SHARD)) as file:\n"
        "            file.write(encode(batch, spill.origin))\n"
        '        crash_point("retry.after_shard")\n'
        "        letter.path.rename(letter.path.with_suffix(RETRIED))\n",
        "        letter.path.rename(letter.path.with_suffix(RETRIED))\n"
        "        with atomic_write(letter.path.with_suffix(SHARD)) as file:\n"
        "            file.write(encode(batch, spill.origin))\n",
        rules=("put", "refuse", "attempt", "retry_dead_rows"),
        package="app",
    ),
    "shards_are_passed_by": Mutant(
        "backlog",
        "batches = batches or self._spool.read(self.stream, limit)",
        "batches = self._spool.read(self.stream, limit) or batches",
        package="stream",
    ),
}


class _Loader(SourceFileLoader):
    """Loads a module with the fault in it."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_data(self.path).decode()
        assert source.count(self.mutant.old) == 1, f"the fault fits {fullname} no more"
        source = source.replace(self.mutant.old, self.mutant.new)
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    """Finds the module that the fault is for."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != f"api2db.{self._mutant.package}.{self._mutant.module}":
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.mutant = self._mutant
        spec.loader = loader
        return spec


def run_one(name: str, examples: int) -> bool:
    """Return whether the model catches a fault; in this process, once."""
    sys.meta_path.insert(0, _Finder(MUTANTS[name]))
    logging.disable(logging.CRITICAL)
    machine = importlib.import_module(f"tests.model.{MUTANTS[name].machine}")
    try:
        machine.run(examples, derandomize=True, rules=MUTANTS[name].rules)
    except (NameError, ImportError, SyntaxError):  # the tree is broken, not the fault caught
        raise
    except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001 -- any failure is a catch
        print(repr(exc)[:300])
        return True
    return False


def caught(name: str, *, examples: int = 1000) -> bool:
    """
    Return whether the model catches a fault, tried in a process of its own.

    Each is caught within some tens of the same examples, in about two seconds.
    """
    command = [sys.executable, "-m", "tests.model.mutants", name, str(examples)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, CAUGHT), done.stderr
    return done.returncode == CAUGHT


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(CAUGHT if run_one(sys.argv[1], int(sys.argv[2])) else 0)
    for each in MUTANTS:
        print("caught  " if caught(each) else "SURVIVED", each, flush=True)
