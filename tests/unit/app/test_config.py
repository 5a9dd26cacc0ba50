"""What config.yaml may say, and what is said about its mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from api2db.app.config import json_schema, load
from api2db.core.errors import ConfigError
from api2db.ingest.auth import OAuth2
from api2db.ingest.pages import Pages
from api2db.sink.target import Bigquery, Bitio, Database, Folder, Ikv, Omnisci, Siridb

if TYPE_CHECKING:
    from pathlib import Path

    from api2db.app.settings import Config

#: The example that every user sees first; it works as it stands.
EXAMPLE = """\
streams:
  pg: { url: "${PG_DSN}" }
collectors:
  orders:
    every: 30s
    get: https://api.acme.com/v1/orders
    auth: { bearer: "${ACME_TOKEN}" }
    pages: { cursor: meta.next, param: cursor }
    rows: data
    since: { field: updated_at, param: since }
    to: { pg: { table: orders, upsert: id } }
"""
ENV = {"PG_DSN": "postgresql://me:hunter%402@db/shop", "ACME_TOKEN": "tok-31415"}

#: The smallest configuration; `%s` are further keys of the collector, indented by 4.
SMALL = """\
streams:
  lite: { url: sqlite:///x.db }
  files: { local: out }
collectors:
  c:
    every: 1
    get: https://h/x
    to: { lite: }
%s
"""


def read(folder: Path, text: str, env: dict[str, str] | None = None) -> Config:
    """Load *text* as config.yaml."""
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path, env or {})


def mistakes(folder: Path, text: str, env: dict[str, str] | None = None) -> list[str]:
    """Return the lines of the error, without the folder; fail if there is none."""
    with pytest.raises(ConfigError) as caught:
        read(folder, text, env)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def mistake(folder: Path, line: str) -> str:
    """Return the only mistake of the small configuration with *line* (its line is 9)."""
    (found,) = mistakes(folder, SMALL % f"    {line}")
    return found.removeprefix("config.yaml:9: collectors.c.")


# -- what is right -----------------------------------------------------------------


def test_example(tmp_path: Path) -> None:
    """The example as it stands loads, with the documented defaults."""
    config = read(tmp_path, EXAMPLE, ENV)
    orders = config.collectors["orders"]
    assert orders.every == 30.0
    assert orders.get == "https://api.acme.com/v1/orders"
    assert orders.auth is not None
    assert orders.auth.headers == {"Authorization": "Bearer tok-31415"}
    assert orders.pages is not None
    assert (orders.pages.kind, orders.pages.path, orders.pages.param) == (
        "cursor",
        "meta.next",
        "cursor",
    )
    assert orders.since is not None
    assert (orders.since.field, orders.since.param) == ("updated_at", "since")
    assert (orders.since.initial, orders.since.lag) == (None, None)
    assert (orders.to["pg"].table, orders.to["pg"].upsert) == ("orders", ("id",))
    assert (orders.timeout, orders.max_bytes, orders.max_pages) == (30.0, 256_000_000, 100_000)
    assert (orders.retries, orders.quota, orders.max_age) == (5, 10_000_000_000, 900.0)
    assert (orders.columns, orders.schema, orders.jitter) == (None, "evolve", 0.0)
    assert config.streams["pg"] == Database(ENV["PG_DSN"])
    assert (config.folder, config.store) == (tmp_path, tmp_path / "STORE")
    assert (config.status.host, config.status.port, config.grace) == ("127.0.0.1", 8282, 25.0)


def test_nothing_heavy(tmp_path: Path) -> None:
    """Loading imports neither Arrow nor a driver nor a server: `check` stays fast."""
    (tmp_path / "config.yaml").write_text(SMALL % "")
    program = (
        "import sys; from pathlib import Path; from api2db.app.config import load;"
        "load(Path(sys.argv[1]), {});"
        "print([m for m in ('pyarrow', 'numpy', 'psycopg', 'sqlite3', 'uvicorn', 'apscheduler')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "config.yaml"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_table_is_the_collector(tmp_path: Path) -> None:
    """An empty destination means: append to a table with the collector's name."""
    destination = read(tmp_path, SMALL % "").collectors["c"].to["lite"]
    assert (destination.table, destination.upsert) == ("c", ())


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    """Relative paths start at the folder of the file, absolute ones stay."""
    config = read(tmp_path, SMALL % "store: /var/x")
    assert config.streams["files"] == Folder(tmp_path / "out")
    assert str(config.store) == "/var/x"


def test_columns(tmp_path: Path) -> None:
    """A column is a type, or a mapping; its path is its name, quoted where it must be."""
    columns = (
        read(
            tmp_path,
            SMALL
            % "    columns: { a-b: int, n: { path: x.y, type: str, default: d, required: true } }",
        )
        .collectors["c"]
        .columns
    )
    assert columns is not None
    first, second = columns
    assert (first.name, first.type, first.path, first.required) == ("a-b", "int", '"a-b"', False)
    assert (second.path, second.type, second.default) == ("x.y", "str", "d")
    assert second.required


def test_text_stays_text(tmp_path: Path) -> None:
    """What YAML 1.1 would read as dates, octals, base 60 or booleans stays as it is written."""
    params = (
        read(
            tmp_path,
            SMALL
            % "    params: { d: 2024-01-31, t: 12:30, o: 010, u: 1_000, c: no, h: 0x1F, e: = }",
        )
        .collectors["c"]
        .params
    )
    assert params == {
        "d": "2024-01-31",
        "t": "12:30",
        "o": "010",
        "u": "1_000",
        "c": "no",
        "h": "0x1F",
        "e": "=",
    }


def test_numbers_are_numbers(tmp_path: Path) -> None:
    """Plain numbers and booleans keep their type; lists repeat a parameter."""
    params = (
        read(tmp_path, SMALL % "    params: { i: -7, f: 1.5, b: true, l: [1, two], q: '3' }")
        .collectors["c"]
        .params
    )
    assert params == {"i": -7, "f": 1.5, "b": True, "l": [1, "two"], "q": "3"}


@pytest.mark.parametrize(
    ("written", "value"),
    [("2024-01-31T00:00:00Z", "2024-01-31T00:00:00Z"), ("2024-13-45", "2024-13-45"), ("7", 7)],
)
def test_initial(tmp_path: Path, written: str, value: object) -> None:
    """The first `since` is sent as it is written, an instant without quotes too."""
    since = (
        read(tmp_path, SMALL % f"    since: {{ field: a, param: b, initial: {written} }}")
        .collectors["c"]
        .since
    )
    assert since is not None
    assert since.initial == value


def test_cron(tmp_path: Path) -> None:
    """A collector's `cron` replaces the `every` of the defaults."""
    text = SMALL.replace("    every: 1\n", "    cron: '*/5 * * * *'\n")
    collector = read(tmp_path, text % "defaults: { every: 5s }").collectors["c"]
    assert (collector.every, collector.cron) == (None, "*/5 * * * *")


def test_defaults(tmp_path: Path) -> None:
    """A collector's own key wins; `headers` and `params` are merged key by key."""
    collector = read(
        tmp_path,
        SMALL % "    headers: { A: mine }\n    retries: 1\n"
        "defaults: { headers: { A: 1, B: true }, timeout: 2m, retries: 9, grace: 3 }",
    ).collectors["c"]
    assert collector.headers == {"A": "mine", "B": "true"}
    assert (collector.timeout, collector.retries) == (120.0, 1)


def test_next_pages(tmp_path: Path) -> None:
    """`pages: {next: PATH}` follows a URL in the body."""
    pages = read(tmp_path, SMALL % "    pages: { next: links.next }").collectors["c"].pages
    assert pages is not None
    assert (pages.kind, pages.path) == ("next", "links.next")


# -- what is wrong -----------------------------------------------------------------


def test_all_at_once(tmp_path: Path) -> None:
    """Every mistake is said at once, in the order of the lines, each with its place."""
    text = """\
streams:
  pg: { url: "${PG_DSN}" }
  Big: { url: sqlite:///x.db }
collectors:
  orders:
    evry: 30s
    get: ftp://h/x
    retries: many
    to:
      pgg: { upsert: id }
  two: { every: 5s, cron: "* * * * *", get: https://h/x, to: { pg: } }
  three: { every: 5s, to: { pg: } }
status: { bind: "0.0.0.0:80" }
"""
    assert mistakes(tmp_path, text) == [
        (
            "config.yaml:2: streams.pg.url: the variable PG_DSN is not set;"
            " export it, or write ${PG_DSN:-default}"
        ),
        (
            "config.yaml:3: streams.Big: a name has 1 to 63 of a-z, 0-9, '_' and '-',"
            " and begins with a letter"
        ),
        "config.yaml:6: collectors.orders.evry: unknown key, did you mean 'every'?",
        "config.yaml:7: collectors.orders.get: write a URL that begins with http:// or https://",
        (
            "config.yaml:8: collectors.orders.retries: input should be a valid integer,"
            " unable to parse string as an integer"
        ),
        "config.yaml:10: collectors.orders.to.pgg: there is no stream 'pgg'; did you mean 'pg'?",
        "config.yaml:11: collectors.two: give either 'every' or 'cron', here or in 'defaults'",
        "config.yaml:12: collectors.three: there is no source; give one of 'get', 'python', 'sql'",
        "config.yaml:13: status: 0.0.0.0 is not loopback: set 'token', or bind 127.0.0.1",
    ]


PAGES = "give one of 'cursor' with 'param', 'next', 'link', 'page', 'offset'"
INTEGER = "{}: input should be a valid integer, unable to parse string as an integer"
BREAK = "cannot be sent: it has a line break in it; is there one at the end of the secret?"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("timeout: soon", "timeout: write a duration such as 200ms, 30s, 5m, 1h or 1d"),
        ("timeout: [1]", "timeout: write a duration such as 200ms, 30s, 5m, 1h or 1d"),
        ("timeout: null", "timeout: write a duration such as 200ms, 30s, 5m, 1h or 1d"),
        ("max_bytes: 1XB", "max_bytes: write a size such as 256MB, 10GB or 1GiB"),
        ("max_pages: true", "max_pages: write a whole number"),
        ("max_pages: 0", "max_pages: input should be greater than or equal to 1"),
        (
            "rows: 'data[['",
            (
                "rows: not a JMESPath expression: Expecting: star, got: lbracket:"
                ' Parse error at column 5, token "[" (LBRACKET)'
            ),
        ),
        (
            "columns: { a: integer }",
            (
                "columns.a: unknown type 'integer';"
                " there are int, float, bool, str, datetime, date, decimal, json"
            ),
        ),
        ("columns: { a: { path: x } }", "columns.a.type: this key is missing"),
        (
            "columns: { a: { type: int, pth: x } }",
            "columns.a.pth: unknown key, did you mean 'path'?",
        ),
        ("columns: {}", "columns: must not be empty"),
        (
            "params: { a: { b: 1 } }",
            "params.a: write a text, a number, true, false, or a list of them",
        ),
        ("headers: { a: null }", "headers.a: write a text, a number, true or false"),
        ("pages: { cursor: a }", "pages: 'cursor' and 'param' go together"),
        ("pages: { param: a }", f"pages: {PAGES}"),
        ("pages: { next: a, link: header }", f"pages: {PAGES}"),
        ("pages: { page: p, offset: o }", f"pages: {PAGES}"),
        ("pages: { link: body }", "pages.link: input should be 'header'"),
        ("pages: { page: p, limit: { l: 9 } }", "pages: 'limit' goes with 'offset'"),
        ("pages: { offset: o, start: 3 }", "pages: 'start' goes with 'page'"),
        ("pages: { offset: o, limit: { l: 0 } }", "pages.limit: write a number from 1"),
        ("pages: { page: p, size: { s: many } }", INTEGER.format("pages.size.s")),
        ("pages: { page: p, size: {} }", "pages.size: must not be empty"),
        ("auth: {}", "auth: give exactly one of bearer, basic, api_key, oauth2"),
        (
            "auth: { bearer: a, api_key: { header: b, value: c } }",
            "auth: give exactly one of bearer, basic, api_key, oauth2",
        ),
        (
            "auth: { oauth2: { token_url: https://h/t, client_id: a } }",
            "auth.oauth2: give 'client_secret', 'refresh_token', or both",
        ),
        (
            "auth: { oauth2: { token_url: https://h/t } }",
            "auth.oauth2: give 'client_id', or 'file'",
        ),
        (
            "auth: { oauth2: { token_url: https://h/t, file: AUTH/a.json, client_secret: b } }",
            "auth.oauth2: give either 'file' or 'client_secret'",
        ),
        (
            "auth: { oauth2: { token_url: https://h/t, client_id: a, client_sekret: b } }",
            "auth.oauth2.client_sekret: unknown key, did you mean 'client_secret'?",
        ),
        (
            "auth: { oauth2: { token_url: 'https://a:b@h/t', client_id: a, client_secret: b } }",
            "auth.oauth2: write user and password as 'client_id' and 'client_secret'",
        ),
        ('auth: { bearer: "c4nary\\n" }', f"auth.bearer: {BREAK}"),
        ('auth: { bearer: "" }', "auth.bearer: must not be empty"),
        (
            'auth: { api_key: { header: X-Key, value: "c4nary\\n" } }',
            f"auth.api_key.value: {BREAK}",
        ),
        ('headers: { X-Key: "c4nary\\n" }', f"headers.X-Key: {BREAK}"),
        (
            'headers: { X-Key: "c4näry" }',
            "headers.X-Key: cannot be sent: it has a character in it that is not ASCII,"
            " which no header can hold",
        ),
        (
            "headers: { Content-Length: 3 }",
            "headers.Content-Length: this header is for the client to set; leave it out",
        ),
        (
            "auth: { basic: { user: 'a:b', password: c4nary } }",
            "auth.basic.user: cannot be sent: the user must not have a colon in it",
        ),
        ("auth: { api_key: { value: c } }", "auth.api_key: give either 'header' or 'query'"),
        ("auth: { bearer: 12 }", "auth.bearer: input should be a valid string"),
        ("schema: strict", "schema: input should be 'evolve', 'freeze' or 'ignore'"),
        ("since: { field: a }", "since.param: this key is missing"),
        (
            "since: { field: a, param: q, format: 'a >= 1' }",
            "since.format: write '{}' once, in the place of the value: 'updated_on >= {}'",
        ),
        (
            "rows: !!python/name:os.system x",
            "rows: the tag tag:yaml.org,2002:python/name:os.system is not allowed",
        ),
    ],
)
def test_one_mistake(tmp_path: Path, line: str, said: str) -> None:
    """Each kind of mistake has one line that says what to write."""
    assert mistake(tmp_path, line) == said


