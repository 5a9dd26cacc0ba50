"""Facts about columns of MariaDB and MySQL; what they keep is asked of the servers themselves."""

from __future__ import annotations

import pyarrow as pa
import pytest

from api2db.core.errors import SinkMisconfigured
from api2db.sink.mysqltypes import Column, digits_of, kind_of_column, spelled, unfit


@pytest.mark.parametrize(
    ("catalog", "sql", "kind"),
    [
        ("bigint(20)", "bigint", "int"),
        ("BIGINT", "bigint", "int"),
        ("int(10) unsigned zerofill", "int unsigned zerofill", "int"),
        ("bigint(20) unsigned", "bigint unsigned", "decimal"),
        ("tinyint(1)", "tinyint(1)", "bool"),
        ("tinyint(4)", "tinyint", "int"),
        ("double", "double", "float"),
        ("float(7,2)", "float(7,2)", "decimal"),
        ("decimal(38,9)", "decimal(38,9)", "decimal"),
        ("varchar(255)", "varchar(255)", "str"),
        ("enum('A','b')", "enum('A','b')", "str"),
        ("timestamp(3)", "timestamp(3)", "datetime"),
    ],
)
def test_types_of_both_servers(catalog: str, sql: str, kind: str) -> None:
    """Widths for display mean nothing; every type has the kind that it is sent."""
    assert spelled(catalog) == sql
    assert kind_of_column(sql, "c") == kind


@pytest.mark.parametrize(
    "sql", ["bit(8)", "time", "year", "blob", "binary(3)", "set('a')", "point"]
)
def test_types_that_would_alter_a_text(sql: str) -> None:
    """They are named, not written to."""
    with pytest.raises(SinkMisconfigured, match="column c"):
        kind_of_column(sql, "c")


def test_digits() -> None:
    """Precision and scale, of types that have them."""
    assert digits_of("decimal(10,0)") == (10, 0)
    assert digits_of("decimal(10)") == (10, 0)
    assert digits_of("bigint unsigned") == (20, 0)
    assert digits_of("double") is None
    assert digits_of("bigint") is None


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("123.45", True),
        ("-0.1", True),
        ("00123.4500", True),
        ("1e2", True),
        ("1.5e-1", True),
        ("123.456", False),
        ("1234", False),
        ("1e3", False),
        ("NaN", False),
    ],
)
def test_decimals_are_kept_or_refused(text: str, kept: bool) -> None:
    """A decimal that its column would round or cannot hold is refused, however it is written."""
    array = pa.chunked_array([["1", text, None]], pa.string())
    found = unfit(array, "n", "decimal", Column("decimal(5,2)", None, True), exact_json=True)
    assert set(found) == (set() if kept else {1})
