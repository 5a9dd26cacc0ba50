"""
The judge of the kill loop: what is in the targets against what the API holds.

It knows nothing of the package that it judges: it reads PostgreSQL with psycopg, SQLite
with sqlite3 and the shards with pyarrow, brings both sides to plain values and counts.

A row is *lost* when the target has fewer copies than the API, *doubled* when it has more,
*wrong* when the copy differs in a value (for the upserted resource: also when it is not
the newest version), *alien* when the API never had it.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

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


def postgres_rows(dsn: str, table: str) -> Iterator[dict[str, Any]]:
    """Read every row of *table* as the server's own types."""
    import psycopg
    from psycopg.rows import dict_row
    from psycopg.sql import SQL, Identifier

    with psycopg.connect(dsn) as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(SQL("select * from {}").format(Identifier(table)))
        yield from cursor


def sqlite_rows(path: Path, table: str) -> Iterator[dict[str, Any]]:
    """Read every row of *table* as SQLite stores it."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.row_factory = sqlite3.Row
        for row in connection.execute(f'select * from "{table}"'):
            yield dict(row)
    finally:
        connection.close()


def parquet_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Read every shard by itself: each may have columns and types of its own."""
    import pyarrow.parquet as pq

    for shard in sorted(folder.glob("*.parquet")):
        yield from pq.read_table(shard, partitioning=None).to_pylist()


def judge_all(ledger: Mapping[str, Any], dsn: str, sqlite: Path, shards: Path) -> list[Verdict]:
    """Judge every table of every target of the kill loop."""
    events, states = ledger["events"], ledger["state"]
    return [
        judge("postgresql events", events, postgres_rows(dsn, "events"), EVENT_COLUMNS),
        judge("sqlite events", events, sqlite_rows(sqlite, "events"), EVENT_COLUMNS),
        judge("parquet events", events, parquet_rows(shards), EVENT_COLUMNS),
        judge("postgresql state", states, postgres_rows(dsn, "state"), STATE_COLUMNS),
        judge("sqlite state", states, sqlite_rows(sqlite, "state"), STATE_COLUMNS),
    ]


def foreign_objects(dsn: str) -> list[str]:
    """Name every relation and trigger in PostgreSQL that nobody asked for."""
    import psycopg

    with psycopg.connect(dsn) as connection:
        tables = connection.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'public' and c.relkind in ('r', 'v', 'm', 'S', 'f', 'p')"
            " and c.relname not in ('events', 'state', '_api2db_batches')"
        ).fetchall()
        triggers = connection.execute(
            "select tgname from pg_trigger where not tgisinternal"
        ).fetchall()
    return [str(name) for (name,) in tables + triggers]
