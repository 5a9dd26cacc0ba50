"""
The judge of the kill loop: what is in the targets against what the API holds.

It knows nothing of the package that it judges: `targets` reads each target by its own client;
both sides are brought to plain values and counted.

A row is *lost* when the target has fewer copies than the API, *doubled* when it has more,
*wrong* when the copy differs in a value (for the upserted resource: also when it is not
the newest version), *alien* when the API never had it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.fault.targets import Target

EVENT_COLUMNS = ("id", "updated_at", "kind", "amount", "quantity", "paid", "details", "note", "pad")
STATE_COLUMNS = ("id", "version", "updated", "label", "score", "open")


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
        events = target.rows("events")
        verdicts.append(judge(f"{target.name} events", ledger["events"], events, EVENT_COLUMNS))
        if target.upserts:
            state = target.rows("state")
            verdicts.append(judge(f"{target.name} state", ledger["state"], state, STATE_COLUMNS))
    return verdicts
