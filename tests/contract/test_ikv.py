"""Facts about a target of IKV; the contract of keyed targets runs over it, too."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

from api2db.core.errors import ConfigError, SinkMisconfigured, SinkRejected, SinkUnavailable
from api2db.sink import ikvdocuments
from api2db.sink.base import Delivery
from api2db.sink.registry import make_sink
from api2db.stream import Stream2Ikv
from tests.contract.backends import IkvBackend
from tests.contract.test_sink import batch
from tests.fixtures.ikv import ACCOUNT, PASSKEY, IkvServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from api2db.sink.base import Sink
    from api2db.sink.target import Ikv

DELIVERY = Delivery("0" * 32, "c", "s", "t", ("id",))
pytestmark = pytest.mark.backend("ikv")


@pytest.fixture
def target(ikv: IkvServer) -> Iterator[IkvBackend]:
    """An empty store."""
    backend = IkvBackend(ikv)
    yield backend
    backend.close()
    ikv.fail_after = None


def documents(target: IkvBackend) -> dict[str, dict[str, str]]:
    """Return the documents as they are, by key."""
    found = target.server.stores.get(target.store, {})
    return {
        key.decode(): {name: value.decode() for name, value in fields.items()}
        for key, fields in found.items()
    }


def closed(target: Ikv, delivery: Delivery = DELIVERY) -> Sink:
    """Return a sink that is not open."""
    return make_sink(target, delivery, base=None)  # type: ignore[arg-type]


# -- documents -----------------------------------------------------------------------------


def test_what_a_row_lacks_is_removed(target: IkvBackend) -> None:
    """NULL, an empty text and a column that is gone: the document has no such field."""
    sink = target.sink()
    sink.write([batch([{"id": "a", "x": 1, "y": "y", "z": 2}, {"id": "b", "x": 1, "y": "y"}])])
    sink.write([batch([{"id": "a", "x": None, "y": "", "z": 3}, {"id": "b", "x": 2, "y": " "}])])
    assert documents(target) == {"a": {"id": "a", "z": "3"}, "b": {"id": "b", "x": "2", "y": " "}}
    sink.write([batch([{"id": "a", "x": 5}])])
    assert documents(target)["a"] == {"id": "a", "x": "5"}


def test_only_the_last_row_of_a_key_counts(target: IkvBackend) -> None:
    """What an earlier row of the same load lacked is not removed, nor is what it had kept."""
    rows = [{"id": "a", "x": None, "y": "old"}, {"id": "a", "x": "new", "y": None}]
    target.sink().write([batch(rows[:1]), batch(rows[1:])])
    assert documents(target) == {"a": {"id": "a", "x": "new"}}


def test_fields_of_others_stay(target: IkvBackend) -> None:
    """Two collectors share documents: each removes only what it has written itself."""
    one, other = target.sink(stream="one"), target.sink(stream="other")
    one.write([batch([{"id": "a", "x": 1}])])
    other.write([batch([{"id": "a", "y": 2}])])
    one.write([batch([{"id": "a", "x": None}])])
    assert documents(target) == {"a": {"id": "a", "y": "2"}}


def test_few_requests(target: IkvBackend) -> None:
    """Fields are removed for many documents at once, by pattern or by field."""
    calls = target.server.requests
    sink = target.sink()
    before = dict(calls)
    sink.write([batch([{"id": i, "x": i % 2 or None, "y": 1} for i in range(1, 1001)])])
    assert {call: calls[call] - before.get(call, 0) for call in ("upsert", "delete")} == {
        "upsert": 1,
        "delete": 1,
    }
    before = dict(calls)
    names = [f"f{i}" for i in range(8)]
    sink.write([batch([{"id": i, **{n: i >> k & 1 or None for k, n in enumerate(names)}}
                       for i in range(256)])])  # fmt: skip
    assert calls["delete"] - before["delete"] == 10  # 8 of these, x, and y
    assert documents(target)["5"] == {"id": "5", "f0": "1", "f2": "1"}


def test_names_that_no_reader_could_ask_for(target: IkvBackend) -> None:
    """A blank name, one with NUL, one that is too long: the field has a hash in its name."""
    names = ("", "  ", "a\0b", "x" * 300, "ünï😀", "Case", "case")
    target.sink().write([batch([{"id": "1"} | {name: name or "none" for name in names}])])
    (found,) = documents(target).values()
    assert len(found) == len(names) + 1
    assert not [n for n in found if not n.strip() or "\0" in n or len(n.encode()) > 255]
    assert {n: found[n] for n in ("ünï😀", "Case", "case")} == {n: n for n in names[-3:]}


def test_what_no_document_can_be(target: IkvBackend) -> None:
    """A blank key, and more than the gateway's log takes, are dead letters; others land."""
    one = batch([{"id": " ", "v": "a"}, {"id": "1", "v": "b" * 1_000_000}, {"id": "2", "v": "c"}])
    sink = target.sink()
    for commit in (False, True):
        with pytest.raises(SinkRejected) as caught:
            sink.write([one], commit=commit)
        blank, large = caught.value.rows[one.id]
        assert (blank.row, blank.reason) == (0, "the key 'id' is blank")
        assert large.row == 1
        assert "a document 1000000 at most" in large.reason
    assert documents(target) == {}


