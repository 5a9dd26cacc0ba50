"""Steps on what the API sent, before its rows become a table."""

from __future__ import annotations

from api2db.ingest.pre_process.bad_row_swap import BadRowSwap
from api2db.ingest.pre_process.feature_flatten import FeatureFlatten
from api2db.ingest.pre_process.global_extract import GlobalExtract
from api2db.ingest.pre_process.list_extract import ListExtract

__all__ = ["BadRowSwap", "FeatureFlatten", "GlobalExtract", "ListExtract"]
