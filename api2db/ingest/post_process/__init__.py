"""Steps on the table that was made of the rows."""

from __future__ import annotations

from api2db.ingest.post_process.column_add import ColumnAdd
from api2db.ingest.post_process.column_apply import ColumnApply
from api2db.ingest.post_process.columns_calculate import ColumnsCalculate
from api2db.ingest.post_process.date_cast import DateCast
from api2db.ingest.post_process.drop_na import DropNa
from api2db.ingest.post_process.merge_static import MergeStatic

__all__ = ["ColumnAdd", "ColumnApply", "ColumnsCalculate", "DateCast", "DropNa", "MergeStatic"]
