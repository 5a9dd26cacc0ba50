"""
From an API to typed rows: source, pages, form, poll.

The names that a collector is declared with are imported when they are asked for, no sooner::

    from api2db.ingest import ApiForm, Collector, Feature, ListExtract
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true; importing it would load `typing`
if TYPE_CHECKING:
    from api2db.ingest.api2pandas import Api2Pandas
    from api2db.ingest.api_form import ApiForm
    from api2db.ingest.collector import Collector
    from api2db.ingest.data_feature.feature import Feature
    from api2db.ingest.post_process.column_add import ColumnAdd
    from api2db.ingest.post_process.column_apply import ColumnApply
    from api2db.ingest.post_process.columns_calculate import ColumnsCalculate
    from api2db.ingest.post_process.date_cast import DateCast
    from api2db.ingest.post_process.drop_na import DropNa
    from api2db.ingest.post_process.merge_static import MergeStatic
    from api2db.ingest.pre_process.bad_row_swap import BadRowSwap
    from api2db.ingest.pre_process.feature_flatten import FeatureFlatten
    from api2db.ingest.pre_process.global_extract import GlobalExtract
    from api2db.ingest.pre_process.list_extract import ListExtract

__all__ = [
    "Api2Pandas",
    "ApiForm",
    "BadRowSwap",
    "Collector",
    "ColumnAdd",
    "ColumnApply",
    "ColumnsCalculate",
    "DateCast",
    "DropNa",
    "Feature",
    "FeatureFlatten",
    "GlobalExtract",
    "ListExtract",
    "MergeStatic",
]

#: Where each name of `__all__` is defined, below this package.
_HOMES = {
    "Api2Pandas": "api2pandas",
    "ApiForm": "api_form",
    "BadRowSwap": "pre_process.bad_row_swap",
    "Collector": "collector",
    "ColumnAdd": "post_process.column_add",
    "ColumnApply": "post_process.column_apply",
    "ColumnsCalculate": "post_process.columns_calculate",
    "DateCast": "post_process.date_cast",
    "DropNa": "post_process.drop_na",
    "Feature": "data_feature.feature",
    "FeatureFlatten": "pre_process.feature_flatten",
    "GlobalExtract": "pre_process.global_extract",
    "ListExtract": "pre_process.list_extract",
    "MergeStatic": "post_process.merge_static",
}


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
