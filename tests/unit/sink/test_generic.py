from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mssql, oracle

from api2db.core.errors import (
    ConfigError,
    SinkError,
    SinkMisconfigured,
    SinkRejected,
    SinkUnavailable,
    SinkUnknown,
)
from api2db.core.types import JSON
from api2db.sink.base import Delivery
from api2db.sink.genericerrors import translate
from api2db.sink.registry import make_sink
from api2db.sink.target import Database
from api2db.stream import Stream2Sql

if TYPE_CHECKING:
    from api2db.sink.generic import GenericSink

URLS = {
    "oracle": "oracle://u:s3cret-word@h/?service_name=x",
    "mssql": "mssql://u:s3cret-word@h/x",
}
DRIVERS = {"oracle": "oracledb", "mssql": "pymssql"}
LOGIN = {"username": "u", "password": "p@ss", "host": "h"}


def sink(dialect: str, **more: Any) -> GenericSink:
    pytest.importorskip(DRIVERS[dialect])
    delivery = Delivery("0" * 32, "c", "s", "t", **more)
    return make_sink(Database(URLS[dialect]), delivery, base=Path())  # type: ignore[return-value]


@pytest.mark.parametrize("dialect", URLS)
def test_no_upsert(dialect: str) -> None:
    """What it cannot do is refused when the stream is made, without a secret."""
    with pytest.raises(ConfigError, match="takes no upsert; use append") as caught:
        sink(dialect, upsert=("id",))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("scheme", "module", "said"),
    [
        ("oracle", "oracledb", "oracledb is not installed; pip install 'api2db[oracle]>=2'"),
        ("mssql", "pymssql", "pymssql is not installed; pip install 'api2db[mssql]>=2'"),
        ("mssql+pyodbc", "pyodbc", "pyodbc is not installed; pip install pyodbc"),
        ("mssql+odbc", None, "unknown driver in 'mssql+odbc'; leave it out for pymssql"),
    ],
)
def test_a_missing_driver(
    scheme: str, module: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install: that which the URL names, or an extra."""
    monkeypatch.setitem(sys.modules, module or "none", None)
    url = f"{scheme}://u:s3cret-word@h/x"
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        make_sink(Database(url), Delivery("0" * 32, "c", "s", "t"), base=Path())
    assert "s3cret" not in str(caught.value)


def test_oracles_table() -> None:
    """Each type of ours has one of Oracle's; a name that it refuses is changed."""
    schema = pa.schema(
        [("id", pa.int64()), ("t", pa.timestamp("us", "UTC")), ("j", JSON), ("ROWID", pa.bool_())]
    )
    assert sink("oracle").ddl(schema) == (
        'create table "t" (\n  "id" NUMBER(19),\n  "t" TIMESTAMP(6) WITH TIME ZONE,\n'
        '  "j" CLOB,\n  "ROWID_ef2a45f7" NUMBER(1)\n)'
    )


def test_sql_servers_table() -> None:
    """Each type of ours has one of SQL Server's; decimals that are too long are text."""
    schema = pa.schema(
        [("n", pa.decimal128(38, 9)), ("m", pa.decimal256(76, 38)), ("b", pa.bool_())]
    )
    assert sink("mssql").ddl(schema) == (
        'create table "t" (\n  "n" decimal(38,9),\n  "m" nvarchar(max),\n  "b" bit\n)'
    )


@pytest.mark.parametrize(
    ("dialect", "column", "coming", "kind"),
    [
        ("oracle", oracle.NUMBER(19, 0), pa.int64(), "int"),
        ("oracle", oracle.NUMBER(1, 0), pa.bool_(), "bool"),
        ("oracle", oracle.NUMBER(1, 0), pa.int64(), "int"),
        ("oracle", oracle.NUMBER(38, 9), pa.decimal128(38, 9), "decimal"),
        ("oracle", oracle.BINARY_DOUBLE(), pa.float64(), "float"),
        ("oracle", oracle.DATE(), pa.date32(), "date"),
        ("oracle", oracle.TIMESTAMP(timezone=True), pa.timestamp("us", "UTC"), "datetime"),
        ("oracle", oracle.CLOB(), JSON, "json"),
        ("oracle", oracle.CLOB(), pa.decimal256(76, 38), "str"),
        ("oracle", oracle.RAW(16), pa.string(), None),
        ("mssql", mssql.BIT(), pa.bool_(), "bool"),
        ("mssql", mssql.DATETIMEOFFSET(6), pa.timestamp("us", "UTC"), "datetime"),
        ("mssql", mssql.DATE(), pa.date32(), "date"),
        ("mssql", mssql.DECIMAL(38, 9), pa.float64(), "decimal"),
        ("mssql", mssql.NVARCHAR(), pa.int64(), "str"),
        ("mssql", sa.BigInteger(), pa.int64(), "int"),
        ("mssql", sa.Float(53), pa.float64(), "float"),
    ],
)
def test_what_is_sent_to_a_column(
    dialect: str, column: Any, coming: pa.DataType, kind: str | None
) -> None:
    """The kind of a column is what SQLAlchemy reflects of it."""
    made = sink(dialect)
    made._types["x"] = column
    assert made._kind("x", coming) == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sa.exc.DataError("insert", {"c0": "s3cret-word"}, Exception("too long")), SinkRejected),
        (sa.exc.IntegrityError("insert", {}, Exception("null")), SinkRejected),
        (sa.exc.ProgrammingError("insert", {}, Exception("no table")), SinkMisconfigured),
        (sa.exc.OperationalError("insert", {}, Exception("gone")), SinkUnavailable),
        (
            sa.exc.DatabaseError("x", {}, Exception("gone"), connection_invalidated=True),
            SinkUnavailable,
        ),
        (sa.exc.DatabaseError("insert", {}, Exception("ORA-1")), SinkUnknown),
        (RuntimeError("?"), SinkUnknown),
    ],
)
def test_kinds_of_errors(error: Exception, kind: type[SinkError]) -> None:
    """Each class of PEP 249 is one of the four kinds; rows are in no message."""
    found = translate(error)
    assert type(found) is kind
    assert "s3cret-word" not in str(found)


def test_how_streams_lead_there() -> None:
    """The documented dialects have the URLs that SQLAlchemy takes."""
    url = sa.make_url(Stream2Sql("q", "geo/x", "oracle", **LOGIN).engine_str)
    assert (url.drivername, url.database, url.query) == (
        *("oracle+oracledb", ""),
        {"service_name": "geo/x"},
    )
    url = sa.make_url(Stream2Sql("q", "geo", "microsoft_sql", port="1433", **LOGIN).engine_str)
    assert (url.drivername, url.database, url.port, url.password) == (
        *("mssql+pymssql", "geo", 1433),
        "p@ss",
    )
    url = sa.make_url(Stream2Sql("q", "geo", "amazon_aurora", **LOGIN).engine_str)
    assert url.drivername == "mysql+pymysql"