STORE = """\
streams: { lite: { url: sqlite:///x.db }, files: { local: a/b } }
collectors:
  c: { every: 1, get: https://h/x, to: { lite: {} } }
stores:
  s: { %s }
"""


def test_store(tmp_path: Path) -> None:
    """Its table is the collector's, else its own name; paths start at the file."""
    text = "from: a, every: 10m, to: { lite: }, collector: c, keep_shards: k, drop_duplicates: n"
    store = read(tmp_path, STORE % text).stores["s"]
    assert store.shards is not None
    assert (store.shards.path, store.shards.keep_shards) == (tmp_path / "a", tmp_path / "k")
    assert (store.shards.fmt, store.shards.drop_duplicates) == ("parquet", ("n",))
    assert (store.every, store.to["lite"].table, store.to["lite"].attempts) == (600.0, "c", 5)
    store = read(tmp_path, STORE % "from: a, every: 1, to: { lite: { upsert: n } }").stores["s"]
    assert (store.to["lite"].table, store.to["lite"].upsert) == ("s", ("n",))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("every: 1, to: { lite: }", "stores.s.from: this key is missing"),
        (
            "from: a, every: 1, to: { light: }",
            "stores.s.to.light: there is no stream 'light'; did you mean 'lite'?",
        ),
        (
            "from: a, every: 1, collector: d, to: { lite: }",
            "stores.s.collector: there is no collector 'd'; there are c",
        ),
        (
            "from: a, every: 1, to: { lite: { replace: true } }",
            "stores.s.to.lite.replace: a store has no whole polls to replace by: use append or"
            " upsert",
        ),
        (
            "from: a, keep_shards: a/, every: 1, to: { lite: }",
            "stores.s.keep_shards: leads back into the folder of 'from'",
        ),
        (
            "from: ./a/b/s, every: 1, to: { files: }",
            "stores.s.to.files: leads back into the folder of 'from'",
        ),
        (
            "from: a, evry: 1, every: 1, to: { lite: }",
            "stores.s.evry: unknown key, did you mean 'every'?",
        ),
    ],
)
def test_mistake_in_a_store(tmp_path: Path, keys: str, said: str) -> None:
    """As in a collector; nor may it read what it writes."""
    assert mistakes(tmp_path, STORE % keys) == [f"config.yaml:5: {said}"]


