"""Damaged bytes of the log: kept, counted, reported; never deleted, never a reason to stop."""

from __future__ import annotations

import json
import logging
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from api2db.spool.record import DATA
from api2db.spool.whole import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.files.fs import Fs
    from api2db.spool.record import Totals
    from api2db.spool.segment import Bad, Segment

logger = logging.getLogger(__name__)

REPORT = "report.json"
_MAX_REPORT = 16 * 2**20
_PIECE = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Damage:
    """
    Something in the log that cannot be used.

    Attributes:
        kind: ``record`` bytes that are no record, ``missing`` records that are not there,
            ``tail`` newest records that were durable and are gone, ``segment`` a file that
            does not belong here or is cut off, ``cursor``, ``queue``.
        where: The file, relative to the spool's folder.
        offset: First damaged byte in it.
        length: Damaged bytes.
        batches: Batches that are lost, as far as is known.
        rows: Rows in them.
        note: What it means, in words.
        saved: File in ``quarantine/`` that holds the bytes, "" if there are none.
    """

    kind: str
    where: str
    offset: int = 0
    length: int = 0
    batches: int = 0
    rows: int = 0
    note: str = ""
    saved: str = ""

    def __str__(self) -> str:
        lost = f", {self.batches} batches ({self.rows} rows) lost" if self.batches else ""
        kept = f", bytes kept in quarantine/{self.saved}" if self.saved else ""
        return f"{self.kind} in {self.where} at {self.offset}: {self.note}{lost}{kept}"


class Quarantine:
    """
    The folder ``quarantine`` of one spool; made at the first damage. Thread-safe.

    Nothing here raises OSError: a full disk must not turn damage into a stop.

    Attributes:
        found: What this process has found.
    """

    def __init__(self, fs: Fs, folder: Path) -> None:
        self.found: list[Damage] = []
        self._fs = fs
        self._folder = folder
        self._lock = threading.Lock()
        self._places: dict[tuple[str, str, int], int] = {}

    def report(self, damage: Damage) -> None:
        """
        Count *damage* once per place, log it, and add it to ``report.json``.

        A second report of a place counts if it knows of more that is lost.
        """
        place = (damage.kind, damage.where, damage.offset)
        with self._lock:
            known = self._places.setdefault(place, len(self.found))
            if known == len(self.found):
                self.found.append(damage)
            elif damage.batches > self.found[known].batches:
                self.found[known] = damage
            else:
                return
            logger.error(
                "spool_damaged", extra={"spool": str(self._folder.parent), **asdict(damage)}
            )
            self._add_to_report(damage)

    def record(self, segment: Segment, bad: Bad, lost: tuple[Totals, Totals] | None = None) -> None:
        """
        Keep and report damaged bytes of a segment.

        Args:
            lost: Totals before and after what is damaged, where they are known; else the
                header is believed, if that is good.
        """
        batches = rows = 0
        if lost is not None:
            batches, rows = lost[1].batches - lost[0].batches, lost[1].rows - lost[0].rows
        elif bad.header is not None:
            batches, rows = int(bad.header.kind == DATA), bad.header.rows
        self.report(
            Damage(
                "record",
                f"seg/{segment.path.name}",
                bad.offset,
                bad.end - bad.offset,
                max(0, batches),
                max(0, rows),
                note="the bytes are no record",
                saved=self.keep(segment.path, bad.offset, bad.end),
            )
        )

    def keep(self, path: Path, offset: int, end: int) -> str:
        """
        Copy bytes of a file here, durably.

        Returns:
            The copy's name; "" if it could not be made, which is logged.
        """
        name = f"{path.name}-{offset}.bin"
        try:
            with self._lock:
                self._fs.mkdir(self._folder)
                if name not in self._fs.listdir(self._folder):
                    self._write(name, self._pieces(path, offset, end))
        except OSError as exc:
            self._cannot(path, exc)
            return ""
        return name

    def take(self, path: Path) -> str:
        """Move a whole file here; return as `keep`."""
        try:
            with self._lock:
                self._fs.mkdir(self._folder)
                self._fs.rename(path, self._folder / path.name)
                self._fs.fsync_dir(self._folder)
                self._fs.fsync_dir(path.parent)
        except OSError as exc:
            self._cannot(path, exc)
            return ""
        return path.name

    def _cannot(self, path: Path, error: OSError) -> None:
        fields = {"path": str(path), "error": str(error)}
        logger.error("quarantine_failed", extra=fields)

    def _pieces(self, path: Path, offset: int, end: int) -> list[bytes]:
        fd = self._fs.open(path)
        try:
            return [
                self._fs.pread(fd, min(_PIECE, end - at), at) for at in range(offset, end, _PIECE)
            ]
        finally:
            self._fs.close(fd)

    def _write(self, name: str, pieces: list[bytes]) -> None:
        """Make a file with *pieces*, whole or not at all."""
        self._fs.close(write_whole(self._fs, self._folder / name, pieces))

    def _add_to_report(self, damage: Damage) -> None:
        try:
            self._fs.mkdir(self._folder)
            entries = self._load()
            entry = asdict(damage)
            if entry not in entries:
                text = json.dumps([*entries, entry], indent=2)
                self._write(REPORT, [text.encode()])
        except OSError as exc:
            self._cannot(self._folder / REPORT, exc)

    def _load(self) -> list[object]:
        if REPORT not in self._fs.listdir(self._folder):
            return []
        fd = self._fs.open(self._folder / REPORT)
        try:
            entries = json.loads(self._fs.pread(fd, _MAX_REPORT, 0))
        except ValueError:
            return []
        finally:
            self._fs.close(fd)
        return entries if isinstance(entries, list) else []
