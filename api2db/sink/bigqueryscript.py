"""The SQL by which staged rows take effect, and the markers with them: one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api2db.sink import bigquerycolumn as bq

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from api2db.sink.base import Delivery
    from api2db.sink.table import Target

#: Most characters of a script.
LONGEST = 10**6
#: What a transaction fails with that must be planned anew.
STALE = "api2db: the load is out of date"


def path(place: str) -> str:
    """Return ``project.dataset.table`` as an identifier."""
    return ".".join(map(bq.quote, place.rsplit(".", 2)))


def listed(texts: Iterable[str]) -> str:
    """Return *texts* as they stand between the brackets of ``in``."""
    return ", ".join(map(bq.literal, texts))


def _values(targets: Sequence[Target]) -> list[str]:
    return [bq.value(f"c{i}", target) for i, target in enumerate(targets)]


def insert(table: str, source: str, targets: Sequence[Target]) -> str:
    """Return the statement that adds staged rows."""
    into = ", ".join(bq.quote(target.ident) for target in targets)
    return f"insert into {table} ({into}) select {', '.join(_values(targets))} from {source}"


def merge(table: str, source: str, targets: Sequence[Target], keys: Collection[str]) -> str:
    """Return the statement by which staged rows take the place of those with their keys."""
    idents = [bq.quote(target.ident) for target in targets]
    names = [f"v{i}" for i in range(len(targets))]
    values = ", ".join(f"{v} as {n}" for v, n in zip(_values(targets), names, strict=True))
    pairs = list(zip(targets, idents, names, strict=True))
    on = " and ".join(f"t.{i} = s.{n}" for target, i, n in pairs if target.name in keys)
    changes = ", ".join(f"{i} = s.{n}" for target, i, n in pairs if target.name not in keys)
    update = f"when matched then update set {changes} " if changes else ""
    return (
        f"merge into {table} t using (select {values} from {source}) s on {on} {update}"
        f"when not matched then insert ({', '.join(idents)})"
        f" values ({', '.join(f's.{n}' for n in names)})"
    )


def removal(ledger: str, spool: str, markers: Iterable[str]) -> str:
    """Return the statement that removes markers."""
    mine = f"spool = {bq.literal(spool)} and batch_id in ({listed(markers)})"
    return f"delete from {ledger} where {mine}"


def marking(ledger: str, delivery: Delivery, rows: Mapping[str, int]) -> str:
    """Return the statement that inserts markers (-> number of rows)."""
    who = ", ".join(map(bq.literal, (delivery.spool, delivery.collector, delivery.stream)))
    marks = (f"({bq.literal(m)}, {who}, {n}, current_timestamp())" for m, n in rows.items())
    names = "batch_id, spool, collector, stream, n_rows, loaded_at"
    return f"insert into {ledger} ({names}) values {', '.join(marks)}"


def transaction(
    ledger: str, markers: Iterable[str], stages: Mapping[str, int], steps: Sequence[str]
) -> str:
    """
    Return the script that does *steps*, all or none.

    It fails with `STALE` if a marker is there, or if a stage has not as many rows as were put
    there. A script that fails is rolled back.
    """
    found = [f"exists(select 1 from {ledger} where batch_id in ({listed(markers)}))"]
    found += [f"(select count(*) from {stage}) != {rows}" for stage, rows in stages.items()]
    guard = f"if {' or '.join(found)} then select error('{STALE}'); end if"
    return "; ".join(["begin transaction", guard, *steps, "commit transaction"]) + ";"


def rehearsal(steps: Sequence[str]) -> str:
    """Return the script that tries *steps*, and leaves nothing."""
    return "; ".join(["begin transaction", *steps, "rollback transaction"]) + ";"
