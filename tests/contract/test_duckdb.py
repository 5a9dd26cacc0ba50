"""What the sink of DuckDB promises beyond the contract."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from api2db.core.errors import (
    ConfigError,
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
)
from api2db.core.types import JSON
from api2db.sink.base import Delivery
from api2db.sink.duckdberrors import CLASSES, translate
from api2db.sink.registry import make_sink
from api2db.sink.target import Database
from tests.contract.backends import DuckdbBackend
from tests.contract.test_sink import STAMP, batch, ids

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.backend("duckdb")
DELIVERY = Delivery("0" * 32, "c", "s", "t")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[DuckdbBackend]:
    """Return a file that is not there yet."""
    backend = DuckdbBackend(tmp_path)
    yield backend
    backend.close()


# -- the file ------------------------------------------------------------------------------


def test_urls(tmp_path: Path) -> None:
    """Three slashes are relative to the base folder, four absolute; %20 is a space."""
    (tmp_path / "sub").mkdir()
    for url, path in (
        ("duckdb:///sub/a%20b.db", tmp_path / "sub" / "a b.db"),
        (f"duckdb:///{tmp_path}/c.db", tmp_path / "c.db"),
    ):
        sink = make_sink(Database(url), DELIVERY, base=tmp_path)
        sink.open()
        sink.close()
        assert path.is_file()


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:///", "duckdb:///:memory:", "duckdb:x.db"])
def test_urls_without_a_file(url: str, tmp_path: Path) -> None:
    """A database that is no file cannot keep what lands."""
    with pytest.raises(ConfigError, match="duckdb:///"):
        make_sink(Database(url), DELIVERY, base=tmp_path)


def test_another_process_has_the_file(target: DuckdbBackend) -> None:
    """It is named; the load waits, and lands when the file is free."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        with pytest.raises(SinkUnavailable, match=rf"PID {other.pid}.*one process"):
            target.sink()
        other.communicate("\n")
    target.sink().write([batch([{"id": 1}])])
    assert ids(target) == [1]


def test_a_link_is_the_same_file(target: DuckdbBackend) -> None:
    """Two names of one file are one database."""
    (target.folder / "link.db").symlink_to(target.path)
    target.sink().write([batch([{"id": 1}])])
    other = make_sink(Database("duckdb:///link.db"), DELIVERY, base=target.folder)
    other.open()
    other.write([batch([{"id": 2}])])
    other.close()
    assert ids(target) == [1, 2]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("mine " * 1000), "no DuckDB database"),
        (lambda path: path.mkdir(), "folder|Cannot open|directory"),
    ],
)
def test_a_file_that_is_no_database(target: DuckdbBackend, make: Any, said: str) -> None:
    """Something else of that name pauses the stream."""
    make(target.path)
    with pytest.raises(SinkMisconfigured, match=said):
        target.sink()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """A missing folder pauses the stream with what to check."""
    sink = make_sink(Database("duckdb:///no/x.db"), DELIVERY, base=tmp_path)
    with pytest.raises(SinkMisconfigured, match="folder"):
        sink.open()


def test_nothing_is_fetched(target: DuckdbBackend) -> None:
    """DuckDB would get extensions from the network by itself; here it may not."""
    sink: Any = target.sink()
    for option in ("autoinstall_known_extensions", "autoload_known_extensions"):
        assert sink._run(f"select current_setting('{option}')").fetchone() == (False,)