def test_requests_stay_below_the_limit_of_grpc(target: IkvBackend) -> None:
    """Large documents are sent in several requests, none above 4 MiB."""
    before = target.server.requests.get("upsert", 0)
    sink = target.sink()
    sink.write([batch([{"id": i, "v": "v" * 900_000} for i in range(10)])])
    assert len(documents(target)) == 10
    assert target.server.requests["upsert"] - before == 4
    sink.write([batch([{"id": i} for i in range(ikvdocuments.ROWS + 1)])])
    assert target.server.requests["upsert"] - before == 6


def test_the_store_has_a_partitioning_key(target: IkvBackend) -> None:
    """It is asked for; rows without it are dead letters, and it goes with what is removed."""
    target.server.keys[target.store] = ("id", "region")
    sink = target.sink()
    one = batch([{"id": "1", "region": "eu", "v": None}, {"id": "2", "region": None, "v": 1}])
    with pytest.raises(SinkRejected) as caught:
        sink.write([one])
    assert [row.reason for row in caught.value.rows[one.id]] == ["the key 'region' is NULL"]
    sink.write([one.with_rows(one.rows.slice(0, 1))])
    assert documents(target) == {"1": {"id": "1", "region": "eu"}}


# -- order, and again ----------------------------------------------------------------------


def test_a_load_that_broke_is_written_again(target: IkvBackend) -> None:
    """What landed before the failure is written again, and all ends as without it."""
    sink = target.sink()
    old = batch([{"id": i % 7, "v": f"old{i}", "w": None if i % 2 else "w"} for i in range(20)])
    new = batch([{"id": i % 5, "v": f"new{i}"} for i in range(20)])
    target.server.fail_after = 4
    with pytest.raises(SinkUnavailable, match="INTERNAL"):
        sink.write([old, new])
    assert len(documents(target)) == 4
    sink.close()
    target.server.fail_after = None
    sink.open()
    for _ in range(2):
        sink.write([old, new])
        found = {key: fields["v"] for key, fields in documents(target).items()}
        newest = {str(i): f"new{15 + i}" for i in range(5)}
        assert found == newest | {"5": "old19", "6": "old13"}


def test_an_old_batch_comes_again_before_the_new_one(target: IkvBackend) -> None:
    """After a crash all comes again from the oldest on: in the end the newest is there."""
    old, new = batch([{"id": "1", "v": "old", "w": "w"}]), batch([{"id": "1", "v": "new"}])
    first = target.sink()
    first.write([old])
    first.write([new])
    first.close()
    again = target.sink()
    assert again.landed() == frozenset()
    again.write([old])
    again.write([new])
    assert documents(target) == {"1": {"id": "1", "v": "new"}}
    values = [v for s, _, f, v in target.server.history if s == target.store and f == "v"]
    assert values == [b"old", b"new"] * 2


def test_a_hung_gateway_is_cut_off(target: IkvBackend) -> None:
    """`interrupt`, from another thread, ends a request that gets no answer."""
    sink = target.sink()
    target.server.hang.clear()
    timer = threading.Timer(0.3, sink.interrupt)
    timer.start()
    try:
        with pytest.raises(SinkUnavailable, match="did not answer in time"):
            sink.write([batch([{"id": 1}])])
    finally:
        target.server.hang.set()
        timer.join()
    with pytest.raises(SinkUnavailable):
        sink.write([batch([{"id": 1}])])
    sink.close()
    sink.interrupt()
    sink.open()
    sink.write([batch([{"id": 1}])])
    assert documents(target) == {"1": {"id": "1"}}


def test_a_gateway_that_comes_back(tmp_path: Path) -> None:
    """While nobody listens a sink says so at once, and a new connection does not wait."""
    with IkvServer() as server:
        sink = closed(server.target("s"))
        sink.open()
        server.stop()
        with pytest.raises(SinkUnavailable, match="UNAVAILABLE"):
            sink.write([batch([{"id": 1}])])
        for _ in range(3):
            sink.close()
            with pytest.raises(SinkUnavailable):
                sink.open()
        sink.close()
        server.start()
        sink.open()
        sink.write([batch([{"id": 1}])])
        sink.close()
        assert list(server.stores["s"]) == [b"1"]


# -- getting in ----------------------------------------------------------------------------


