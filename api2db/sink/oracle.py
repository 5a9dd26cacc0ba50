"""
Rows into Oracle, by python-oracledb. Not tried on a server.

Texts are CLOBs, and an empty one is NULL there. Booleans are numbers of one digit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.oracle import BINARY_DOUBLE

from api2db.sink.generic import GenericSink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.types import TypeEngine

    from api2db.core import types


class OracleSink(GenericSink):
    """One table of an Oracle database, 12.2 or later."""

    dialect: ClassVar[types.Dialect] = "oracle"
    driver: ClassVar[str] = "oracledb"
    name_limit: ClassVar[int] = 128
    reserved: ClassVar[frozenset[str]] = frozenset({"ROWID"})
    unbound: ClassVar[frozenset[str]] = frozenset({"bool"})
    # A datetime would go as a DATE, without its microseconds; a float as a decimal NUMBER.
    bound_as: ClassVar[Mapping[str, TypeEngine[Any]]] = {
        "datetime": sa.TIMESTAMP(timezone=True),
        "float": BINARY_DOUBLE(),
    }

    def _connect(self) -> None:
        super()._connect()
        with self._statement() as db:  # instants are bound without their zone
            db.exec_driver_sql("alter session set time_zone = 'UTC'")
