"""Pickled DataFrames are opened; what else a pickle may name is not run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from api2db.core.errors import FileUnreadable
from api2db.files.frame_unpickler import load_frame

FRAME = pd.DataFrame(
    {
        "i": [1],
        "i1": np.array([1], "int8"),
        "f": [0.5],
        "s": ["x"],
        "d": [date(2020, 1, 1)],
        "t": pd.to_datetime(["2020-01-01"]),
        "u": pd.to_datetime(["2020-01-01"]).tz_localize("UTC"),
        "z": pd.to_datetime(["2020-01-01"]).tz_localize("Europe/Berlin"),
        "o": np.array([datetime(2020, 1, 1, tzinfo=UTC)], dtype=object),
        "ts": np.array([pd.Timestamp("2020")], dtype=object),
        "nat": np.array([pd.NaT], dtype=object),
        "td": pd.to_timedelta([1]),
        "c": pd.Categorical(["a"]),
        "p": pd.period_range("2020-01", periods=1, freq="M"),
        "iv": pd.interval_range(0, 1),
        "sp": pd.arrays.SparseArray([0]),
        "na": pd.array([pd.NA], dtype="Int8"),
        "b": pd.array([True], dtype="boolean"),
        "ff": pd.array([1.5], dtype="Float64"),
        "so": pd.Series(["a"], dtype="string[python]"),
        "ao": pd.array([1], dtype=pd.ArrowDtype(pa.int64())),
        "n": [{"a": [1, None]}],
    }
)


def opened(value: object, protocol: int = 5) -> Any:
    """Pickle *value*, and open it."""
    return load_frame(io.BytesIO(pickle.dumps(value, protocol)), "x.pickle")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_frames(protocol: int) -> None:
    """Every kind of column and of index comes back."""
    pd.testing.assert_frame_equal(opened(FRAME, protocol), FRAME)
    for index in ("i", "s", "d", "t", "u", "td", "c", "p", "iv", ["s", "i"]):
        frame = FRAME.set_index(index)
        pd.testing.assert_frame_equal(opened(frame, protocol), frame)
    assert opened(pd.DataFrame()).empty


class Calls:
    """Pickles as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


class Poison:
    """Pickles as a change of a class, or of numpy's idea of a type."""

    def __init__(self, owner: Any, state: Any) -> None:
        self.owner, self.state = owner, state

    def __reduce__(self) -> Any:
        return (_made, (self.owner,), self.state)


def _made(owner: Any) -> Any:
    return owner


@pytest.mark.parametrize(
    "value",
    [
        Calls(os.system, ("touch pwned",)),
        Calls(eval, ("1",)),
        Calls(getattr, (pd.DataFrame, "to_pickle")),
        Calls(pd.read_pickle, ("x",)),
        Calls(pd.eval, ("1",)),
        Calls(np.load, ("x",)),
        Calls(np.ndarray, ((1,), "O", b"\1" * 8)),
        Calls(np.dtype, ([("a", "O")],)),
        Calls(np.dtype, ("O,i8",)),
        pd.DataFrame({"a": [Calls(os.system, ("touch pwned",))]}),
        [1],
        pd.Series([1]),
    ],
    ids=lambda value: getattr(value, "call", [type(value)])[0].__name__,
)
def test_what_is_refused(value: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that no DataFrame needs, wherever they stand, and things that are no DataFrame."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileUnreadable, match="DataFrame"):
        opened(value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (b"cpandas\nDataFrame\n", (None, {"to_dict": 1})),
        (b"cnumpy\ndtype\n(VO8\nI00\nI01\ntR", (3, "|", None, None, None, -1, -1, 0)),
        (b"cnumpy\ndtype\n(Vi8\nI00\nI01\ntR", (3, "|", None, ("a",), {"a": 1}, 8, 1, 0)),
    ],
    ids=["class", "flags", "fields"],
)
def test_states_that_are_refused(made: bytes, state: Any) -> None:
    """A pickle may neither change a class nor say of pointers that they are numbers."""
    build = pickle.dumps(state, 2)[2:-1]
    with pytest.raises(FileUnreadable, match="changes what others use"):
        load_frame(io.BytesIO(b"\x80\x02" + made + build + b"b."), "x")


def test_arrow_memory_is_checked() -> None:
    """Offsets that point out of a column's memory are found before anyone follows them."""
    code = """
import io, pickle, pyarrow as pa, pandas as pd
from api2db.files.frame_unpickler import load_frame
frame = pd.DataFrame({"a": ["x" * 7777]}, dtype=pd.ArrowDtype(pa.string()))
offsets, far = (bytes(4) + n.to_bytes(4, "little") for n in (7777, 10**9))
whole = pickle.dumps(frame)
assert whole.count(offsets) == 1
load_frame(io.BytesIO(whole), "x")
try:
    load_frame(io.BytesIO(whole.replace(offsets, far)), "x")
except Exception as exc:
    print(type(exc).__name__)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "FileUnreadable", out.stderr


@pytest.mark.parametrize("version", ["1.5.3", "2.3.3"])
def test_older_pandas(version: str) -> None:
    """What earlier pandas wrote opens, though its classes had other homes, and its zones too."""
    path = Path(__file__).with_name("pickles") / f"pandas-{version}.pickle"
    with path.open("rb") as file:
        frame = load_frame(file, path.name)
    day = pd.Timestamp("2020-01-01")
    assert frame.iloc[0].to_dict() == {
        "id": 1,
        "name": "one",
        "t": day,
        "i": 1,
        "f": 1.5,
        "s": "a",
        "b": True,
        "u": day.tz_localize("UTC"),
        "z": day.tz_localize("Europe/Berlin"),
        "c": "a",
        "o": day,
        "td": pd.Timedelta(1, "s"),
    }
    assert frame.isna().sum().sum() == 7


def test_an_index_of_pandas_1() -> None:
    """What `append` left, rows under their old numbers, was an index of another class."""
    path = Path(__file__).with_name("pickles") / "pandas-1.5.3-index.pickle"
    with path.open("rb") as file:
        frame = load_frame(file, path.name)
    assert (frame.index.tolist(), frame["A"].tolist()) == ([0, 0], [1, 2])
