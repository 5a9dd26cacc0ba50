from __future__ import annotations

import logging
import pickle
import shutil
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from api2db.files import frame
from api2db.stream import FileConverter, Stream2Local

FORMATS = ("parquet", "json", "csv", "pickle")
THREE = pd.DataFrame([(1, 2, 3), (4, 5, 6), (7, 8, 9)], columns=["A", "B", "C"])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in the document's example folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("store", "sharded", "composed"):
        (tmp_path / name).mkdir()
    return tmp_path


def three(fmt: str = "parquet") -> None:
    """Write the document's three files."""
    for i in range(3):
        assert FileConverter.static_store_df(THREE.iloc[[i]], f"store/file{i + 1}.{fmt}", fmt)


def files(folder: str) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


# -- the document's examples -------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_shards_are_deleted_by_default(fmt: str) -> None:
    """First example: the rows come in the order of the files, which then are gone."""
    three(fmt)
    df = FileConverter.static_compose_df_from_dir(path="store/", fmt=fmt)
    pd.testing.assert_frame_equal(df, THREE)
    assert (files("store"), files("sharded"), files("composed")) == ([], [], [])


def test_shards_are_moved() -> None:
    """Second example: `move_shards_path` gets the files."""
    three()
    df = FileConverter.static_compose_df_from_dir(
        path="store/", fmt="parquet", move_shards_path="sharded/", move_composed_path=None
    )
    pd.testing.assert_frame_equal(df, THREE)
    assert files("store") == []
    assert files("sharded") == ["file1.parquet", "file2.parquet", "file3.parquet"]


def test_the_composed_file_is_kept() -> None:
    """Third example: `move_composed_path` gets one file, named by the first and the last."""
    three()
    df = FileConverter.static_compose_df_from_dir(
        path="store/", fmt="parquet", move_shards_path=None, move_composed_path="composed/"
    )
    pd.testing.assert_frame_equal(df, THREE)
    assert (files("store"), files("composed")) == ([], ["file1_file3.parquet"])
    pd.testing.assert_frame_equal(FileConverter.parquet_load("composed/file1_file3.parquet"), THREE)


# -- nothing goes before its successor is there ------------------------------------------


