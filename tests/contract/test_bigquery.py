"""Facts about BigQuery that no other target has; against the emulator."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from base64 import urlsafe_b64decode
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api2db.core.errors import SinkMisconfigured, SinkRejected, SinkUnavailable
from api2db.core.types import JSON
from tests.contract.backends import BigqueryBackend
from tests.contract.test_sink import batch, ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.bigquery import BigqueryServer

pytestmark = pytest.mark.backend("bigquery")


@pytest.fixture(params=[60.0, 1.0], ids=["load-job", "storage-write"])
def backend(request: pytest.FixtureRequest, bigquery: BigqueryServer) -> Iterator[BigqueryBackend]:
    """A dataset, written by load jobs and by the Storage Write API."""
    backend = BigqueryBackend(bigquery, latency=request.param)
    yield backend
    backend.close()


def tables(backend: BigqueryBackend) -> set[str]:
    return {table.table_id for table in backend.client.list_tables(backend.dataset)}


def test_both_ways_land_once(backend: BigqueryBackend) -> None:
    """Rows, upserts and a whole table; a second time nothing; no staging table stays."""
    one, two = batch([{"id": 1, "v": "a"}]), batch([{"id": 2, "v": "b"}, {"id": 2, "v": "c"}])
    for _ in range(2):
        backend.sink().write([one, two])
        backend.sink("u", stream="u", upsert=("id",)).write([one, two])
        backend.sink("r", stream="r", replace=True).replace([one, two])
    assert ids(backend) == [1, 2, 2]
    assert sorted((r["id"], r["v"]) for r in backend.rows("u")) == [(1, "a"), (2, "c")]
    assert ids(backend, "r") == [1, 2, 2]
    assert tables(backend) == {"t", "u", "r", "_api2db_batches"}


@pytest.mark.parametrize("upsert", [(), ("id",)])
def test_a_marker_that_comes_at_the_last_moment(
    backend: BigqueryBackend, upsert: tuple[str, ...]
) -> None:
    """What takes effect looks for markers itself: one that came after ours were read counts."""
    one = batch([{"id": 1}])
    sink = backend.sink(upsert=upsert)
    assert sink.landed() == frozenset()
    backend.sink(upsert=upsert).write([one])
    sink.write([one])
    assert ids(backend) == [1]
    assert tables(backend) == {"t", "_api2db_batches"}


def test_rows_that_are_missing_from_a_stage(backend: BigqueryBackend) -> None:
    """A stage that is not whole is not moved."""
    sink: Any = backend.sink(upsert=("id",))
    sink.write([batch([{"id": 0}])])
    commit = sink._commit

    def robbed() -> None:
        if sink._stages:
            backend.execute(f"delete from {sink._stages[0].name} where true")
        commit()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "_commit", robbed)
        with pytest.raises(SinkMisconfigured, match="changes again and again"):
            sink.write([batch([{"id": 1}])])
    assert ids(backend) == [0]


def test_many_requests(backend: BigqueryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load of more bytes than one request takes arrives whole."""
    from api2db.sink import bigquerywrite

    monkeypatch.setattr(bigquerywrite, "REQUEST", 10_000)
    backend.sink().write([batch([{"id": i, "v": "x" * 50} for i in range(5_000)])])
    (row,) = backend.fetch("select count(*) n, count(distinct id) d from t")
    assert row == {"n": 5_000, "d": 5_000}


