"""The laboratory: a form is tried, phase by phase, on real data, until it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api2db.ingest import extraction
from api2db.ingest.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from api2db.ingest.api_form import ApiForm

CACHE = "lab_cache.json"
#: So many rows are printed.
_SHOWN = 3


def experiment(form: ApiForm, *, cache: bool, import_target: Callable[[], Any]) -> bool:
    """Do what `ApiForm.experiment` says."""
    print("building laboratory...")
    returned = _imported(cache, import_target)
    if not (isinstance(returned, list) and returned and isinstance(returned[0], dict)):
        print(f"import_target must return a list of dictionary data.\nimport_target:\n{returned}\n")
        return False
    data = returned[0]
    _write("data_without_preprocess.json", data)
    if not isinstance(form.pre_process, list):
        print(f"data:\n{data}\n\ndata keys:\n{data.keys()}\n")
        print(f"pre_process must return a list of 0 or more pre-processors: {form.pre_process}\n")
        return False
    tally = Tally()
    with tally.counting():
        rows, shared = extraction.prepare(form.pre_process, data)
    _write("data_after_preprocess.json", rows)
    if not isinstance(rows, list):
        print(f"data should be a list of dicts once pre-processing is done.\ndata:\n{rows}\n")
        return False
    for number, row in enumerate(rows[:_SHOWN], 1):
        print(f"data point {number}:\n{row}\n")
    if not isinstance(form.data_features, list) or not form.data_features:
        print(f"data_features must return a list of data-features: {form.data_features}\n")
        return False
    found = extraction.columns(form.data_features, rows, shared, tally)
    print(*tally.lines(), sep="\n")
    return _finish(form, extraction.frame(found))


def _finish(form: ApiForm, made: Any) -> bool:
    """Show the columns, and what post_process makes of them."""
    path = Path("data_after_feature_extraction.json")
    path.write_text(made.to_json(orient="records", indent=10), encoding="utf-8")
    if not isinstance(form.post_process, list):
        print(f"data:\n{made}\n\ndata dtypes:\n{made.dtypes}\n")
        print(f"post_process must return a list of 0 or more post-processors: {form.post_process}")
        return False
    made = extraction.finish(form.post_process, made)
    print(f"finalized data:\n{made}\n\nfinalized data dtypes:\n{made.dtypes}\n")
    return True


def _imported(cache: bool, import_target: Callable[[], Any]) -> Any:
    """Return what *import_target* returns, or returned when it was called first."""
    path = Path(CACHE)
    if cache and path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    returned = import_target()
    if cache and isinstance(returned, list) and returned and isinstance(returned[0], dict):
        _write(CACHE, returned)
    return returned


def _write(name: str, value: Any) -> None:
    """Write *value* as JSON; what JSON has no form for, as its text."""
    text = json.dumps(value, indent=2, default=str, ensure_ascii=False)
    Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
