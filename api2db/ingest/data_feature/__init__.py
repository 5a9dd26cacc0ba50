"""What becomes a column."""

from __future__ import annotations

from api2db.ingest.data_feature.feature import Feature

__all__ = ["Feature"]
