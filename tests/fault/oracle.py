"""
The judge of the kill loop: what is in the targets against what the API holds.

It knows nothing of the package that it judges: `targets` reads each target by its own client;
both sides are brought to plain values and counted.

A row is *lost* when the target has fewer copies than the API, *doubled* when it has more,
*wrong* when the copy differs in a value (for the upserted resource: also when it is not
the newest version), *alien* when the API never had it, or not in the newest edition.

Order is judged between two lives, too: what a target has must never be older than before.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.fault.targets import Target

EVENT_COLUMNS = ("id", "updated_at", "kind", "amount", "quantity", "paid", "details", "note", "pad")
STATE_COLUMNS = ("id", "version", "updated", "label", "score", "open")
BOARD_COLUMNS = ("id", "edition", "label")
COLUMNS = {"events": EVENT_COLUMNS, "state": STATE_COLUMNS, "board": BOARD_COLUMNS}


@dataclass
class Verdict:
    """What one table of one target has to answer for; all counts are rows."""

    target: str
    rows: int
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    alien: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every row is there once, as the API has it."""
        return not (self.lost or self.doubled or self.wrong or self.alien)

    def __str__(self) -> str:
        line = (
            f"{self.target:22} rows={self.rows} lost={self.lost} doubled={self.doubled} "
            f"wrong={self.wrong} alien={self.alien}"
        )
        return "\n    ".join([line, *self.examples[:5]])


def plain(column: str, value: Any) -> Any:
    """Bring a value of any target to the form in which values are compared."""
    if value is None:
        return None
    if column == "updated_at":
        instant = value if isinstance(value, datetime) else _instant(str(value))
        return instant.astimezone(UTC).isoformat()
    if column == "details":
        parsed = json.loads(value) if isinstance(value, str) else value
        return json.dumps(parsed, sort_keys=True)
    if column in ("amount", "score"):
        return float(value)
    if column in ("paid", "open"):
        return bool(value)
    if isinstance(value, Decimal):
        return int(value)
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def canonical(row: Mapping[str, Any], columns: Iterable[str]) -> tuple[Any, ...]:
    """Return the compared form of *row*; a column that is missing counts as NULL."""
    return tuple(plain(name, row.get(name)) for name in columns)


def judge(
    target: str,
    expected: Iterable[Mapping[str, Any]],
    found: Iterable[Mapping[str, Any]],
    columns: tuple[str, ...],
) -> Verdict:
    """Compare two multisets of rows, both identified by ``id``."""
    want: dict[Any, Counter[tuple[Any, ...]]] = {}
    for row in expected:
        want.setdefault(row["id"], Counter())[canonical(row, columns)] += 1
    have: dict[Any, Counter[tuple[Any, ...]]] = {}
    rows = 0
    for row in found:
        rows += 1
        have.setdefault(row["id"], Counter())[canonical(row, columns)] += 1
    verdict = Verdict(target, rows)
    for key in want.keys() | have.keys():
        _judge_key(verdict, key, want.get(key, Counter()), have.get(key, Counter()))
    return verdict


def _judge_key(
    verdict: Verdict, key: Any, want: Counter[tuple[Any, ...]], have: Counter[tuple[Any, ...]]
) -> None:
    if want == have:
        return
    missing, surplus = want.total() - have.total(), have.total() - want.total()
    differing = (have - want).total()
    if not want:
        verdict.alien += surplus
    else:
        verdict.lost += max(0, missing)
        verdict.doubled += max(0, surplus)
        verdict.wrong += differing - max(0, surplus) if differing > max(0, surplus) else 0
    if len(verdict.examples) < 5:
        verdict.examples.append(f"id {key}: API has {dict(want)}, target has {dict(have)}")


def judge_all(ledger: Mapping[str, Any], targets: Iterable[Target]) -> list[Verdict]:
    """Judge every table of every target of the kill loop."""
    verdicts = []
    for target in targets:
        for table in target.tables:
            name, found = f"{target.name} {table}", target.rows(table)
            verdicts.append(judge(name, map(target.kept, ledger[table]), found, COLUMNS[table]))
    return verdicts


def gone_back(before: Mapping[Any, int], now: Mapping[Any, int]) -> list[str]:
    """Say which keys are gone, or have an older version than at the look before."""
    found = []
    for key, version in before.items():
        newer = now.get(key)
        if newer is None or newer < version:
            found.append(f"id {key} went from version {version} to {newer}")
    return found


def not_one_edition(before: int, rows: Sequence[Mapping[str, Any]], size: int) -> list[str]:
    """Say why *rows* are not one whole edition of *size* rows, *before* or a newer one."""
    editions = sorted({row["edition"] for row in rows})
    if len(editions) != 1 or len(rows) != size:
        return [f"{len(rows)} rows of the editions {editions}"]
    return [f"edition {before} became {editions[0]}"] if editions[0] < before else []


def disorder(ids: Sequence[int]) -> list[str]:
    """Say where ids that only grow do not grow along a file."""
    return [f"id {b} lies behind {a}" for a, b in pairwise(ids) if b < a]
