"""One suite over every sink: what `api2db.sink.base.Sink` promises."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.errors import SinkMisconfigured, SinkRejected
from api2db.core.types import JSON
from tests.contract.backends import Backend, LocalBackend, PostgresBackend, loads

if TYPE_CHECKING:
    from api2db.sink.sql import SqlSink

STAMP = pa.timestamp("us", "UTC")
_seq = itertools.count(1)


def batch(rows: pa.RecordBatch | list[dict[str, Any]], **types: pa.DataType) -> Batch:
    """Return a new batch; *types* gives the columns' types where they are not obvious."""
    if isinstance(rows, list):
        names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
        columns = {}
        for name in names:
            values = [row.get(name) for row in rows]
            type_ = types.get(name)
            if type_ == JSON:
                array: Any = pa.ExtensionArray.from_storage(JSON, pa.array(values, pa.string()))
            else:
                array = pa.array(values, type_)
            columns[name] = array
        rows = pa.record_batch(columns)
    n = next(_seq)
    return Batch(uuid.uuid4().hex, n, 1_700_000_000_000_000_000 + n * 1_000_000, rows)


def ids(backend: Backend, table: str = "t") -> list[Any]:
    """Return the column ``id`` in order."""
    return [row["id"] for row in backend.rows(table)]


# -- once, in order ------------------------------------------------------------------------


def test_rows_land_in_order(backend: Backend) -> None:
    """Batches of one call, and of calls after it, land in the order in which they came."""
    sink = backend.sink()
    first = [batch([{"id": i}, {"id": i + 1}]) for i in range(0, 10, 2)]
    assert sink.write(first).rows == 10
    sink.write([batch([{"id": 10}])])
    assert ids(backend) == list(range(11))


def test_a_batch_written_twice_is_there_once(backend: Backend) -> None:
    """A second write of a batch adds nothing; new batches of the same call land."""
    sink = backend.sink()
    one, two = batch([{"id": 1}]), batch([{"id": 2}])
    sink.write([one])
    again = sink.write([one, two])
    assert ids(backend) == [1, 2]
    if backend.sql:
        assert again.repeated == {one.id}
        assert again.rows == 1


def test_a_marker_outlives_the_connection(backend: Backend) -> None:
    """A batch that landed before a close is not written again after it."""
    one = batch([{"id": 1}])
    sink = backend.sink()
    sink.write([one])
    sink.close()
    sink.open()
    sink.write([one])
    assert ids(backend) == [1]
    sink.close()
    sink.close()


@pytest.mark.needs("ledger")
def test_landed_and_forget(database: Backend) -> None:
    """`landed` names the batches that have a marker, until they are forgotten."""
    sink = database.sink()
    one, two, three = (batch([{"id": i}]) for i in range(3))
    sink.write([one, two])
    assert sink.landed() == {one.id, two.id}
    sink.write([three], forget={one.id})
    assert sink.landed() == {two.id, three.id}
    sink.forget({two.id, three.id})
    assert sink.landed() == frozenset()
    assert database.markers() == []


def test_a_batch_of_no_rows_leaves_its_marker_only(backend: Backend) -> None:
    """A batch whose rows are all dead is marked, and makes neither table nor file."""
    sink = backend.sink()
    one = batch([{"id": 1}])
    empty = one.with_rows(one.rows.slice(0, 0))
    assert sink.write([empty]).rows == 0
    if isinstance(backend, LocalBackend):
        assert backend.files() == []
    elif backend.sql and "ledger" not in backend.cannot:
        assert sink.landed() == {one.id}
    else:
        assert backend.rows() == []


def test_a_rehearsal_leaves_nothing(backend: Backend) -> None:
    """``commit=False`` leaves neither rows nor markers, and the next write works."""
    sink = backend.sink()
    sink.write([batch([{"id": 0}])])
    one = batch([{"id": 1}])
    sink.write([one], commit=False)
    sink.write([one], commit=False)
    assert ids(backend) == [0]
    assert one.id not in sink.landed()
    assert sink.write([one]).rows == 1
    assert ids(backend) == [0, 1]