def test_a_store_has_a_name_of_its_own(tmp_path: Path) -> None:
    """It has a log and folders by its name, as collectors have."""
    text = (STORE % "from: a, every: 1, to: { lite: }").replace("  s:", "  c:")
    assert mistakes(tmp_path, text) == [
        "config.yaml:5: stores.c: a collector has this name; a store needs one of its own"
    ]


def test_mistake_in_defaults(tmp_path: Path) -> None:
    """A mistake that every collector inherits is said once, where it was written."""
    assert mistakes(tmp_path, SMALL % "defaults: { timeout: soon }") == [
        "config.yaml:9: defaults.timeout: write a duration such as 200ms, 30s, 5m, 1h or 1d"
    ]


def test_upsert_into_files(tmp_path: Path) -> None:
    """Files have no keys; a key that is no column cannot be one."""
    text = SMALL.replace("lite: }", "files: { upsert: a }, lite: { upsert: [a, z] } }")
    assert mistakes(tmp_path, text % "    columns: { a: int }") == [
        "config.yaml:8: collectors.c.to.files.upsert: local files have no upsert; the stream's"
        " 'mode' decides",
        "config.yaml:8: collectors.c.to.lite.upsert: there is no column 'z' in 'columns'",
    ]


def test_replace(tmp_path: Path) -> None:
    """It goes with neither another way, nor `since`, nor files; it is no default."""
    text = SMALL.replace("lite: }", "lite: { replace: true } }")
    config = read(tmp_path, text % "")
    assert config.collectors["c"].to["lite"].replace
    assert not read(tmp_path, SMALL % "").collectors["c"].to["lite"].replace
    for to, said in (
        ("lite: { replace: true, upsert: a }", "lite: give either 'upsert' or 'replace'"),
        ("files: { replace: true }", "files.replace: local files have no replace"),
        ("lite: { replace: yes please }", "lite.replace"),
    ):
        (line,) = mistakes(tmp_path, SMALL.replace("lite: }", f"{to} }}") % "")
        assert said in line
    since = "    since: { field: a, param: b }"
    (line,) = mistakes(tmp_path, text % since)
    assert "lite.replace: with 'since' a poll has only what is new" in line


