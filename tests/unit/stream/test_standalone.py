"""Streams without a collector: `q`, `start`, `lock`, `check_failures`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from api2db.core.backoff import Backoff
from api2db.stream import Stream2Local, direct, ownlog, standalone
from api2db.stream.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a thread may take for what needs milliseconds.
LONG = 20.0


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for log in list(standalone._open):
        standalone._open.pop(log).close()


class Mine(Stream):
    """A stream of a user's own."""

    def __init__(self, name: str = "mine") -> None:
        super().__init__(name)
        self.got: list[Any] = []
        self.fails = False
        self.called = threading.Event()

    def stream(self, data: pd.DataFrame) -> None:
        self.called.set()
        if self.fails:
            raise ConnectionError("the target is away")
        self.got += data["n"].tolist()


def _stop(stream: Stream) -> None:
    """Stop it as it was done in 2021: by releasing its lock; wait for its thread."""
    stream.lock.release()
    for thread in threading.enumerate():
        if thread.name == f"stream-{stream.name}":
            thread.join(LONG)
            assert not thread.is_alive()


def _landed(folder: Path) -> list[int]:
    return sorted(n for file in folder.glob("*.parquet") for n in pd.read_parquet(file)["n"])


def test_what_is_put_is_on_disk_and_lands_once(project: Path) -> None:
    """`q.put` returns after the sync; the thread delivers; the lock says that it lives."""
    stream = Stream2Local("quakes")
    stream.q.put(pd.DataFrame({"n": [1, 2]}))  # before `start`, too
    assert list((project / "STORE/spool").rglob("*.seg"))
    assert not stream.q.empty()
    stream.start()
    stream.q.put(pd.DataFrame({"n": [3, 3]}))  # equal rows are dropped, as documented
    stream.q.put(None)
    standalone.opened(stream).settle()
    assert not stream.lock.acquire(blocking=False)
    _stop(stream)
    assert not stream.lock.locked()
    assert _landed(project / "STORE/quakes/parquet") == [1, 2, 3]


def test_a_stream_goes_on_where_its_process_ended(project: Path) -> None:
    """What was put and not delivered waits for the next stream of this name and target."""
    first = Stream2Local("quakes")
    first.q.put(pd.DataFrame({"n": [1]}))
    standalone.closed(first)
    again = Stream2Local("quakes")
    again.q.put(pd.DataFrame({"n": [2]}))
    standalone.opened(again).settle()
    assert _landed(project / "STORE/quakes/parquet") == [1, 2]


def test_several_streams_share_a_store(project: Path) -> None:
    """One process has the STORE, for as many streams as it likes; each has its own log."""
    streams = [Stream2Local("a"), Stream2Local("b"), Stream2Local("b", path="elsewhere")]
    for n, stream in enumerate(streams):
        stream.q.put(pd.DataFrame({"n": [n]}))
        standalone.opened(stream).settle()
    assert _landed(project / "STORE/b/parquet") == [1]
    assert _landed(project / "elsewhere") == [2]
    assert len(list((project / "STORE/spool").iterdir())) == 3


def test_a_users_method_gets_all_again_until_it_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it raised for lies in `upload_failed`; `check_failures` tries again."""
    monkeypatch.setattr(ownlog, "ATTEMPTS", 1)
    stream = Mine()
    stream.fails = True
    stream.q.put(pd.DataFrame({"n": [1]}))
    stream.check_failures()
    standalone.closed(stream)
    shards = list(Path("STORE/upload_failed/mine/stream").glob("*.parquet"))
    assert len(shards) == 1
    assert pd.read_parquet(shards[0])["n"].tolist() == [1]
    stream.fails = False
    stream.check_failures()
    assert stream.got == [1]
    assert not list(Path("STORE/upload_failed/mine/stream").glob("*.parquet"))


def test_the_thread_alone_takes_rows_out() -> None:
    """A row that somebody else took out of the queue would be nobody's."""
    with pytest.raises(TypeError, match="only the thread"):
        Mine().q.get()


def test_a_direct_call_that_lands_takes_along_what_failed_before(project: Path) -> None:
    """As documented: what lies in `upload_failed` is tried again after a success, and goes."""
    stream = Stream2Local("quakes")
    (project / "STORE").mkdir()
    (project / "STORE/quakes").touch()  # no folder can be made there
    assert not direct.deliver(stream._direct(), pd.DataFrame({"n": [1]}), 0)
    shards = project / "STORE/upload_failed/quakes/local.parquet"
    assert len(list(shards.glob("*.parquet"))) == 1
    (project / "STORE/quakes").unlink()
    stream.stream(pd.DataFrame({"n": [2]}))
    assert _landed(project / "STORE/quakes/parquet") == [1, 2]
    assert not list(shards.glob("*.parquet"))
    assert not standalone._open