@pytest.mark.needs("upsert")
def test_rehearsals_of_an_upsert_leave_nothing(keyed: Backend) -> None:
    """Rehearsed upserts, which may use staging tables, leave nothing and repeat."""
    sink = keyed.sink(upsert=("id",))
    one = batch([{"id": 1, "v": "a"}])
    for _ in range(2):
        sink.write([one], commit=False)
    assert keyed.rows() == []
    sink.write([one])
    assert keyed.rows() == [{"id": 1, "v": "a"}]


@pytest.mark.needs("ledger")
def test_two_streams_share_a_database(database: Backend) -> None:
    """Each stream has its own marker for the same batch, and sees its own only."""
    a, b = database.sink("a", stream="a"), database.sink("b", stream="b")
    one = batch([{"id": 1}])
    a.write([one])
    b.write([one])
    assert (ids(database, "a"), ids(database, "b")) == ([1], [1])
    a.forget({one.id})
    assert a.landed() == frozenset()
    assert b.landed() == {one.id}


@pytest.mark.needs("ledger")
def test_two_installations_share_a_table(database: Backend) -> None:
    """An installation neither sees nor prunes the markers of another."""
    a, b = database.sink(spool="a" * 32), database.sink(spool="b" * 32)
    one, two = batch([{"id": 1}]), batch([{"id": 2}])
    a.write([one])
    b.write([two])
    assert a.landed() == {one.id}
    a.forget({one.id, two.id})
    assert b.landed() == {two.id}


# -- columns and types ---------------------------------------------------------------------


def test_every_kind_comes_back(backend: Backend) -> None:
    """Each kind of value, and NULL beside it, is read back as it was written."""
    row = {
        "id": 1,
        "i": 2**63 - 1,
        "f": 0.1,
        "b": True,
        "s": "ünï\t'\"\\code\n\u2028😀",
        "t": datetime(2024, 2, 29, 23, 59, 59, 123456, UTC),
        "d": date(1969, 12, 31),
        "n": Decimal("12345678901234567890.123456789"),
        "j": '{"a": [1, null, "x"]}',
    }
    types = {"t": STAMP, "d": pa.date32(), "n": pa.decimal128(38, 9), "j": JSON}
    rows = [
        row,
        dict.fromkeys(row) | {"id": 2},
        row | {"id": 3, "i": backend.least_int, "b": False},
    ]
    backend.sink().write([batch(rows, **types)])
    full, empty, last = backend.rows()
    assert empty == rows[1]
    assert last["i"] == backend.least_int
    assert not last["b"]
    assert loads(full.pop("j")) == {"a": [1, None, "x"]}
    expected = {name: value for name, value in row.items() if name != "j"}
    if backend.name in ("sqlite", "siridb"):
        expected |= {
            "t": "2024-02-29T23:59:59.123456Z",
            "d": "1969-12-31",
            "n": "12345678901234567890.123456789",
            "b": 1,
        }
    assert full == backend.stored(expected)


def test_columns_that_come_later(database: Backend) -> None:
    """A late column is added, within a call and between calls; older rows have NULL."""
    sink = database.sink()
    sink.write([batch([{"id": 1}]), batch([{"id": 2, "a": "x"}]), batch([{"id": 3}])])
    sink.write([batch([{"id": 4, "b": 1.5}])])
    assert database.rows() == [
        {"id": 1, "a": None, "b": None},
        {"id": 2, "a": "x", "b": None},
        {"id": 3, "a": None, "b": None},
        {"id": 4, "a": None, "b": 1.5},
    ]


def test_a_column_of_nulls_waits_for_its_first_value(database: Backend) -> None:
    """A column without a type makes no column in the table."""
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": None}])])
    sink.write([batch([{"id": 2, "v": "x"}])])
    assert [row.get("v") for row in database.rows()] == [None, "x"]