def test_files_that_are_replaced(tmp_path: Path) -> None:
    """The stream's mode says so; with `since` it would be the file of what is new."""
    text = SMALL.replace("lite: }", "files: }").replace("local: ", "mode: replace, local: ")
    config = read(tmp_path, text % "")
    assert config.collectors["c"].to["files"].replace
    (line,) = mistakes(tmp_path, text % "    since: { field: a, param: b }")
    assert "to.files: with 'since' a poll has only what is new: use mode: update" in line


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ("{ url: nonsense }", "write a URL such as postgresql://user@host/db or sqlite:///file.db"),
        (
            "{ url: 'redis://h' }",
            "unknown kind of target; there are postgresql, mysql, mariadb, sqlite, duckdb, oracle"
            " and mssql",
        ),
        (
            "{ url: 'mysql+odbc://h/d' }",
            "unknown driver odbc; write mysql://, or one of pymysql, mysqldb, mariadbconnector",
        ),
        (
            "{ url: 'postgresql://h:many/d' }",
            "the port of the URL is no number from 0 to 65535",
        ),
    ],
)
def test_target_url(tmp_path: Path, streams: str, said: str) -> None:
    """A URL that names no target says what one looks like."""
    text = SMALL.replace("{ url: sqlite:///x.db }", streams) % ""
    assert mistakes(tmp_path, text) == [f"config.yaml:2: streams.lite.url: {said}"]


AUTH = """\
streams: { db: { dialect: mariadb, auth: AUTH/sql.json, db: shop } }
collectors:
  c: { every: 1, get: https://h/x, to: { db: {} } }
"""


def test_credentials_in_a_file(tmp_path: Path) -> None:
    """Host, name and password may lie in AUTH/; the password is a secret."""
    file = tmp_path / "AUTH" / "sql.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text('{"username": "me", "password": "p@ss/w", "host": "db.acme", "port": 3307}')
    config = read(tmp_path, AUTH)
    assert config.streams["db"] == Database("mariadb://me:p%40ss%2Fw@db.acme:3307/shop")
    assert "p@ss/w" in config.secrets