def test_the_end_of_a_process_is_quiet(tmp_path: Path) -> None:
    """Nothing is said at the end, also where the collector was told to leave things alone."""
    code = (
        "import gc; gc.disable()\n"
        "from pathlib import Path\n"
        "from api2db.sink.base import Delivery\n"
        "from api2db.sink.registry import make_sink\n"
        "from api2db.sink.target import Database\n"
        "where = Path(__import__('sys').argv[1])\n"
        "d = Delivery('0' * 32, 'c', 's', 't')\n"
        "sink = make_sink(Database('duckdb:///x.db'), d, base=where)\n"
        "gc.freeze(); gc.enable()\n"
        "sink.open(); sink.close()"
    )
    run = [sys.executable, "-c", code, str(tmp_path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stderr == ""


# -- several sinks -------------------------------------------------------------------------


def test_many_threads_and_one_file(target: DuckdbBackend) -> None:
    """Workers of one process wait for each other: nothing collides, nothing is tried again."""

    done: list[str] = []

    def work(name: str) -> None:
        sink = target.sink("same" if name < "c" else name, collector=name, upsert=("id",))
        for i in range(8):
            sink.write([batch([{"id": i, name: i, "v": j} for j in range(3)])])
        done.append(name)

    threads = [threading.Thread(target=work, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(target, "same")) == sorted(ids(target, "d")) == list(range(8))
    assert sorted(done) == list("abcd")
    assert len(target.markers()) == 32


def test_interrupt(target: DuckdbBackend) -> None:
    """A statement that runs is broken off from another thread; the next call works."""
    sink: Any = target.sink()
    raised: list[Exception] = []

    def run() -> None:
        with pytest.raises(SinkUnavailable) as caught, sink._edge():
            sink._run("select count(*) from range(10000000000) a, range(100000) b").fetchone()
        raised.append(caught.value)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        sink.interrupt()
        thread.join(0.05)
    assert raised
    sink.write([batch([{"id": 1}])])
    assert ids(target) == [1]


# -- types ---------------------------------------------------------------------------------


def test_types(target: DuckdbBackend) -> None:
    """Columns have DuckDB's own types; numbers, NUL and far instants are what they were."""
    far = datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)
    row = {"id": 1, "f": math.inf, "s": "a\0b", "t": far, "d": date(9999, 12, 31)}
    row |= {"n": Decimal("0.123456789"), "w": Decimal(2**200), "j": "[1, 1.10]", "b": True}
    types = {"t": STAMP, "d": pa.date32(), "n": pa.decimal128(38, 9), "j": JSON}
    target.sink(upsert=("id",)).write([batch([row], w=pa.decimal256(76, 0), **types)])
    assert target.types() == {
        "id": "BIGINT",
        "f": "DOUBLE",
        "s": "VARCHAR",
        "t": "TIMESTAMP WITH TIME ZONE",
        "d": "DATE",
        "n": "DECIMAL(38,9)",
        "w": "VARCHAR",
        "j": "JSON",
        "b": "BOOLEAN",
    }
    assert target.rows() == [row | {"w": str(2**200)}]


def test_infinite_instants(target: DuckdbBackend) -> None:
    """The greatest of 64 bits is infinity to DuckDB: refused by row."""
    sink = target.sink()
    stamps = pa.array([0, 2**63 - 1, -(2**63), None], pa.int64()).cast(STAMP)
    one = batch(pa.record_batch({"t": stamps}))
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.row for row in caught.value.rows[one.id]] == [1, 2]


def test_digits_survive_widening(target: DuckdbBackend) -> None:
    """Decimals, instants and floats keep their digits as text and as JSON."""
    rows = [{"id": 1, "n": Decimal("1.50"), "t": datetime(2024, 1, 1, tzinfo=UTC), "f": 0.1}]
    types = {"n": pa.decimal128(38, 9), "t": STAMP}
    sink = target.sink(upsert=("id",))
    sink.write([batch(rows, **types)])
    fine = Decimal("0.12345678901234567891")
    wide = [{"id": 2, "n": fine, "t": "x", "f": "{}"}]
    sink.write([batch(wide, n=pa.decimal256(76, 38), f=JSON)])
    first, second = target.rows()
    assert first == {"id": 1, "n": "1.5", "t": "2024-01-01T00:00:00Z", "f": "0.1"}
    assert second == {"id": 2, "n": str(fine), "t": "x", "f": "{}"}


def test_a_key_that_widens(target: DuckdbBackend) -> None:
    """The table is copied; order of columns, NOT NULL and the key stay."""
    target.execute(
        "create table t (v BIGINT, id BOOLEAN, w VARCHAR not null, k BIGINT, primary key (k, id))"
    )
    sink = target.sink(upsert=("id", "k"))
    sink.write([batch([{"id": True, "k": 1, "v": 1, "w": "a"}])])
    sink.write([batch([{"id": "x", "k": 1, "v": 2, "w": "b"}])])
    sink.write([batch([{"id": True, "k": 1, "v": 3, "w": "c"}])])
    assert [tuple(row.values()) for row in target.rows()] == [(3, "true", "c", 1), (2, "x", "b", 1)]
    assert list(target.types()) == ["v", "id", "w", "k"]
    with pytest.raises(duckdb.ConstraintException):
        target.execute("insert into t values (1, 'x', 'd', 1)")
    with pytest.raises(duckdb.ConstraintException):
        target.execute("insert into t values (1, 'y', NULL, 1)")


@pytest.mark.parametrize(
    "ddl",
    [
        "create table t (id BIGINT, v BIGINT check (v > 0))",
        "create table t (id BIGINT, v BIGINT unique)",
        "create table t (id BIGINT, v BIGINT default 5)",
        "create table t (id BIGINT, v BIGINT); create index mine on t (v)",
        "create table t (id BIGINT, v INTEGER)",
    ],
)
def test_what_a_user_made_is_not_changed(target: DuckdbBackend, ddl: str) -> None:
    """What does not fit a user's column is refused by row; the declaration stays."""
    target.execute(ddl)
    sink = target.sink()
    one = batch([{"id": 1, "v": 7}])
    two = batch([{"id": 2, "v": 0.5}, {"id": 3, "v": None}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one, two])
    assert {key: [r.row for r in rows] for key, rows in caught.value.rows.items()} == {two.id: [0]}
    sink.write([one])
    assert target.rows() == [{"id": 1, "v": 7}]


@pytest.mark.parametrize(
    ("declared", "kept", "lost"),
    [
        ("INTEGER", [1, -5], [2**40]),
        ("UTINYINT", [255], [256, -1]),
        ("HUGEINT", [2**63 - 1, Decimal(2**70)], [Decimal("0.5"), "1.5", "x"]),
        ("FLOAT", [0.5, 16777216], [0.1, 16777217]),
        ("DECIMAL(10,2)", [1, 1.25, "007.50"], [1.005, Decimal("0.001"), 10**12]),
        ("TIMESTAMP", [datetime(2024, 1, 1, 0, 0, 0, 5, UTC)], ["2024-01-01T00:00:00.1234567Z"]),
        (
            "TIMESTAMP_S",
            [datetime(2024, 1, 1, tzinfo=UTC)],
            [datetime(2024, 1, 1, 0, 0, 0, 5, UTC)],
        ),
        ("DATE", [date(2024, 1, 1)], []),
        ("UUID", ["00000000-0000-0000-0000-000000000001"], ["x"]),
        ("INTEGER[]", ["[1,2]"], ["[1.5]", "x"]),
        ("ENUM('a', 'b')", ["a"], ["c"]),
        ("TIME", ["10:00:00"], ["x"]),
    ],
)
def test_columns_of_a_users_own_type(
    target: DuckdbBackend, declared: str, kept: list[Any], lost: list[Any]
) -> None:
    """What DuckDB would round, cut off or refuse is a dead letter; the rest lands as it is."""
    target.execute(f"create table t (id BIGINT, v {declared})")
    sink = target.sink()
    for value in lost:
        stamp = {"v": STAMP} if isinstance(value, datetime) else {}
        with pytest.raises(SinkRejected) as caught:
            sink.write([batch([{"id": 1, "v": None}, {"id": 2, "v": value}], **stamp)])
        (rows,) = caught.value.rows.values()
        assert [row.row for row in rows] == [1], value
    for value in kept:
        stamp = {"v": STAMP} if isinstance(value, datetime) else {}
        sink.write([batch([{"id": 1, "v": value}], **stamp)])
    assert len(target.rows()) == len(kept)


def test_a_unique_index_is_a_key(target: DuckdbBackend) -> None:
    """Names of an index are read from the catalog, whatever characters they have."""
    target.execute('create table t ("a b" BIGINT, "v""x" VARCHAR, "it\'s" BIGINT, w BIGINT)')
    target.execute('create unique index mine on t ("v""x", "it\'s", "a b")')
    target.execute("create unique index other on t ((w + 1))")
    sink = target.sink(upsert=("a b", 'v"x', "it's"))
    for w in (1, 2):
        sink.write([batch([{"a b": 1, 'v"x': "x", "it's": 3, "w": w}])])
    assert [row["w"] for row in target.rows()] == [2]
    with pytest.raises(SinkMisconfigured, match="unique index"):
        target.sink(upsert=("w",)).write([batch([{"w": 1}])])


def test_a_schema(target: DuckdbBackend) -> None:
    """``schema.table`` is a table of a schema; one that is missing pauses the stream."""
    sink = target.sink("mine.t", upsert=("id",))
    with pytest.raises(SinkMisconfigured, match="mine"):
        sink.write([batch([{"id": 1}])])
    target.execute("create schema mine")
    sink.write([batch([{"id": True}])])
    sink.write([batch([{"id": "x"}])])  # the key widens: the table is copied
    with target.connect() as connection:
        assert connection.execute("select id from mine.t").fetchall() == [("true",), ("x",)]


# -- crashes and full disks ----------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    """A load without room is refused, others go on, and it lands once when there is room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    target = DuckdbBackend(disk)
    try:
        sink, other = target.sink(), target.sink("u", stream="other")
        one = batch([{"id": i, "v": os.urandom(50).hex()} for i in range(40_000)])
        for i in range(2):
            with pytest.raises(SinkError, match="No space left"):
                sink.write([one])
            sink.close()
            other.write([batch([{"id": i}])])
            sink.open()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        sink.write([one])
        sink.write([one])
        assert len(ids(target)) == 40_000
        assert ids(target, "u") == [0, 1]
    finally:
        target.close()
        subprocess.run(["umount", disk], check=True)


# -- errors --------------------------------------------------------------------------------


def test_every_class_of_duckdb_is_one_of_four_kinds() -> None:
    """Each class of exception is in the table by itself, whatever its base is."""
    classes = [
        value
        for name in dir(duckdb)
        if isinstance(value := getattr(duckdb, name), type) and issubclass(value, duckdb.Error)
    ]
    assert len(classes) > 25
    assert [class_ for class_ in classes if class_ not in CLASSES] == []
    for class_ in classes:
        error = translate(class_("what\nmore"))
        assert type(error) is CLASSES[class_]
        assert "DuckDB: what" in str(error)