@pytest.mark.needs("widening")
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "landed"),
    [
        (7, 0.5, [7, 0.5, 7]),
        (7, Decimal("0.5"), [Decimal(7), Decimal("0.5"), Decimal(7)]),
        (True, "x", ["true", "x", "true"]),
        (
            datetime(2024, 1, 1, tzinfo=UTC),
            "x",
            ["2024-01-01T00:00:00Z", "x", "2024-01-01T00:00:00Z"],
        ),
        (
            datetime(2024, 1, 1, 0, 0, 0, 120000, UTC),
            "x",
            ["2024-01-01T00:00:00.120Z", "x", "2024-01-01T00:00:00.120Z"],
        ),
        (date(2024, 1, 1), "x", ["2024-01-01", "x", "2024-01-01"]),
        ("007", True, ["007", "true", "007"]),
    ],
)
def test_a_column_widens(
    database: Backend, old: Any, new: Any, landed: list[Any], together: bool
) -> None:
    """A wider type widens the column; batches queued before it land in it all the same."""
    stamp = {"v": STAMP} if isinstance(old, datetime) else {}
    batches = [batch([{"id": 1, "v": old}], **stamp), batch([{"id": 2, "v": new}])]
    batches.append(batch([{"id": 3, "v": old}], **stamp))
    sink = database.sink()
    if together:
        sink.write(batches)
    else:
        for one in batches:
            sink.write([one])
    if database.name == "sqlite":
        landed = [str(v) if isinstance(v, Decimal) else v for v in landed]
    assert [row["v"] for row in database.rows()] == landed


@pytest.mark.needs("widening")
@pytest.mark.parametrize("old", [7, 1.5, True, "x", datetime(2024, 1, 1, 0, 0, 0, 120000, UTC)])
def test_anything_widens_to_json(database: Backend, old: Any) -> None:
    """An object in a column of scalars makes it a JSON column."""
    stamp = {"v": STAMP} if isinstance(old, datetime) else {}
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": old}], **stamp)])
    sink.write([batch([{"id": 2, "v": '{"a": 1}'}], v=JSON)])
    sink.write([batch([{"id": 3, "v": old}], **stamp)])
    one, two, three = (row["v"] for row in database.rows())
    assert loads(two) == {"a": 1}
    if isinstance(database, PostgresBackend):
        assert database.types()["v"] == "jsonb"
        assert one == three == (old if not stamp else "2024-01-01T00:00:00.120Z")


@pytest.mark.needs("widening")
def test_integers_that_floats_cannot_hold(database: Backend) -> None:
    """Integers beyond 2^53 in the table or in the load widen with floats to decimals."""
    big = 2**53 + 1
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": big}])])
    sink.write([batch([{"id": 2, "v": 0.5}])])
    assert [Decimal(row["v"]) for row in database.rows()] == [big, Decimal("0.5")]
    other = database.sink("u")
    other.write([batch([{"id": 1, "v": big}]), batch([{"id": 2, "v": 0.5}])])
    assert [Decimal(row["v"]) for row in database.rows("u")] == [big, Decimal("0.5")]


@pytest.mark.needs("widening")
def test_leading_zeros_stay(database: Backend) -> None:
    """Text that looks like a number stays text, also in a column that was widened."""
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": True, "w": "007"}])])
    sink.write([batch([{"id": 2, "v": "007", "w": "1e3"}])])
    assert [row["v"] for row in database.rows()] == ["true", "007"]
    assert [row["w"] for row in database.rows()] == ["007", "1e3"]


def test_rows_that_do_not_fit_are_named(database: Backend) -> None:
    """Only the rows that a column cannot hold are refused, by batch, row and column."""
    sink = database.sink()
    one = batch([{"id": 1, "v": 5}])
    bad = batch([{"id": 2, "v": None}, {"id": 3, "v": "x"}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one, bad])
    assert {key: [row.row for row in rows] for key, rows in caught.value.rows.items()} == {
        bad.id: [1]
    }
    assert "v" in caught.value.rows[bad.id][0].reason
    sink.write([one, bad.with_rows(bad.rows.slice(0, 1))])
    assert ids(database) == [1, 2]