def test_credentials_that_cannot_be_used(tmp_path: Path) -> None:
    """What is wrong with a file of AUTH/ stands at the line of its stream."""
    assert mistakes(tmp_path, AUTH) == [
        "config.yaml:1: streams.db: AUTH/sql.json: there is no such file; "
        "copy its template from AUTH/, and fill it in"
    ]


def test_a_key_of_bitio(tmp_path: Path) -> None:
    """The file of AUTH/ may say where it is; what config.yaml says stands above it."""
    file = tmp_path / "AUTH" / "bitio.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text('{"api_key": "v2_s3cret", "host": "a.acme", "port": 6543}')
    keys = "bitio: { database: me/shop, auth: AUTH/bitio.json, host: b.acme, ca: ca.pem }"
    config = read(tmp_path, SMALL.replace("url: sqlite:///x.db", keys) % "")
    api = "https://api.bit.io/"
    assert config.streams["lite"] == Bitio(
        "me/shop", "v2_s3cret", api, "b.acme", 6543, tmp_path / "ca.pem"
    )
    assert "v2_s3cret" in config.secrets


SIRIDB = """\
streams: { siri: { siridb: { auth: AUTH/siridb.json, tags: [station], time: at } } }
collectors: { c: { every: 1, get: "https://h/x", to: { siri: {} } } }
"""
SIRIDB_AUTH = '{"username": "iris", "password": "s3cret-p", "dbname": "db", "hostlist": %s}'


def test_keys_of_siridb(tmp_path: Path) -> None:
    """The file of AUTH/ says where it is, config.yaml what names its series."""
    file = tmp_path / "AUTH" / "siridb.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text(SIRIDB_AUTH % '[["a.acme", 9000], ["b.acme", 9001, {"backup": true}]]')
    config = read(tmp_path, SIRIDB)
    hosts = (("a.acme", 9000), ("b.acme", 9001))
    target = Siridb(hosts, "db", "iris", "s3cret-p", ("station",), "at")
    assert config.streams["siri"] == target
    assert "s3cret-p" in config.secrets
    assert "s3cret-p" not in repr(target)


@pytest.mark.parametrize("hosts", ['"a:1"', "[]", '["a", 1]', '[["a", "1"]]', '[["", 1]]', "[[1]]"])
def test_hosts_of_siridb_that_are_none(tmp_path: Path, hosts: str) -> None:
    """What is wrong with the list of servers stands at the line of its stream."""
    file = tmp_path / "AUTH" / "siridb.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text(SIRIDB_AUTH % hosts)
    (found,) = mistakes(tmp_path, SIRIDB)
    assert found.startswith("config.yaml:1: streams.siri: ")
    assert "'hostlist' is no list of hosts with ports" in found


def test_what_siridb_cannot(tmp_path: Path) -> None:
    """Upsert and replace stand at their line; a column is time or tag."""
    for way in ("upsert: id", "replace: true"):
        text = SIRIDB.replace("siri: {} }", f"siri: {{ {way} }} }}")
        found = [line for line in mistakes(tmp_path, text) if "AUTH" not in line]
        assert len(found) == 1
        assert found[0].startswith("config.yaml:2: collectors.c.to.siri.")
        assert "use append" in found[0]
    found = mistakes(tmp_path, SIRIDB.replace("time: at", "time: station"))
    said = "'station' cannot be 'time' and one of 'tags'"
    assert found == [f"config.yaml:1: streams.siri.siridb: {said}"]


IKV = """\
streams: { kv: { ikv: { auth: AUTH/ikv.json, primary_key: sku } } }
collectors:
  c: { every: 1, get: https://h/x, to: { kv: { upsert: sku } } }
"""


def test_a_store_of_ikv(tmp_path: Path) -> None:
    """The file of AUTH/ says which store; the endpoint is the vendor's, or what is given."""
    file = tmp_path / "AUTH" / "ikv.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    login = {"account_id": "acme", "account_passkey": "s3cret-k3y", "store_name": "shop"}
    file.write_text(json.dumps(login))
    config = read(tmp_path, IKV)
    assert config.streams["kv"] == Ikv("acme", "s3cret-k3y", "shop", "sku", Ikv.ENDPOINT)
    assert "s3cret-k3y" in config.secrets
    file.write_text(json.dumps({**login, "endpoint": "b.acme:1"}))
    assert read(tmp_path, IKV).streams["kv"] == Ikv("acme", "s3cret-k3y", "shop", "sku", "b.acme:1")
    text = IKV.replace("primary_key", "endpoint: 'c.acme:2', ca: c.pem, primary_key")
    assert read(tmp_path, text).streams["kv"] == Ikv(
        "acme", "s3cret-k3y", "shop", "sku", "c.acme:2", tmp_path / "c.pem"
    )


_OTHER_KEY = "the store's primary key is 'sku': write upsert: sku"
_NO_ROWS = "IKV has documents by their key alone: write upsert: sku"


