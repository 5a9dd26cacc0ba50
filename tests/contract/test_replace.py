"""What `Sink.replace` promises, over every target that speaks SQL."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from api2db.core.batch import Batch
from api2db.core.errors import SinkMisconfigured, SinkRejected, SpoolFailed
from api2db.sink import load
from tests.contract.backends import Backend
from tests.contract.test_sink import batch, ids

if TYPE_CHECKING:
    from api2db.sink.sql import SqlSink

pytestmark = pytest.mark.needs("replace")


class OneByOne:
    """Batches that are made anew at each iteration, and gone when the next one is asked for."""

    def __init__(self, *batches: Batch) -> None:
        self.batches = batches
        self.iterations = 0

    def __iter__(self) -> Iterator[Batch]:
        self.iterations += 1
        for one in self.batches:
            yield one.with_rows(one.rows)


def blank(one: Batch) -> Batch:
    """Return *one* as it comes when its poll is out of date."""
    return one.with_rows(pa.RecordBatch.from_pylist([], schema=pa.schema([])))


def test_the_last_poll_is_all_there_is(database: Backend) -> None:
    """Each call's rows take the place of what was there; no rows at all empty the table."""
    sink = database.sink(replace=True)
    assert sink.replace(OneByOne(batch([{"id": 1}]), batch([{"id": 2}]))).rows == 2
    assert ids(database) == [1, 2]
    assert sink.replace(OneByOne(batch([{"id": 3}]))).rows == 1
    assert ids(database) == [3]
    assert sink.replace(OneByOne(blank(batch([{"id": 4}])))).rows == 0
    assert database.rows() == []


def test_no_rows_make_no_table(database: Backend) -> None:
    """An empty first poll leaves its marker only; the next one makes the table."""
    sink = database.sink(replace=True)
    empty = blank(batch([{"id": 1}]))
    sink.replace(OneByOne(empty))
    assert sink.landed() == {empty.id}
    sink.replace(OneByOne(batch([{"id": 2}])))
    assert ids(database) == [2]


def test_all_waiting_polls_are_marked_and_the_last_is_written(database: Backend) -> None:
    """Polls that are out of date leave their markers; what is forgotten goes with them."""
    sink = database.sink(replace=True)
    first = batch([{"id": 1}])
    sink.replace(OneByOne(first))
    old, new = batch([{"id": 2}]), batch([{"id": 3}])
    sink.replace(OneByOne(blank(old), new), forget={first.id})
    assert ids(database) == [3]
    assert sink.landed() == {old.id, new.id}


def test_a_poll_that_landed_is_not_written_again(database: Backend) -> None:
    """When the answer to COMMIT was lost, the last batch's marker decides."""
    sink = database.sink(replace=True)
    polls = OneByOne(blank(batch([{"id": 1}])), batch([{"id": 2}]), batch([{"id": 3}]))
    sink.replace(polls)
    database.execute("delete from t where id = 2")
    sink.close()
    sink.open()
    again = sink.replace(polls)
    assert again.rows == 0
    assert again.repeated == {one.id for one in polls.batches}
    assert ids(database) == [3]
    later = batch([{"id": 4}])
    assert sink.replace(OneByOne(*map(blank, polls.batches), later)).rows == 1
    assert ids(database) == [4]


def test_a_long_poll_is_one_transaction(database: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written in many groups, it is seen whole or not at all; columns widen over all of it."""
    monkeypatch.setattr(load, "GROUP_ROWS", 2)
    sink = database.sink(replace=True)
    sink.replace(OneByOne(batch([{"id": 0, "v": 1}])))
    pages = [batch([{"id": i, "v": Decimal(i) / 2}]) for i in range(1, 6)]
    pages.append(batch([{"id": 6, "late": "x"}]))
    bad = batch([{"id": 7, "v": "no number"}])
    with pytest.raises(SinkRejected) as caught:
        sink.replace(OneByOne(*pages, bad))
    assert set(caught.value.rows) == {bad.id}
    assert ids(database) == [0]
    assert sink.replace(OneByOne(*pages)).rows == 6
    rows = database.rows()
    assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [Decimal(str(row["v"])) for row in rows[:5]] == [Decimal(i) / 2 for i in range(1, 6)]
    assert [row["late"] for row in rows] == [None] * 5 + ["x"]


def test_a_crash_in_the_middle_leaves_the_table(database: Backend) -> None:
    """If the pages cannot be read to their end, nothing has happened."""
    sink = database.sink(replace=True)
    sink.replace(OneByOne(batch([{"id": 1}])))

    class Broken(OneByOne):
        def __iter__(self) -> Iterator[Batch]:
            yield from super().__iter__()
            if self.iterations == 2:
                raise SpoolFailed("the disk broke")

    with pytest.raises(SpoolFailed, match="the disk broke"):
        sink.replace(Broken(batch([{"id": 2}])))
    assert ids(database) == [1]
    sink.replace(OneByOne(batch([{"id": 3}])))
    assert ids(database) == [3]


def test_a_rehearsal_sees_an_empty_table(database: Backend) -> None:
    """Rows that are there do not stand in the way of the same rows; a rehearsal leaves them."""
    kind = "bigint" if database.name != "sqlite" else "INTEGER"
    database.execute(f"create table t (id {kind} primary key)")
    sink = database.sink(replace=True)
    sink.replace(OneByOne(batch([{"id": 1}])))
    one = batch([{"id": 1}, {"id": 2}])
    sink.write([one], commit=False)
    assert ids(database) == [1]
    sink.replace(OneByOne(one))
    assert ids(database) == [1, 2]


def test_the_table_is_dropped_while_running(database: Backend) -> None:
    """A dropped table is made again; columns that the poll lacks stay, empty."""
    sink = database.sink(replace=True)
    sink.replace(OneByOne(batch([{"id": 1, "v": 1}])))
    database.execute("drop table t")
    sink.replace(OneByOne(batch([{"id": 2, "v": 2}])))
    sink.replace(OneByOne(batch([{"id": 3}])))
    assert database.rows() == [{"id": 3, "v": None}]
    database.execute("drop table t")
    sink.replace(OneByOne(blank(batch([{"id": 4}]))))


@pytest.mark.parametrize("wait", ["", "deferrable initially deferred"])
def test_rows_that_others_refer_to(database: Backend, wait: str) -> None:
    """Where a foreign key forbids the deletion, the stream pauses; no row is a dead letter."""
    keyless = database.name in ("sqlite", "bigquery")
    if keyless or (wait and database.name != "postgresql"):
        pytest.skip("it has no such constraint")
    sink = database.sink(replace=True)
    database.execute("create table t (id bigint primary key)")
    sink.replace(OneByOne(batch([{"id": 1}])))
    database.execute(f"create table u (id bigint, foreign key (id) references t (id) {wait})")
    database.execute("insert into u values (1)")
    with pytest.raises((SinkMisconfigured, SinkRejected)) as caught:
        sink.replace(OneByOne(batch([{"id": 2}])))
    if not wait:
        assert isinstance(caught.value, SinkMisconfigured)
    assert not getattr(caught.value, "rows", {})
    assert ids(database) == [1]
    database.execute("drop table u")
    sink.replace(OneByOne(batch([{"id": 2}])))
    assert ids(database) == [2]


def test_its_ddl_is_that_of_append(database: Backend) -> None:
    """A table that is replaced gets no key."""
    schema = pa.schema({"id": pa.int64()})
    sink: Any = database.sink(replace=True)
    other: SqlSink = database.sink()  # type: ignore[assignment]
    assert sink.ddl(schema) == other.ddl(schema)