class Doubling(Stream2Local):
    """A user's stream on top of one of ours."""

    def stream(self, data: pd.DataFrame) -> None:
        super().stream(data.assign(n=data["n"] * 2))


def test_an_override_may_call_what_it_overrides(project: Path) -> None:
    """`super().stream(df)` writes where the stream leads, at once."""
    stream = Doubling("quakes")
    stream.q.put(pd.DataFrame({"n": [1, 2]}))
    standalone.opened(stream).settle()
    assert _landed(project / "STORE/quakes/parquet") == [2, 4]


def test_a_dataframe_is_one_record_whatever_its_size(project: Path) -> None:
    """With `replace` a part of it would take the place of the rest; texts stay texts."""
    stream = Stream2Local("quakes", path="all.parquet", mode="replace")
    n = 50_001  # more than a chunk
    frame = pd.DataFrame({"n": range(n), "at": ["2021-05-01T00:00:00Z"] * n, "x": [1.0] * n})
    stream.q.put(frame)
    standalone.opened(stream).settle()
    back = pd.read_parquet(project / "all.parquet")
    assert (len(back), back["at"][0], back["x"].dtype.kind) == (n, "2021-05-01T00:00:00Z", "f")
    stream.q.put(frame[:0])
    standalone.opened(stream).settle()
    assert len(pd.read_parquet(project / "all.parquet")) == 0


def _threads_of(name: str) -> int:
    return sum(thread.name == f"stream-{name}" for thread in threading.enumerate())


def test_a_second_start_changes_nothing() -> None:
    """One thread has the stream, which the release of its lock ends; then it can start again."""
    stream = Mine()
    stream.start()
    stream.start()
    assert _threads_of("mine") == 1
    stream.lock.release()
    stream.start()  # at once, while the first thread ends
    assert stream.lock.locked()
    assert _threads_of("mine") == 1
    stream.q.put(pd.DataFrame({"n": [1]}))
    assert stream.called.wait(LONG)
    _stop(stream)
    assert _threads_of("mine") == 0


def test_the_end_of_one_stream_is_not_that_of_another_with_its_log(project: Path) -> None:
    """Two objects that lead to the same place: what is put into the second one still lands."""
    one, two = Stream2Local("quakes"), Stream2Local("quakes")
    one.start()
    two.start()
    one.lock.release()
    while _threads_of("quakes") > 1:
        threading.Event().wait(0.01)
    assert two.lock.locked()
    two.q.put(pd.DataFrame({"n": [1]}))
    standalone.opened(two).settle()
    assert _landed(project / "STORE/quakes/parquet") == [1]
    _stop(two)
    assert not standalone._open


def test_streams_of_one_collector_learn_its_types_at_the_same_time(caplog: Any) -> None:
    """They write one file: none gets in the way of another."""
    streams = [Mine() for _ in range(8)]
    together = threading.Barrier(len(streams))

    def learn(stream: Mine) -> None:
        for n in range(5):
            together.wait(LONG)
            stream.remember_dtypes(pd.DataFrame({f"n{n}": [1]}))

    threads = [threading.Thread(target=learn, args=(stream,)) for stream in streams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert not caplog.messages
    assert Mine().dtypes == {"n4": "int64"}


def test_a_users_method_gets_what_was_put(project: Path) -> None:
    """Whole numbers beside NULL are Int64, and nested values are objects."""
    got: list[pd.DataFrame] = []

    class Own(Stream):
        def stream(self, data: pd.DataFrame) -> None:
            got.append(data)

    stream = Own("own")
    stream.q.put(pd.DataFrame({"n": pd.array([2**60 + 1, None], "Int64"), "d": [{"a": 1}, None]}))
    standalone.opened(stream).settle()
    (df,) = got
    assert str(df["n"].dtype) == "Int64"
    assert df["n"][0] == 2**60 + 1
    assert df["d"].tolist() == [{"a": 1}, None]


def test_check_failures_does_not_wait_for_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the thread lives and waits, minutes perhaps, what is asked for is done at once."""
    monkeypatch.setattr(ownlog, "ATTEMPTS", 1)
    monkeypatch.setattr(Backoff, "delay", lambda *_: 3600.0)
    stream = Mine()
    stream.fails = True
    stream.start()
    stream.q.put(pd.DataFrame({"n": [1]}))
    shards = Path("STORE/upload_failed/mine/stream")
    while not list(shards.glob("*.parquet")):
        threading.Event().wait(0.01)
    stream.fails = False
    stream.check_failures()
    assert stream.got == [1]
    assert not list(shards.glob("*.parquet"))
    assert stream.lock.locked()
    _stop(stream)