@pytest.mark.parametrize(
    ("to", "where", "said"),
    [
        ("{}", "kv", _OTHER_KEY),
        ("{ upsert: id }", "kv.upsert", _OTHER_KEY),
        ("{ upsert: [sku, id] }", "kv.upsert", _OTHER_KEY),
        ("{ append: true }", "kv.append", _NO_ROWS),
        ("{ replace: true }", "kv.replace", _NO_ROWS),
        ("{ upsert: sku, table: t }", "kv.table", _NO_ROWS),
    ],
)
def test_rows_go_to_ikv_by_its_key(to: str, where: str, said: str, tmp_path: Path) -> None:
    """There is nothing else to be, and the line says what to write."""
    no_file, line = mistakes(tmp_path, IKV.replace("{ upsert: sku }", to))
    assert "AUTH/ikv.json" in no_file
    assert line == f"config.yaml:3: collectors.c.to.{where}: {said}"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("dialect: mysql, auth: AUTH/sql.json", "'dialect' needs 'db'"),
        ("dialect: mysql, db: shop", "'dialect' needs 'auth'"),
        ("url: sqlite:///x.db, auth: AUTH/sql.json", "'auth' needs 'dialect'"),
    ],
)
def test_half_of_the_credentials(keys: str, said: str, tmp_path: Path) -> None:
    """`dialect`, `auth` and `db` go together."""
    text = SMALL.replace("url: sqlite:///x.db", keys) % ""
    assert mistakes(tmp_path, text) == [f"config.yaml:2: streams.lite: {said}"]


BIGQUERY = """\
streams: { bq: { bigquery: { project: p, dataset: d, location: EU, auth: AUTH/bq.json } } }
collectors:
  c: { every: 1, get: https://h/x, to: { bq: {} } }
"""


def test_a_dataset_of_bigquery(tmp_path: Path) -> None:
    """Its keys make a target; a load a minute is the default."""
    file = tmp_path / "AUTH" / "bq.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text('{"private_key": "k", "client_email": "e", "token_uri": "u"}')
    target = read(tmp_path, BIGQUERY).streams["bq"]
    assert target == Bigquery("p", "d", "EU", file, None, None, 60.0)


def test_a_service_account_that_others_can_read(tmp_path: Path) -> None:
    """Its file is refused, with what to type."""
    file = tmp_path / "AUTH" / "bq.json"
    file.parent.mkdir()
    file.touch(mode=0o640)
    file.write_text("{}")
    (line,) = mistakes(tmp_path, BIGQUERY)
    assert line.startswith("config.yaml:1: streams.bq: AUTH/bq.json: others can read it; chmod 600")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("write_endpoint: 'h:1'", "'write_endpoint' needs 'endpoint'"),
        (
            "endpoint: 'http://h:1', latency: 5s",
            "a 'latency' below 60s needs the emulator's 'write_endpoint'",
        ),
    ],
)
def test_half_of_an_emulator(keys: str, said: str, tmp_path: Path) -> None:
    """The two addresses of an emulator go together."""
    text = BIGQUERY.replace("auth: AUTH/bq.json", keys)
    assert mistakes(tmp_path, text) == [f"config.yaml:1: streams.bq.bigquery: {said}"]


OMNISCI = """\
streams: { om: { omnisci: { db: geo, auth: AUTH/om.json%s } } }
collectors:
  c: { every: 1, get: https://h/x, to: { om: {%s} } }
"""


def omnisci_auth(folder: Path) -> None:
    """Write the file of AUTH/."""
    file = folder / "AUTH" / "om.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text('{"username": "u", "password": "p", "host": "h"}')


def test_a_database_of_omnisci(tmp_path: Path) -> None:
    """The table is called as in 1.x; each protocol has a port of its own."""
    omnisci_auth(tmp_path)
    config = read(tmp_path, OMNISCI % (", protocol: http", ""))
    assert config.streams["om"] == Omnisci("geo", "h", "u", "p", 6278, "http")
    assert config.collectors["c"].to["om"].table == "c_stream"
    config = read(tmp_path, OMNISCI % ("", "table: mine"))
    assert config.streams["om"] == Omnisci("geo", "h", "u", "p", 6274, "binary")
    assert config.collectors["c"].to["om"].table == "mine"


def test_what_omnisci_cannot_do(tmp_path: Path) -> None:
    """An upsert, a replace and a port of letters are told with their lines."""
    omnisci_auth(tmp_path)
    for way in ("upsert: id", "replace: true"):
        name = way.partition(":")[0]
        text = f"OmniSci takes no {name}, for it has no transactions; use append"
        place = f"config.yaml:3: collectors.c.to.om.{name}"
        assert mistakes(tmp_path, OMNISCI % ("", way)) == [f"{place}: {text}"]
    (tmp_path / "AUTH" / "om.json").write_text(
        '{"username": "u", "password": "p", "host": "h", "port": "x"}'
    )
    (line,) = mistakes(tmp_path, OMNISCI % ("", ""))
    assert line == "config.yaml:1: streams.om: AUTH/om.json: port: write a number from 1 to 65535"


def test_neither_nor(tmp_path: Path) -> None:
    """A stream is a URL or a folder, not both and not nothing."""
    text = SMALL.replace("{ local: out }", "{}") % ""
    assert mistakes(tmp_path, text) == [
        "config.yaml:3: streams.files: "
        "give one of 'url', 'local', 'bigquery', 'omnisci', 'bitio', 'siridb', 'ikv',"
        " and 'dialect' with 'auth' and 'db'"
    ]
    text = SMALL.replace("sqlite:///x.db", "sqlite:///x.db, mode: replace") % ""
    assert mistakes(tmp_path, text) == [
        "config.yaml:2: streams.lite: 'fmt' and 'mode' go with 'local'"
    ]


