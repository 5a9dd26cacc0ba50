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
#: Numbers of rows that mean something else.
_GONE, _KNOWN = -1, -2
#: Of a number, in front of a marker.
_DIGITS = 12


def path(place: str) -> str:
    """Return ``project.dataset.table`` as an identifier."""
    return ".".join(map(bq.quote, place.rsplit(".", 2)))


def lines(texts: Iterable[str]) -> str:
    """Return *texts*, which hold no commas, as an array: one literal is parsed fast."""
    return f"split({bq.literal(','.join(texts))}, ',')"


def mine(delivery: Delivery) -> str:
    """Return the condition that a marker is of *delivery*."""
    parts = (
        ("spool", delivery.spool),
        ("collector", delivery.collector),
        ("stream", delivery.stream),
    )
    return " and ".join(f"{name} = {bq.literal(value)}" for name, value in parts)


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


def removal(ledger: str, mine: str, markers: Iterable[str]) -> str:
    """Return the statement that removes markers."""
    return f"delete from {ledger} where {mine} and batch_id in unnest({lines(markers)})"


def marking(ledger: str, delivery: Delivery, rows: Mapping[str, int]) -> str:
    """Return the statement that inserts markers (-> number of rows)."""
    return (
        f"insert into {ledger} (batch_id, spool, collector, stream, n_rows, loaded_at)"
        f" select marker, {_who(delivery)}, n, current_timestamp() from"
        f" ({_table((n, marker) for marker, n in rows.items())})"
    )


def intent(
    ledger: str,
    delivery: Delivery,
    job: str,
    rows: Mapping[str, int],
    gone: Iterable[str],
    known: Iterable[str],
) -> str:
    """
    Return the statement that inserts markers (-> number of rows) which name *job*.

    It removes the markers *gone*; those in *known* name no job any more. It fails with `STALE` if
    one of the new ones is there.
    """
    named = [(n, marker) for marker, n in rows.items()]
    named += [(_GONE, marker) for marker in gone] + [(_KNOWN, marker) for marker in known]
    return (
        f"merge into {ledger} t using ({_table(named)}) s"
        f" on t.batch_id = s.marker and {mine(delivery)}"
        f" when matched and s.n = {_GONE} then delete"
        # What the error says depends on the row, or it might be computed for none.
        " when matched then update set job = if(s.n >= 0,"
        f" error(concat('{STALE}: ', t.batch_id)), cast(null as STRING))"
        " when not matched and s.n >= 0 then"
        " insert (batch_id, spool, collector, stream, n_rows, loaded_at, job)"
        f" values (s.marker, {_who(delivery)}, s.n, current_timestamp(), {bq.literal(job)})"
    )


def settling(ledger: str, mine: str, lost: Iterable[str]) -> str:
    """Return the script that removes the markers of the jobs *lost*; the others have landed."""
    return (
        f"delete from {ledger} where {mine} and job in unnest({lines(lost)});"
        f" update {ledger} set job = null where {mine} and job is not null;"
    )


def _who(delivery: Delivery) -> str:
    return ", ".join(map(bq.literal, (delivery.spool, delivery.collector, delivery.stream)))


def _table(named: Iterable[tuple[int, str]]) -> str:
    """Return the query of the columns ``n`` and ``marker``, of which *named* has a pair a row."""
    return (
        f"select cast(substr(line, 1, {_DIGITS}) as INT64) as n,"
        f" substr(line, {_DIGITS + 1}) as marker"
        f" from unnest({lines(f'{n:0{_DIGITS}}{marker}' for n, marker in named)}) as line"
    )


def transaction(
    ledger: str, markers: Iterable[str], stages: Mapping[str, int], steps: Sequence[str]
) -> str:
    """
    Return the script that does *steps*, all or none.

    It fails with `STALE` if a marker is there, or if a stage has not as many rows as were put
    there. A script that fails is rolled back.
    """
    found = [f"exists(select 1 from {ledger} where batch_id in unnest({lines(markers)}))"]
    found += [f"(select count(*) from {stage}) != {rows}" for stage, rows in stages.items()]
    guard = f"if {' or '.join(found)} then select error('{STALE}'); end if"
    return "; ".join(["begin transaction", guard, *steps, "commit transaction"]) + ";"


def rehearsal(steps: Sequence[str]) -> str:
    """Return the script that tries *steps*, and leaves nothing."""
    return "; ".join(["begin transaction", *steps, "rollback transaction"]) + ";"