def test_an_inexact_integer_is_refused(database: Backend) -> None:
    """An integer that a column of floats would round is a dead letter."""
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": 0.5}])])
    bad = batch([{"id": 2, "v": 2}, {"id": 3, "v": 2**53 + 1}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([bad])
    assert [row.row for row in caught.value.rows[bad.id]] == [1]


def test_an_arrow_type_without_a_place(keyed: Backend) -> None:
    """A type that no target has pauses the stream with a hint; nothing lands."""
    with pytest.raises(SinkMisconfigured, match="binary"):
        keyed.sink().write([batch([{"id": 1, "v": b"x"}])])


# -- names ---------------------------------------------------------------------------------

HOSTILE = (
    'a"; drop table t; --',
    "select",
    "with space",
    "ünï😀",
    "'",
    "a" * 80,
    "a" * 79 + "b",
    "%s",
    "{}",
    "Case",
    "case",
    "ctid",
    "xmin",
    "rowid",
    "n",
    "c0",
    "",
    "nul\0",
    "?",
    ":a",
)


@pytest.mark.parametrize("upsert", [(), pytest.param(("id",), marks=pytest.mark.needs("upsert"))])
def test_hostile_names(database: Backend, upsert: tuple[str, ...]) -> None:
    """Any text is a column's name: data, never SQL, and never one with another."""
    row = {"id": 0} | {name: i for i, name in enumerate(HOSTILE, 1)}
    sink = database.sink(database.hostile_table, upsert=upsert)
    sink.write([batch([row])])
    sink.write([batch([dict(reversed(row.items())) | {"id": 100}])])
    first, second = database_rows(database, database.hostile_table)
    assert sorted(first.values()) == list(range(len(HOSTILE) + 1))
    assert {k: v for k, v in first.items() if k != "id"} == {
        k: v for k, v in second.items() if k != "id"
    }


def database_rows(database: Backend, table: str) -> list[dict[str, Any]]:
    """Read a table of a hostile name."""
    return database.rows(table.replace('"', '""'))


# -- upsert --------------------------------------------------------------------------------


@pytest.mark.needs("upsert")
@pytest.mark.parametrize("together", [True, False])
def test_the_last_arrival_wins(keyed: Backend, together: bool) -> None:
    """Of several rows with one key the last stays, within a batch, a call and between calls."""
    sink = keyed.sink(upsert=("id",))
    batches = [
        batch([{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 1, "v": "c"}]),
        batch([{"id": 2, "v": "d"}, {"id": 3, "v": "e"}]),
        batch([{"id": 3, "v": None}]),
    ]
    for call in [batches] if together else [[one] for one in batches]:
        sink.write(call)
    found = {row["id"]: row["v"] for row in keyed.rows()}
    assert found == {1: "c", 2: "d", 3: None}
    assert len(keyed.rows()) == 3


def _needs_keys(database: Backend) -> None:
    if database.name == "bigquery":
        pytest.skip("BigQuery has no unique indexes, and needs none to merge")


@pytest.mark.needs("upsert")
def test_the_key_is_the_primary_key(database: Backend) -> None:
    """A table made for an upsert refuses a second row of the same key."""
    _needs_keys(database)
    database.sink(upsert=("a", "b")).write([batch([{"a": 1, "b": "x", "v": 1}])])
    with pytest.raises(Exception, match=r"(?i)unique|duplicate"):
        database.execute("""insert into t values (1, 'x', 2)""")


@pytest.mark.needs("upsert")
def test_only_key_columns(keyed: Backend) -> None:
    """A table of nothing but its key takes an upsert."""
    sink = keyed.sink(upsert=("id",))
    sink.write([batch([{"id": 1}])])
    sink.write([batch([{"id": 1}, {"id": 2}])])
    assert sorted(ids(keyed)) == [1, 2]


@pytest.mark.needs("upsert")
def test_null_keys_are_refused_by_row(keyed: Backend) -> None:
    """Rows without a key are named; a batch that lacks the column makes no table."""
    sink = keyed.sink(upsert=("id",))
    without = batch([{"v": "a"}, {"v": "b"}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([without])
    assert [row.row for row in caught.value.rows[without.id]] == [0, 1]
    some = batch([{"id": 1, "v": "a"}, {"id": None, "v": "b"}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([some])
    assert [row.row for row in caught.value.rows[some.id]] == [1]
    assert "id" in caught.value.rows[some.id][0].reason
    sink.write([some.with_rows(some.rows.slice(0, 1))])
    sink.write([batch([{"id": 1, "v": "c"}])])
    assert keyed.rows() == [{"id": 1, "v": "c"}]


@pytest.mark.needs("upsert")
def test_an_existing_table_needs_the_unique_index(database: Backend) -> None:
    """Without a unique index on exactly the key, the DDL to type is in the error."""
    _needs_keys(database)
    database.execute("create table t (id bigint, v text)")
    sink = database.sink(upsert=("id",))
    with pytest.raises(SinkMisconfigured, match="create unique index") as caught:
        sink.write([batch([{"id": 1, "v": "x"}])])
    assert caught.value.hint is not None
    database.execute(caught.value.hint.partition(": ")[2])
    sink.write([batch([{"id": 1, "v": "x"}]), batch([{"id": 1, "v": "y"}])])
    assert database.rows() == [{"id": 1, "v": "y"}]


@pytest.mark.needs("upsert")
def test_a_key_widens(keyed: Backend) -> None:
    """A key column can widen; rows of the old type still meet their key."""
    sink = keyed.sink(upsert=("id",))
    sink.write([batch([{"id": True, "v": "a"}])])
    sink.write([batch([{"id": "x", "v": "b"}]), batch([{"id": True, "v": "c"}])])
    assert {row["id"]: row["v"] for row in keyed.rows()} == {"true": "c", "x": "b"}


@pytest.mark.needs("upsert")
def test_equal_keys_of_two_types(keyed: Backend) -> None:
    """Keys that become equal by widening within one call are one key."""
    sink = keyed.sink(upsert=("id",))
    sink.write([batch([{"id": 5, "v": "a"}]), batch([{"id": Decimal("5.0"), "v": "b"}])])
    assert [row["v"] for row in keyed.rows()] == ["b"]


def test_the_longest_names(database: Backend) -> None:
    """A marker has room for the name of a declared store, which has those of two."""
    sink, one = database.sink(collector="c" * 128, stream="s" * 63), batch([{"id": 1}])
    sink.write([one])
    assert sink.write([one]).repeated == {one.id}
    assert ids(database) == [1]


# -- the target changes --------------------------------------------------------------------


def test_the_table_is_dropped_while_running(database: Backend) -> None:
    """A dropped table is made again, and what comes next lands."""
    sink = database.sink()
    sink.write([batch([{"id": 1}])])
    database.execute("drop table t")
    sink.write([batch([{"id": 2}])])
    assert ids(database) == [2]
    database.execute("drop table t")
    sink.write([batch([{"id": 3, "late": 1}])])
    assert ids(database) == [3]


@pytest.mark.needs("ddl")
def test_a_column_goes_or_comes_while_running(database: Backend) -> None:
    """Columns that a person drops come again; columns that a person adds stay NULL."""
    sink = database.sink()
    sink.write([batch([{"id": 1, "v": 1}])])
    database.execute("alter table t drop column v")
    database.execute("alter table t add column mine text")
    sink.write([batch([{"id": 2, "v": 2}])])
    assert {key: database.rows()[1][key] for key in ("id", "v", "mine")} == {
        "id": 2,
        "v": 2,
        "mine": None,
    }


@pytest.mark.needs("mixing")
def test_two_sinks_widen_one_table(database: Backend) -> None:
    """Two collectors that write into one table see each other's changes."""
    a, b = database.sink(collector="a"), database.sink(collector="b")
    a.write([batch([{"id": 1, "v": 1}])])
    b.write([batch([{"id": 2, "v": 1.5, "w": "x"}])])
    a.write([batch([{"id": 3, "v": 2, "x": True}])])
    b.write([batch([{"id": 4, "v": 2.5, "w": "y"}])])
    assert [row["v"] for row in database.rows()] == [1, 1.5, 2, 2.5]


@pytest.mark.needs("ddl")
def test_ddl_needs_no_connection(database: Backend) -> None:
    """`ddl` gives the statement by which the table would be made."""
    from api2db.sink.base import Delivery

    keys = () if "upsert" in database.cannot else ("id",)
    sink: SqlSink = database.closed_sink(Delivery("0" * 32, "c", "s", "t", keys))  # type: ignore[assignment]
    schema = pa.schema({"id": pa.int64(), "j": JSON, "t": STAMP})
    ddl = sink.ddl(schema)
    database.execute(ddl.replace("if not exists ", ""))
    sink.open()
    sink.write([batch([{"id": 1}])])
    assert ids(database) == [1]