def test_tls(tmp_path: Path) -> None:
    """Rows go over TLS to a gateway whose certificate is trusted, and to no other."""
    with IkvServer(tls=True) as server, IkvServer(tls=True) as other:
        sink = closed(server.target("s"))
        sink.open()
        sink.write([batch([{"id": 1}])])
        sink.close()
        assert list(server.stores["s"]) == [b"1"]
        strange = closed(server.target("s", ca=other.ca))
        with pytest.raises(SinkMisconfigured, match="'ca' names the certificates"):
            strange.open()
        strange.close()
        with pytest.raises(SinkMisconfigured, match="cannot read"):
            closed(server.target("s", ca=tmp_path / "none.crt")).open()


@pytest.mark.parametrize("wrong", ["account_id", "account_passkey"])
def test_a_wrong_login(target: IkvBackend, wrong: str) -> None:
    """It is said when the sink opens, with what to look at, and without the passkey."""
    where: dict[str, Any] = {wrong: "wr0ng-w0rd"}
    sink = closed(replace(target.server.target(target.store), **where))
    with pytest.raises(SinkMisconfigured, match="check account_id, account_passkey") as caught:
        sink.open()
    sink.close()
    assert "wr0ng-w0rd" not in str(caught.value)


def test_a_missing_driver(target: IkvBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the vendor's client the error says what to install."""
    for name in [name for name in sys.modules if name.startswith(("ikvpy", "api2db.sink.ikv"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ikvpy", None)
    with pytest.raises(ConfigError, match=r"pip install 'api2db\[ikv\]>=2'"):
        closed(target.server.target(target.store))


def test_another_primary_key(target: IkvBackend) -> None:
    """The store's own key is in the error."""
    target.server.keys[target.store] = ("sku", "sku")
    other = replace(target.server.target(target.store), primary_key="id")
    sink = closed(other)
    with pytest.raises(SinkMisconfigured, match="write primary_key: sku, and upsert: sku"):
        sink.open()
    sink.close()


def test_what_cannot_be(target: IkvBackend) -> None:
    """Rows without the key, `replace`, and what is no endpoint are refused before anything runs."""
    there = target.server.target(target.store)
    for delivery in (replace(DELIVERY, upsert=()), replace(DELIVERY, upsert=("id", "v"))):
        with pytest.raises(ConfigError, match="write upsert: id"):
            closed(there, delivery)
    with pytest.raises(ConfigError, match="cannot replace"):
        closed(there, replace(DELIVERY, replace=True, upsert=()))
    with pytest.raises(ConfigError, match="no endpoint"):
        closed(replace(there, endpoint="https://gateway.acme/"))
    assert PASSKEY not in repr(there)


def test_types_are_texts_of_their_own(target: IkvBackend) -> None:
    """What a value becomes does not depend on the rows beside it, so a replay agrees."""
    one, two = batch([{"id": "1", "v": 5}]), batch([{"id": "2", "v": 0.5}, {"id": "3", "v": 5.0}])
    target.sink().write([one, two])
    together = documents(target)
    sink = target.sink()
    sink.write([one])
    sink.write([two])
    assert documents(target) == together
    assert [fields["v"] for fields in together.values()] == ["5", "0.5", "5.0"]
    with pytest.raises(SinkMisconfigured, match="binary"):
        sink.write([batch(pa.record_batch({"id": ["1"], "v": pa.array([b"x"])}))])


# -- in Python -----------------------------------------------------------------------------


def test_stream2ikv(target: IkvBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declared stream writes documents; what fails lies in upload_failed until it is sent."""
    monkeypatch.chdir(tmp_path)
    auth = tmp_path / "ikv.json"
    auth.touch(mode=0o600)
    auth.write_text(
        f'{{"account_id": "{ACCOUNT}", "account_passkey": "{PASSKEY}",'
        f' "store_name": "{target.store}", "endpoint": "127.0.0.1:{target.server.port}"}}'
    )
    stream = Stream2Ikv("quotes", "id", auth_path=str(auth))
    stream.stream(pd.DataFrame({"id": ["a", "b", "a"], "v": [1, 2, 3]}))
    assert documents(target) == {"a": {"id": "a", "v": "3"}, "b": {"id": "b", "v": "2"}}
    target.server.fail_after = 0
    stream.stream(pd.DataFrame({"id": ["a"], "v": [4]}), retry_depth=0)
    assert len(list((tmp_path / "STORE/upload_failed/quotes/ikv").glob("*.parquet"))) == 1
    target.server.fail_after = None
    stream.check_failures()
    assert documents(target)["a"] == {"id": "a", "v": "4"}
    with pytest.raises(ConfigError, match="account_passkey, store_name missing"):
        Stream2Ikv("quotes", "id", account_id="a")
