from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from api2db.core.errors import ConfigError
from api2db.sink.target import Bigquery
from api2db.store import Store2Bigquery
from api2db.stream import Stream2Bigquery

PLACE = {"pid": "proj", "did": "data", "tid": "quakes"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a project with a service account that leads nowhere."""
    monkeypatch.chdir(tmp_path)
    keys = ("project_id", "private_key", "client_email", "token_uri")
    account = {"type": "service_account", **dict.fromkeys(keys, "s3cret-word")}
    auth = tmp_path / "google.json"
    auth.touch(mode=0o600)
    auth.write_text(json.dumps(account))


def stream(**more: Any) -> Stream2Bigquery:
    return Stream2Bigquery("quakes", "google.json", **PLACE, **more)


def test_no_column_vanishes_from_the_schema() -> None:
    """Every dtype has its field: the old tables knew no Float64, no boolean, no instants."""
    one = stream()
    assert (one.schema, one.bq_schema) == (None, None)
    one.dtypes = {
        "i": "int64",
        "I": "Int64",
        "b": "int8",
        "u": "UInt32",
        "f": "float64",
        "F": "Float64",
        "ok": "bool",
        "OK": "boolean",
        "s": "string",
        "o": "object",
        "c": "category",
        "t": "datetime64[ns]",
        "z": "datetime64[us, UTC]",
    }
    kinds = {field["name"]: field["type"] for field in one.build_bq_schema() or ()}
    assert kinds == {
        **dict.fromkeys("iIbu", "INT64"),
        **dict.fromkeys("fF", "FLOAT64"),
        **dict.fromkeys(("ok", "OK"), "BOOL"),
        **dict.fromkeys("soc", "STRING"),
        **dict.fromkeys("tz", "TIMESTAMP"),
    }
    assert list(kinds) == list(one.dtypes)


def test_the_schema_is_of_the_clients_fields() -> None:
    """`build_schema` gives what a table of the client is made with; a frame's dtypes do, too."""
    pytest.importorskip("google.cloud.bigquery")
    one = stream()
    one.dtypes = pd.DataFrame({"A": [1], "B": ["x"]}).dtypes
    assert [(f.name, f.field_type) for f in one.build_schema() or ()] == [
        ("A", "INT64"),
        ("B", "STRING"),
    ]


def test_what_it_declares() -> None:
    """Project, dataset, table, and the file, which is checked but not kept."""
    found = stream(location="EU", if_exists="replace", chunk_size=3).declaration()
    assert found.target == Bigquery("proj", "data", "EU", Path("google.json"))
    assert (found.stream_type, found.table, found.replace, found.chunk_size) == (
        *("bigquery", "quakes"),
        *(True, 3),
    )
    store = Store2Bigquery("quakes", 60, "google.json", **PLACE, if_exists="fail")
    assert store.declaration().stream.must_be_new
    assert pickle.loads(pickle.dumps(stream())).declaration().table == "quakes"


def test_its_file_is_checked() -> None:
    """A key that is missing is named with the file, and no value is shown."""
    document = json.loads(Path("google.json").read_text())
    del document["client_email"]
    Path("google.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"google.json: the key 'client_email' is missing") as bad:
        stream().declaration()
    assert "s3cret-word" not in str(bad.value)
    with pytest.raises(ConfigError, match="if_exists is 'never'"):
        stream(if_exists="never")


def test_no_connection_is_said(caplog: Any) -> None:
    """`connect` returns False, and the log says why."""
    one = stream()
    assert one.connect() is False
    assert (one.connected, one.table) == (False, None)
    assert caplog.records[-1].message == "connection_failed"
    assert "s3cret-word" not in caplog.records[-1].error