@pytest.mark.parametrize("keep", [{}, {"move_shards_path": "sharded/"}])
def test_a_damaged_shard_is_set_aside(keep: dict[str, str], caplog: Any) -> None:
    """It was deleted with the others; now it stays, byte for byte, and the log names it."""
    three()
    damaged = Path("store/file2.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-9])
    df = FileConverter.static_compose_df_from_dir("store/", "parquet", **keep)
    assert df["A"].tolist() == [1, 7]
    assert files("store") == ["file2.parquet.unreadable"]
    assert "shard_unreadable" in caplog.messages
    again = FileConverter.static_compose_df_from_dir("store/", "parquet")
    assert again is None
    assert files("store") == ["file2.parquet.unreadable"]


def test_what_is_no_shard_is_left_alone() -> None:
    """A note beside the shards is neither read into them nor renamed nor removed."""
    three()
    Path("store/README.txt").write_text("mine")
    Path("store/.file4.parquet.tmp").write_bytes(b"being written")
    assert len(FileConverter.static_compose_df_from_dir("store/", "parquet")) == 3
    assert files("store") == [".file4.parquet.tmp", "README.txt"]


@pytest.mark.parametrize(
    "places",
    [
        {"move_composed_path": "store/file1.parquet/"},
        {"move_shards_path": "new/", "force": False},
        {"move_composed_path": "new/", "force": False},
        {"move_shards_path": "store/"},
    ],
)
def test_no_place_to_move_to_touches_nothing(places: dict[str, Any], caplog: Any) -> None:
    """Without its folders a composition returns None, says why, and every file stays."""
    three()
    assert FileConverter.static_compose_df_from_dir("store/", "parquet", **places) is None
    assert files("store") == ["file1.parquet", "file2.parquet", "file3.parquet"]
    assert "frame_not_composed" in caplog.messages


def test_a_composed_file_that_cannot_be_written_costs_no_shard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A disk that fails under the composed file leaves the shards where they are."""
    three()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frame, "write", fails)
    places = {"move_composed_path": "composed/", "move_shards_path": "sharded/"}
    assert FileConverter.static_compose_df_from_dir("store/", "parquet", **places) is None
    assert len(files("store")) == 3
    assert files("composed") == []


def test_force_makes_folders() -> None:
    """Folders to move to are made; a name that is taken there is not overwritten."""
    three()
    where = {"move_shards_path": "a/b/", "move_composed_path": "c/d/"}
    assert len(FileConverter.static_compose_df_from_dir("store/", "parquet", **where)) == 3
    three()
    assert len(FileConverter.static_compose_df_from_dir("store/", "parquet", **where)) == 3
    assert len(files("a/b")) == 6
    assert files("c/d") == ["file1_file3-1.parquet", "file1_file3.parquet"]


def test_shards_with_other_columns() -> None:
    """All columns come, and a whole number stays whole beside a shard that lacks it."""
    big = 2**60 + 1
    FileConverter.parquet_store("store/1.parquet", pd.DataFrame({"A": [big]}))
    FileConverter.parquet_store("store/2.parquet", pd.DataFrame({"B": ["x"]}))
    df = FileConverter.static_compose_df_from_dir("store/", "parquet")
    assert df["A"].tolist() == [big, pd.NA]
    assert df["B"].tolist()[1] == "x"


def test_shards_of_the_daemon() -> None:
    """What `Stream2Local` writes can be composed."""
    stream = Stream2Local("quakes", path="store/")
    for i in range(3):
        stream.stream(THREE.iloc[[i]])
    df = FileConverter.static_compose_df_from_dir("store/", "parquet")
    assert df.values.tolist() == THREE.values.tolist()


# -- store and load ----------------------------------------------------------------------


@pytest.mark.parametrize("fmt", FORMATS)
def test_round_trip(fmt: str) -> None:
    """What is stored is loaded: text stays text, NULL stays NULL, digits stay."""
    df = pd.DataFrame(
        {
            "id": [2**60 + 1, 2],
            "n": pd.array([2**60 + 1, None], dtype="Int64"),
            "x": [1.5, None],
            "zip": ["007", None],
            "text": ['a "quoted", line\nand a snow ☃', ""],
            "ok": pd.array([True, None], dtype="boolean"),
            "at": pd.to_datetime(["2021-05-06T07:08:09.000123Z", "2021-05-06T07:08:09.1Z"]),
        }
    )
    store = getattr(FileConverter, f"{fmt}_store")
    load = getattr(FileConverter, f"{fmt}_load")
    assert store(f"a/b/x.{fmt}", df)
    for found in (load(f"a/b/x.{fmt}"), FileConverter.static_load_df(f"a/b/x.{fmt}", fmt)):
        pd.testing.assert_frame_equal(found, df, check_dtype=fmt in ("parquet", "pickle"))


@pytest.mark.parametrize("fmt", ["parquet", "pickle"])
def test_dtypes_come_back(fmt: str) -> None:
    """Parquet and pickle keep what pandas knows of a column."""
    df = pd.DataFrame(
        {
            "c": pd.Categorical(["a", "b"]),
            "s": pd.array(["x", None], dtype="string"),
            "t": pd.to_datetime(["2021-05-06T07:08:09", "2021-05-07T00:00:00"]),
            "u": np.array([2**63, 1], dtype="uint64"),
            "d": [Decimal("1.50"), None],
            "b": np.array([1, 2], dtype="int8"),
        }
    )
    assert FileConverter.static_store_df(df, f"x.{fmt}", fmt)
    pd.testing.assert_frame_equal(FileConverter.static_load_df(f"x.{fmt}", fmt), df)


@pytest.mark.parametrize("fmt", FORMATS)
def test_dtypes_are_cast_to(fmt: str) -> None:
    """`dtypes` decides what a column is, whatever the format keeps."""
    dtypes = {"A": "float64", "at": "datetime64[ns]", "s": "string", "n": "Int64"}
    df = pd.DataFrame(
        {"A": [1.0], "at": pd.to_datetime(["2021-05-06"]), "s": ["x"], "n": [1]}
    ).astype(dtypes)
    FileConverter.static_store_df(df, f"x.{fmt}", fmt)
    pd.testing.assert_frame_equal(FileConverter.static_load_df(f"x.{fmt}", fmt, dtypes), df)


def test_files_of_2021() -> None:
    """JSON as the old package wrote it, CSV and pickles as pandas writes them, are read."""
    df = pd.DataFrame({"A": [1, 2], "price": [1.0, 2.5], "name": ["x", "y"], "ok": [True, False]})
    df.to_json("x.json", orient="table", index=False)
    df.to_csv("x.csv", index=False)
    df.to_pickle("x.pickle")
    for fmt in ("json", "csv", "pickle"):
        found = FileConverter.static_load_df(f"x.{fmt}", fmt)
        pd.testing.assert_frame_equal(found, df, check_dtype=False)
        assert found["price"].dtype == "float64"


def test_a_pickle_runs_nothing(caplog: Any) -> None:
    """A pickle that would run a program is refused."""
    shutil.rmtree("sharded")
    Path("x.pickle").write_bytes(pickle.dumps(Evil()))
    assert FileConverter.pickle_load("x.pickle") is None
    assert not Path("sharded").exists()
    assert "names posix.mkdir" in caplog.records[-1].error


class Evil:
    """Makes a folder when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, ("sharded",)


@pytest.mark.parametrize(
    ("load", "event"),
    [
        (lambda: FileConverter.parquet_load("none.parquet"), "frame_not_loaded"),
        (lambda: FileConverter.static_load_df("none", "xlsx"), "frame_not_loaded"),
        (lambda: FileConverter.static_load_df("x.csv", "csv", {"s": "int64"}), "frame_not_loaded"),
        (lambda: FileConverter.static_compose_df_from_dir("none/", "csv"), "frame_not_composed"),
    ],
)
def test_none_has_a_reason(load: Any, event: str, caplog: Any) -> None:
    """Whoever gets None finds out why in the log."""
    Path("x.csv").write_text("s\nword\n")
    with caplog.at_level(logging.ERROR):
        assert load() is None
    assert [record.message for record in caplog.records] == [event]
    assert caplog.records[0].error


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_failed_store_leaves_the_old_file(fmt: str, caplog: Any) -> None:
    """False has its reason in the log, and the file is as it was: no half file, no litter."""
    path = f"x.{fmt}"
    assert FileConverter.static_store_df(THREE, path, fmt)
    before = Path(path).read_bytes()
    bad: Any = pd.DataFrame({"A": [lambda: 0]})
    assert FileConverter.static_store_df(bad, path, fmt) is False
    assert Path(path).read_bytes() == before
    assert [p.name for p in Path().iterdir() if p.is_file()] == [path]
    assert caplog.records[-1].message == "frame_not_stored"


def test_store_valid() -> None:
    """A path is valid if its folder is there; `force` makes it; a file is no folder."""
    assert FileConverter.store_valid("x.parquet", force=False)
    assert not FileConverter.store_valid("new/x.parquet", force=False)
    assert not FileConverter.parquet_store("new/x.parquet", THREE, force=False)
    assert FileConverter.store_valid("new/x.parquet", force=True)
    assert not FileConverter.static_store_df(THREE, "x.xlsx", "xlsx")
    Path("file").touch()
    assert not FileConverter.store_valid("file/x.parquet", force=True)


def test_dtypes_of_a_collector() -> None:
    """Given ones stay; else those of the collector's data, which are remembered as JSON."""
    assert FileConverter().build_dtypes() is None
    assert FileConverter(name="quakes").build_dtypes() is None
    assert FileConverter(name="quakes", dtypes={"A": "int64"}).dtypes == {"A": "int64"}
    FileConverter(name="quakes").remember_dtypes(THREE.convert_dtypes())
    assert FileConverter(name="quakes").dtypes == dict.fromkeys("ABC", "Int64")
    assert THREE.astype(FileConverter(name="quakes").dtypes).dtypes["A"] == "Int64"
    Path("CACHE/quakes_dtypes.json").write_text("{")
    assert FileConverter(name="quakes").dtypes is None


def test_shards_that_cannot_be_put_away(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """The rows are returned all the same, and the log says that the files are still there."""
    three()

    def fails(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("api2db.files.frame_folder.move", fails)
    df = FileConverter.static_compose_df_from_dir("store/", "parquet", move_shards_path="sharded/")
    assert len(df) == 3
    assert len(files("store")) == 3
    assert "shards_not_put_away" in caplog.messages


# -- what a DataFrame may hold -----------------------------------------------------------


def _round_trip(df: pd.DataFrame, fmt: str) -> Any:
    assert FileConverter.static_store_df(df, f"store/odd.{fmt}", fmt)
    return FileConverter.static_load_df(f"store/odd.{fmt}", fmt)


@pytest.mark.parametrize("fmt", ["parquet", "json", "pickle"])
def test_nested_values_come_back_as_objects(fmt: str) -> None:
    """Lists and dicts, alike or not, are what they were, with all the digits of a number."""
    big = 2**60 + 1
    df = pd.DataFrame({"unlike": [{"k": 1}, {"k": [big]}, None], "list": [[1], [], [2]]})
    got = _round_trip(df, fmt)
    assert got["unlike"].tolist() == [{"k": 1}, {"k": [big]}, None]
    assert [list(each) for each in got["list"]] == [[1], [], [2]]


@pytest.mark.parametrize("fmt", FORMATS)
def test_the_shards_of_a_stream_hold_objects_too(fmt: str) -> None:
    """What a stream has stored as JSON is no text for those who load or compose it."""
    rows = pd.DataFrame({"doc": [{"k": 1}, {"k": [2]}, None]})
    Stream2Local("quakes", path="store/", fmt=fmt).stream(rows)
    df = FileConverter.static_compose_df_from_dir("store/", fmt, move_composed_path="composed/")
    assert df is not None
    assert df["doc"].tolist() == [{"k": 1}, {"k": [2]}, None]
    (composed,) = files("composed")
    again = FileConverter.static_load_df(f"composed/{composed}", fmt)
    assert fmt == "csv" or again["doc"].tolist() == df["doc"].tolist()


@pytest.mark.parametrize("fmt", ["json", "pickle", "parquet"])
def test_a_column_may_mix_types(fmt: str) -> None:
    """A number beside a text stays a number; it failed for what Arrow has no one type for."""
    df = pd.DataFrame({"n": [1, 2, 3], "mixed": pd.Series([1, "a", None], dtype=object)})
    got = _round_trip(df, fmt)
    assert list(got.columns) == ["n", "mixed"]
    assert got["mixed"].tolist()[:2] == [1, "a"]
    assert got["mixed"].isna().tolist() == [False, False, True]


def test_a_column_that_mixes_types_is_text_in_csv() -> None:
    """As pandas writes it."""
    df = pd.DataFrame({"mixed": pd.Series([1, "a", None], dtype=object)})
    assert FileConverter.csv_store("store/odd.csv", df)
    assert Path("store/odd.csv").read_text() == "mixed\n1\na\n\n"


def test_a_struct_keeps_whole_numbers_whole() -> None:
    """A key that some dicts lack made floats of the numbers of the others."""
    got = _round_trip(pd.DataFrame({"d": [{"a": 2**60 + 1}, {"b": 2}]}), "parquet")
    assert got["d"][0]["a"] == 2**60 + 1


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_columns_are_a_dataframe_too(fmt: str) -> None:
    """What was stored can be loaded; a file of no bytes, which nobody stored, cannot."""
    got = _round_trip(pd.DataFrame(), fmt)
    assert got is not None
    assert got.shape == (0, 0)
    Path(f"store/none.{fmt}").touch()
    assert FileConverter.static_load_df(f"store/none.{fmt}", fmt) is None


@pytest.mark.parametrize("fmt", FORMATS[:3])
def test_a_number_that_no_format_holds_is_an_answer(fmt: str, caplog: Any) -> None:
    """False, and a line in the log; it was an OverflowError."""
    assert not FileConverter.static_store_df(pd.DataFrame({"n": [10**30]}), "store/x", fmt)
    assert "frame_not_stored" in caplog.messages


@pytest.mark.parametrize(
    "dtype",
    [
        *("timestamp[us][pyarrow]", "date32[day][pyarrow]"),
        *(pd.ArrowDtype(pa.timestamp("ms", "UTC")), pd.ArrowDtype(pa.decimal128(5, 2))),
        *(pd.ArrowDtype(pa.list_(pa.int64())), pd.ArrowDtype(pa.struct({"a": pa.int8()}))),
        *(pd.ArrowDtype(pa.dictionary(pa.int8(), pa.string())), pd.ArrowDtype(pa.duration("s"))),
    ],
    ids=str,
)
def test_pickles_of_arrow_types_can_be_loaded(dtype: Any) -> None:
    """What was stored as a pickle can be loaded, whatever types of Arrow it holds."""
    df = pd.DataFrame({"a": pd.array([None], dtype)})
    pd.testing.assert_frame_equal(_round_trip(df, "pickle"), df)


def test_threads_that_store_one_file_leave_it_whole() -> None:
    """The last one wins; the file held parts of two, or was not stored at all."""
    together = threading.Barrier(4)
    torn: list[object] = []

    def store(n: int) -> None:
        df = pd.DataFrame({"n": [n] * 5000})
        for _ in range(5):
            together.wait(20)
            stored = FileConverter.csv_store("store/same.csv", df)
            got = FileConverter.csv_load("store/same.csv")
            if not stored or got is None or got["n"].nunique() != 1 or len(got) != 5000:
                torn.append((stored, got))

    threads = [threading.Thread(target=store, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not torn
