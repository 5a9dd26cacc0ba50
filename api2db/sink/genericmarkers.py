"""The table of the markers, as SQLAlchemy makes it in any dialect."""

from __future__ import annotations

import sqlalchemy as sa

from api2db.sink.sql import LEDGER

#: As every dialect has it, see `api2db.sink.sql`.
MARKERS = sa.Table(
    LEDGER,
    sa.MetaData(),
    sa.Column("batch_id", sa.String(128), primary_key=True),
    sa.Column("spool", sa.String(32), nullable=False),
    sa.Column("collector", sa.String(128), nullable=False),
    sa.Column("stream", sa.String(63), nullable=False),
    sa.Column("n_rows", sa.BigInteger, nullable=False),
    sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp()),
)
