"""What PostgreSQL's catalog is asked, and the marker table there."""

from __future__ import annotations

from api2db.sink.sql import LEDGER

#: Makes the marker table.
CREATE_LEDGER = f"""
create table if not exists {LEDGER} (
  batch_id text primary key,
  spool text not null,
  collector text not null,
  stream text not null,
  n_rows bigint not null,
  loaded_at timestamp with time zone not null default now()
)"""
#: Inserts markers (spool, collector, stream, ids, rows of each); returns the new ones.
INSERT_MARKERS = f"""
insert into {LEDGER} (batch_id, spool, collector, stream, n_rows)
select id, %s, %s, %s, n from unnest(%s::text[], %s::bigint[]) as new (id, n)
on conflict do nothing returning batch_id"""
#: Columns of a table, with their types.
COLUMNS = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped order by attnum"""
#: Columns of each unique index that an upsert can rely on.
UNIQUE = """
select array_agg(a.attname::text) from pg_index i
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = to_regclass(%s) and i.indisunique and i.indisvalid and i.indpred is null
  and i.indexprs is null and i.indnkeyatts = i.indnatts
  and i.indimmediate
group by i.indexrelid"""
#: What a domain, given by its name, stands for; no row for another type.
BASE = """
with recursive base (id, mod) as (
  select typbasetype, typtypmod from pg_type where oid = to_regtype(%s) and typtype = 'd'
  union all
  select typbasetype, typtypmod from pg_type join base on oid = id where typtype = 'd'
)
select format_type(id, mod) from base
where not exists (select from pg_type where oid = id and typtype = 'd')"""
