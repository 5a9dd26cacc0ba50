"""The generic sink over the SQLAlchemy dialects of two servers that have sinks of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest

from api2db.core import types
from api2db.sink.generic import GenericSink
from api2db.sink.postgresql import PostgresSink
from tests.contract.backends import PostgresBackend, SqliteBackend

if TYPE_CHECKING:
    from api2db.sink.base import Delivery, Sink
    from api2db.sink.identifier import Fold

#: Tests of what this sink leaves to others: none of its columns is widened.
WIDENING = frozenset(
    {
        "test_a_column_widens",
        "test_a_long_poll_is_one_transaction",
        "test_anything_widens_to_json",
        "test_integers_that_floats_cannot_hold",
        "test_leading_zeros_stay",
        "test_two_sinks_widen_one_table",
    }
)


class OverPostgres(GenericSink):
    """PostgreSQL by its column of the type table."""

    dialect: ClassVar[types.Dialect] = "postgresql"
    driver: ClassVar[str] = "psycopg"
    reserved = PostgresSink.reserved


class OverSqlite(GenericSink):
    """SQLite by its column of the type table."""

    dialect: ClassVar[types.Dialect] = "sqlite"
    driver: ClassVar[str] = "pysqlite"
    name_limit: ClassVar[int] = 1000
    fold: ClassVar[Fold] = "ascii"
    unbound = frozenset({"datetime", "date", "decimal"})

    def _table_parts(self, table: str) -> list[str]:
        return [table]


class GenericPostgresBackend(PostgresBackend):
    """A database of its own on the session's server."""

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        _no_upsert(delivery)
        return OverPostgres(self.url, delivery)


class GenericSqliteBackend(SqliteBackend):
    """A file."""

    def _make(self, delivery: Delivery) -> Sink:
        """Return a sink that is not open."""
        _no_upsert(delivery)
        return OverSqlite(f"sqlite:///{self.path}", delivery)


def _no_upsert(delivery: Delivery) -> None:
    if delivery.upsert:
        pytest.skip("the generic sink refuses upsert")
