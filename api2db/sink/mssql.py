"""Rows into SQL Server, by pymssql, or by pyodbc if the URL says so. Not tried on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from api2db.sink.generic import GenericSink

if TYPE_CHECKING:
    from api2db.core import types
    from api2db.sink.identifier import Fold


class MssqlSink(GenericSink):
    """One table of a SQL Server database; its collations do not tell upper from lower case."""

    dialect: ClassVar[types.Dialect] = "mssql"
    driver: ClassVar[str] = "pymssql"
    name_limit: ClassVar[int] = 128
    fold: ClassVar[Fold] = "unicode"
    unbound: ClassVar[frozenset[str]] = frozenset({"datetime", "date"})
