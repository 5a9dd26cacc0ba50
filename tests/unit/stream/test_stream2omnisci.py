from __future__ import annotations

import pickle
from typing import Any

import pandas as pd
import pytest

from api2db.core.errors import ConfigError
from api2db.sink.target import Omnisci
from api2db.store import Store2Omnisci
from api2db.stream import Stream2Omnisci

LOGIN = {"username": "u", "password": "s3cret-word", "host": "127.0.0.1"}


def test_columns_get_their_suffix() -> None:
    """The document's example: A, B, C become A_t, B_t, C_t."""
    data = pd.DataFrame([(1, 2, 3), (4, 5, 6)], columns=["A", "B", "C"])
    cast = Stream2Omnisci.cast_categorical(data, data.dtypes)
    assert list(cast.columns) == ["A_t", "B_t", "C_t"]
    assert cast.to_numpy().tolist() == data.to_numpy().tolist()


@pytest.mark.parametrize("dtype", ["str", "string", "object"])
def test_texts_are_cast_and_the_rows_of_others_stay(dtype: str) -> None:
    """NULL stays NULL and the DataFrame stays as it is: the old one wrote "" into both."""
    data = pd.DataFrame({"s": pd.Series(["x", None, "x"], dtype=dtype), "n": [1, 2, 3]})
    before = data.copy(deep=True)
    cast = Stream2Omnisci.cast_categorical(data, data.dtypes)
    assert cast.dtypes["s_t"] == "category"
    assert cast["s_t"].isna().tolist() == [False, True, False]
    assert cast.dtypes["n_t"] == "int64"
    pd.testing.assert_frame_equal(data, before)


def test_without_dtypes_nothing_is_cast() -> None:
    """Before the collector has brought data there is nothing to go by."""
    data = pd.DataFrame({"A": [1]})
    assert Stream2Omnisci.cast_categorical(data, None) is data


def test_connected() -> None:
    """The attribute is a function of a connection."""
    stream = Stream2Omnisci("quakes", "geo", **LOGIN)
    assert stream.con is None
    assert stream.connected(stream.con) is False

    class Open:
        closed = 0

    assert stream.connected(Open()) is True


def test_no_connection_is_none(caplog: Any) -> None:
    """`connect` returns None where nobody answers, and the log says so without a secret."""
    stream = Stream2Omnisci("quakes", "geo", **{**LOGIN, "host": "127.0.0.1"})
    stream.port = "1"
    assert stream.connect() is None
    assert caplog.records[-1].message == "connection_failed"
    assert "s3cret-word" not in str(vars(caplog.records[-1])) + stream.log_str


def test_what_it_declares() -> None:
    """Mistakes are a ValueError; the table is that of 1.x; all of it can be pickled."""
    with pytest.raises(ValueError, match="quakes: username, password missing"):
        Stream2Omnisci("quakes", "geo", host="h")
    store = pickle.loads(pickle.dumps(Store2Omnisci("quakes", 60, "geo", **LOGIN)))
    assert store.stream.log_str == "omnisci://127.0.0.1/geo.quakes_stream"
    with pytest.raises(ConfigError, match="use one of binary, http, https"):
        Stream2Omnisci("quakes", "geo", **LOGIN, protocol="thrift")
    stream = store.declaration().stream
    assert stream.table == "quakes_stream"
    assert stream.target == Omnisci("geo", "127.0.0.1", "u", "s3cret-word", 6274, "binary")
    assert "s3cret-word" not in repr(stream)