# -- secrets -----------------------------------------------------------------------


def test_secrets_are_known(tmp_path: Path) -> None:
    """Tokens, passwords (as written and as meant) and what was put in are listed for the log."""
    text = EXAMPLE + "    headers: { X-Api-Key: plain-key }\nstatus: { token: 0123456789 }\n"
    config = read(tmp_path, text, ENV)
    assert config.secrets == {"tok-31415", "hunter%402", "hunter@2", "plain-key", "0123456789"}


def test_password_in_the_query(tmp_path: Path) -> None:
    """A password in the query of a URL is one too."""
    text = SMALL.replace("sqlite:///x.db", "'postgresql://h/d?sslpassword=open-sesame'") % ""
    assert read(tmp_path, text).secrets == {"open-sesame"}


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither the configuration's repr nor the text of a mistake holds a secret."""
    config = read(tmp_path, EXAMPLE, ENV)
    assert not [s for s in config.secrets if s in repr(config)]
    env = {
        "PG_DSN": "hunter2:swordfish@db/shop",
        "ACME_TOKEN": "tok-31415",
        "TYPE": "tok-27182",
    }
    text = EXAMPLE + "    columns: { a: '${TYPE}' }\n    timeout: '${TYPE}'\n    get: '${TYPE}'\n"
    said = "\n".join(mistakes(tmp_path, text, env))
    assert "unknown type '***'" in said
    assert not [s for s in ("hunter2", "swordfish", "tok-") if s in said]


# -- for editors -------------------------------------------------------------------


def test_schema_has_descriptions() -> None:
    """Every key of the JSON Schema says what it is for."""
    schema = json_schema()
    shapes = [schema, *schema["$defs"].values()]
    keys = [
        (shape.get("title"), name, key)
        for shape in shapes
        for name, key in shape.get("properties", {}).items()
    ]
    assert len(keys) > 60
    assert [(title, name) for title, name, key in keys if not key.get("description")] == []


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        (("", ""), True),
        (("every: 30s", "every: 30"), True),
        (("{ table: orders, upsert: id }", ""), True),
        (("upsert: id", "upsert: [id, day]"), True),
        (("rows: data", "rows: data\n    columns: { id: int, x: { type: str } }"), True),
        (("every", "evry"), False),
        (("rows: data", "rows: [data]"), False),
        (("rows: data", "sql: x"), False),
        (("    get: https://api.acme.com/v1/orders\n", ""), False),
    ],
)
def test_schema(change: tuple[str, str], valid: bool) -> None:
    """The JSON Schema takes the example and its shorthands, and refuses what `load` refuses."""
    jsonschema = pytest.importorskip("jsonschema")
    yaml = pytest.importorskip("yaml")
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(validator.schema)
    assert validator.is_valid(yaml.safe_load(EXAMPLE.replace(*change))) is valid


FUNCTION = """\
streams: { lite: { url: sqlite:///x.db } }
defaults: { auth: { bearer: token }, retries: 3, quota: 1GB }
collectors:
  c:
    every: 1
    python: weather:fetch
    to: { lite: }
%s
"""


def test_python_collector(tmp_path: Path) -> None:
    """A function needs its name only; defaults of requests are not for it."""
    c = read(tmp_path, FUNCTION % "    since: { field: at, lag: 5m }").collectors["c"]
    assert c.python is not None
    assert (c.python.folder, c.python.target) == (tmp_path / "collectors", "weather:fetch")
    assert (c.get, c.auth, c.quota) == (None, None, 10**9)
    assert c.since is not None
    assert (c.since.field, c.since.param, c.since.lag) == ("at", None, 300.0)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("get: https://h/x", "'get' is here already; give one of 'get', 'python', 'sql'"),
        ("table: t", "does not go with 'python'"),
        ("rows: data", "does not go with 'python'"),
        ("timeout: 5s", "does not go with 'python'"),
        ("since: { field: a, param: b }", "does not go with 'python'"),
    ],
)
def test_what_does_not_go_with_a_function(tmp_path: Path, line: str, said: str) -> None:
    """A key that could do nothing is a mistake, at its own line."""
    (found,) = mistakes(tmp_path, FUNCTION % f"    {line}")
    assert found.startswith(("config.yaml:8: collectors.c.", "config.yaml:6: collectors.c.python"))
    assert found.endswith(said)


@pytest.mark.parametrize("name", ["weather", "weather.py:fetch", "../x:f", ":f", "w:f()"])
def test_name_of_a_function(tmp_path: Path, name: str) -> None:
    """Module and function are Python names."""
    (found,) = mistakes(tmp_path, FUNCTION.replace("weather:fetch", f"'{name}'") % "")
    assert "write module:name" in found


def test_attempts_of_stream_collector_and_defaults(tmp_path: Path) -> None:
    """Five by default; a collector's own key wins, and a stream's above it, null too."""
    text = """\
streams:
  a: { url: sqlite:///a }
  b: { url: sqlite:///b, attempts: null }
collectors:
  x: { every: 1, get: https://h/x, to: { a: {}, b: {} } }
  y: { every: 1, get: https://h/y, attempts: 2, to: { a: {}, b: {} } }
"""
    config = read(tmp_path, text)
    found = {c: [to.attempts for to in config.collectors[c].to.values()] for c in "xy"}
    assert found == {"x": [5, None], "y": [2, None]}