def test_what_a_crash_left_is_removed(backend: BigqueryBackend) -> None:
    """A stage of an earlier life goes when the stream connects; that of another one stays."""
    one = batch([{"id": 1}])
    sink: Any = backend.sink(upsert=("id",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sink, "_commit", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sink.write([one])
    assert any(name.startswith("_api2db_stage_") for name in tables(backend))
    backend.sink("other", stream="another")
    assert any(name.startswith("_api2db_stage_") for name in tables(backend))
    again = backend.sink(upsert=("id",))
    assert tables(backend) == {"t", "_api2db_batches"}
    again.write([one])
    assert ids(backend) == [1]


def test_a_table_of_any_columns(backend: BigqueryBackend) -> None:
    """Rows land, whatever else a table that somebody made has: defaults, other types."""
    made = "create table {} (z string, v string{}, id int64, w {})"
    for table, default, other in (
        ("a", "", "int64"),
        ("b", " default 'd'", "date"),
        ("c", "", "json"),
    ):
        backend.execute(made.format(table, default, other))
        backend.sink(table, stream=table).write([batch([{"id": 1, "z": "x"}])])
        assert backend.fetch(f"select id, z from {table}") == [{"id": 1, "z": "x"}]


def test_numbers_that_would_be_rounded(backend: BigqueryBackend) -> None:
    """A decimal with more digits than NUMERIC has, and a number in JSON, are refused by row."""
    from decimal import Decimal

    import pyarrow as pa

    sink = backend.sink()
    sink.write([batch([{"id": 1, "n": Decimal("1.5"), "j": "{}"}], n=pa.decimal128(38, 9), j=JSON)])
    rows = [{"id": 2, "j": "[1.5]"}, {"id": 3, "j": "[0.12345678901234567890]"}]
    bad = batch(rows, j=JSON)
    with pytest.raises(SinkRejected) as caught:
        sink.write([bad])
    assert [row.row for row in caught.value.rows[bad.id]] == [1]


def test_a_column_that_must_not_be_null(backend: BigqueryBackend) -> None:
    """What the target refuses of a user's table is a fault of the data, and nothing lands."""
    backend.execute("create table t (id int64 not null, v string)")
    sink = backend.sink()
    with pytest.raises(SinkRejected):
        sink.write([batch([{"id": None, "v": "x"}, {"id": 1, "v": "y"}])])
    assert backend.rows() == []
    assert backend.markers() == []
    sink.write([batch([{"id": 1, "v": "y"}])])
    assert ids(backend) == [1]


def test_names_that_bigquery_has_not(backend: BigqueryBackend) -> None:
    """A table's name that it refuses is a mistake of the configuration."""
    from api2db.core.errors import ConfigError

    for name in ("a`b", "a;b", "_PARTITION_x", "t" * 301, " t"):
        with pytest.raises(ConfigError, match="cannot be the name of a table"):
            backend.sink(name)


def test_a_dataset_that_lies_elsewhere(bigquery: BigqueryServer) -> None:
    """Jobs run where a dataset lies: the error says what to write."""
    from google.cloud.bigquery import Dataset

    backend = BigqueryBackend(bigquery)
    dataset = Dataset(f"{bigquery.project}.elsewhere")
    dataset.location = "EU"
    backend.client.create_dataset(dataset, exists_ok=True)
    backend.dataset = "elsewhere"
    with pytest.raises(SinkMisconfigured, match="location: EU"):
        backend.sink()
    backend.close()


def test_a_missing_dataset_is_made(bigquery: BigqueryServer) -> None:
    """So that a new project works at once."""
    backend = BigqueryBackend(bigquery)
    backend.dataset = "made_by_us"
    backend.sink().write([batch([{"id": 1}])])
    assert ids(backend) == [1]
    backend.close()


def test_nobody_is_there(backend: BigqueryBackend) -> None:
    """A target that cannot be reached is tried again later, and does not hold the thread."""
    import time

    from tests.fixtures.postgres import free_port

    class Nowhere:
        project, folder = "proj", backend.server.folder
        endpoint = f"http://127.0.0.1:{free_port()}"
        write_endpoint = f"127.0.0.1:{free_port()}"

    backend.server = Nowhere()  # type: ignore[assignment]
    began = time.monotonic()
    with pytest.raises(SinkUnavailable, match="check the network"):
        backend.sink()
    assert time.monotonic() - began < 10


# -- logging in ----------------------------------------------------------------------------


class Tokens:
    """
    The token endpoint of a login, on a free loopback port.

    Attributes:
        refuses: Whether it says that it knows no such account.
        given: How many tokens it gave to those whose signature is right.
    """

    def __init__(self, key: Any) -> None:
        self.refuses = False
        self.given = 0
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                return

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                signed, _, signature = parse_qs(body)["assertion"][0].rpartition(".")
                raw = urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
                key.public_key().verify(raw, signed.encode(), PKCS1v15(), SHA256())
                tokens.given += not tokens.refuses
                token = {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}
                error = {"error": "invalid_grant", "error_description": "account not found"}
                self.send_response(400 if tokens.refuses else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(error if tokens.refuses else token).encode())

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def project(tmp_path: Path, bigquery: BigqueryServer) -> Iterator[tuple[Path, Tokens]]:
    """A project whose only stream logs in as a service account."""
    key = generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    tokens = Tokens(key)
    account = {"type": "service_account", "project_id": "proj", "private_key": pem}
    account |= {"client_email": "a@proj.test", "token_uri": tokens.url}
    auth = tmp_path / "AUTH" / "bq.json"
    auth.parent.mkdir()
    auth.touch(0o600)
    auth.write_text(json.dumps(account))
    (tmp_path / "config.yaml").write_text(
        "streams:\n"
        "  bq:\n"
        f"    bigquery: {{ project: proj, dataset: {tmp_path.name}, auth: AUTH/bq.json,"
        f" endpoint: '{bigquery.endpoint}' }}\n"
        "collectors:\n"
        "  c: { every: 1, python: 'm:f', to: { bq: {} } }\n"
    )
    (tmp_path / "collectors").mkdir()
    (tmp_path / "collectors" / "m.py").write_text("def f():\n    return [{'id': 1}]\n")
    yield tmp_path, tokens
    tokens.server.shutdown()
    tokens.server.server_close()


def check(project: Path) -> tuple[int, str]:
    """Run `check --connect`."""
    command = [str(Path(sys.executable).with_name("api2db")), "check", "--connect"]
    run = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def test_a_service_account_logs_in(project: tuple[Path, Tokens]) -> None:
    """Its key signs, the token endpoint believes it, and the target is there."""
    folder, tokens = project
    code, said = check(folder)
    assert (code, tokens.given) == (0, 1), said


def test_an_account_that_is_not_known(project: tuple[Path, Tokens]) -> None:
    """`check` says which file to look at, and shows nothing of the key."""
    folder, tokens = project
    tokens.refuses = True
    code, said = check(folder)
    assert code == 1
    assert "is it the whole JSON of a service account that is active?" in said
    auth = folder / "AUTH" / "bq.json"
    broken = json.loads(auth.read_text()) | {"private_key": "s3cret-but-no-key"}
    auth.write_text(json.dumps(broken))
    code, said = check(folder)
    assert code == 1
    assert "not the JSON of a service account" in said
    assert "s3cret" not in said
    auth.chmod(0o644)
    code, said = check(folder)
    assert code == 2
    assert "chmod 600" in said


def test_a_declared_stream_lands(
    project: tuple[Path, Tokens], bigquery: BigqueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Stream2Bigquery`, as it was documented, writes through this sink."""
    from pandas import DataFrame

    from api2db.stream import Stream2Bigquery

    folder, tokens = project
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", bigquery.endpoint)
    stream = Stream2Bigquery("quakes", "AUTH/bq.json", "proj", "declared", "quakes")
    stream.stream(DataFrame({"id": [1, 2], "mag": [0.5, None]}))
    with closing(bigquery.client()) as client:
        found = client.query("select id, mag from declared.quakes order by id").result()
        assert [tuple(row) for row in found] == [(1, 0.5), (2, None)]
    assert tokens.given