DATABASE = """\
streams: { lite: { url: sqlite:///x.db } }
defaults: { auth: { bearer: token }, timeout: 5s }
collectors:
  c:
    every: 1
    sql: "postgresql://me:hunter2@h/d"
    to: { lite: }
%s
"""


def test_database_collector(tmp_path: Path) -> None:
    """A table, its key, and pages by the cursor column of `since`; the password is a secret."""
    lines = "    table: sales.orders\n    key: [a, b]\n    since: { field: at, lag: 5m }"
    config = read(tmp_path, DATABASE % lines)
    sql = config.collectors["c"].sql
    assert sql is not None
    assert (sql.table, sql.query, sql.key) == ("sales.orders", None, ("a", "b"))
    assert sql.page_size == 10_000
    assert (config.collectors["c"].timeout, config.collectors["c"].auth) == (5.0, None)
    assert config.secrets == {"hunter2", "token"}
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "collectors.c.sql: give either 'table' or 'query'"),
        ("table: t\n    query: select 1", "give either 'table' or 'query'"),
        ("query: select 1", "columns that together are unique and never NULL"),
        ("table: t\n    page_size: 0", "greater than or equal to 1"),
        ("table: t\n    rows: data", "collectors.c.rows: does not go with 'sql'"),
        ("table: t\n    since: { field: a, param: b }", "since.param: does not go with 'sql'"),
        ("table: t\n    since: { field: a, format: '{}' }", "since.format: does not go with 'sql'"),
    ],
)
def test_mistakes_of_a_database_collector(tmp_path: Path, line: str, said: str) -> None:
    """Each says what to write, and none shows the password."""
    found = mistakes(tmp_path, DATABASE % f"    {line}")
    assert any(said in each for each in found), found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("line", "pages"),
    [
        ("{ link: header }", Pages("link")),
        ("{ page: p }", Pages("page", param="p", start=1)),
        (
            "{ page: p, start: 0, size: { per_page: 50 } }",
            Pages("page", param="p", start=0, size=(("per_page", "50"),)),
        ),
        (
            "{ offset: o, limit: { n: 100 } }",
            Pages("offset", param="o", size=(("n", "100"),)),
        ),
    ],
)
def test_pages(tmp_path: Path, line: str, pages: Pages) -> None:
    """Each way of paging, with its defaults: pages count from 1, offsets from 0."""
    assert read(tmp_path, SMALL % f"    pages: {line}").collectors["c"].pages == pages


def test_oauth2(tmp_path: Path) -> None:
    """Its secrets are among those that no log line shows; its repr shows none."""
    line = "auth: { oauth2: { token_url: https://h/t, client_id: me, refresh_token: r3fresh } }"
    found = read(tmp_path, SMALL % f"    {line}")
    auth = found.collectors["c"].auth
    assert auth == OAuth2("https://h/t", "me", "", "", "r3fresh")
    assert "r3fresh" in found.secrets
    assert "r3fresh" not in repr(auth)


CLIENT = """\
streams: { db: { url: sqlite:///x.db } }
defaults: { auth: { oauth2: { token_url: https://h/t, file: AUTH/bb.json } } }
collectors:
  c: { every: 1, get: https://h/x, to: { db: {} } }
"""


@pytest.mark.parametrize("names", [("key", "secret"), ("client_id", "client_secret")])
def test_a_client_in_a_file(tmp_path: Path, names: tuple[str, str]) -> None:
    """Its two names are those of RFC 6749 or those of Bitbucket; its secret is shown nowhere."""
    file = tmp_path / "AUTH" / "bb.json"
    file.parent.mkdir()
    file.touch(mode=0o600)
    file.write_text(json.dumps({names[0]: "me", names[1]: "hunter2", "note": "x"}))
    config = read(tmp_path, CLIENT)
    assert config.collectors["c"].auth == OAuth2("https://h/t", "me", "hunter2")
    assert config.secrets == {"hunter2"}
    file.write_text(json.dumps({names[0]: "me", names[1]: ""}))
    assert mistakes(tmp_path, CLIENT) == [
        f"config.yaml:2: defaults.auth: AUTH/bb.json: the key {names[1]!r} is empty; fill it in"
    ]
    file.write_text(json.dumps({names[0]: "me", names[1]: "\ud800"}))
    assert "cannot be sent: it is not text" in mistakes(tmp_path, CLIENT)[0]


def test_a_client_whose_file_is_missing(tmp_path: Path) -> None:
    """What is wrong with the file stands at the line that names it."""
    assert mistakes(tmp_path, CLIENT) == [
        "config.yaml:2: defaults.auth: AUTH/bb.json: there is no such file; "
        "copy its template from AUTH/, and fill it in"
    ]


def test_timeout_of_a_stream(tmp_path: Path) -> None:
    """It is the stream's own, for every collector; that of `defaults` is for requests."""
    text = SMALL.replace("x.db }", "x.db, timeout: 90s }").replace(
        "{ lite: }", "{ lite: , files: }"
    )
    to = read(tmp_path, text % "defaults: { timeout: 5s }").collectors["c"].to
    assert (to["lite"].timeout, to["files"].timeout) == (90.0, 120.0)
