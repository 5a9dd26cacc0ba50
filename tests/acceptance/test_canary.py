"""No secret is ever shown: each place of a configuration holds a canary, everything fails."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api2db.app.config import load
from api2db.core.errors import ConfigError
from tests.fixtures.api_server import ApiServer, Reply, Seen
from tests.fixtures.postgres import Postgres, binaries
from tests.fixtures.server import free_port

COMMAND = Path(sys.executable).with_name("api2db")
TOKEN = "canary-status-token"
#: Whatever is told about a secret, this is part of it, and of nothing else.
CANARY = "canary"
ENV = {
    "BEARER": "canary-bearer",
    "BASIC": 'canary"basic\\pass',
    "NEWLINE": "canary-head\ncanary-tail",
    "PG_DSN": "postgresql://u:canary-env-dsn@127.0.0.1:1/d",
    "ODD_DSN": "postgresql://u:canary@odd:tail-canary@127.0.0.1:1/d",
}
# Each collector of this file fails in a way of its own, but for the last, whose streams do.
CONFIG = """\
status: {{ bind: "127.0.0.1:{status}", token: canary-status-token }}
defaults: {{ every: 1h, retries: 1, timeout: 2s, grace: 2s }}
streams:
  lite: {{ url: "sqlite:///x.db" }}
  refused: {{ url: "${{PG_DSN}}" }}
  nowhere: {{ url: "postgresql://u:canary%20dns@nowhere.invalid/d?sslpassword=canary-param" }}
  odd: {{ url: "${{ODD_DSN}}" }}
  mysql: {{ url: "mysql://u:canary-mysql@127.0.0.1:1/d" }}
  wrong: {{ url: "postgresql://locked:canary-wrong@127.0.0.1:{postgres}/postgres" }}
collectors:
  bearer:
    get: {api}/401
    auth: {{ bearer: "${{BEARER}}" }}
    to: {{ lite: {{}} }}
  basic:
    get: {api}/500
    auth: {{ basic: {{ user: u, password: "${{BASIC}}" }} }}
    to: {{ lite: {{}} }}
  key_header:
    get: http://127.0.0.1:1/x
    auth: {{ api_key: {{ header: X-Acme, value: canary-key-header }} }}
    to: {{ lite: {{}} }}
  key_query:
    get: http://nowhere.invalid/x
    auth: {{ api_key: {{ query: k, value: "canary key+query" }} }}
    to: {{ lite: {{}} }}
  userinfo:
    get: http://u:canary%40userinfo@{host}/403
    to: {{ lite: {{}} }}
  url_query:
    get: "{api}/html?access_token=canary-url-query"
    to: {{ lite: {{}} }}
  headers:
    get: {api}/cut
    headers: {{ X-Acme: canary-header }}
    to: {{ lite: {{}} }}
  params:
    get: {api}/around
    params: {{ signature: canary-param-value }}
    to: {{ lite: {{}} }}
  file:
    get: {api}/row
    auth: {{ bearer: "${{file:secret}}" }}
    columns: {{ id: int }}
    to: {{ lite: {{ upsert: id }} }}
  credential:
    get: {api}/missing
    auth: {{ api_key: {{ header: X-Key, value: "${{cred:key}}" }} }}
    rows: data
    to: {{ lite: {{}} }}
  oauth_refused:
    get: {api}/401
    auth:
      oauth2: {{ token_url: "{api}/500", client_id: c, client_secret: canary-client,
                 refresh_token: canary-refresh }}
    to: {{ lite: {{}} }}
  oauth:
    get: {api}/401
    auth: {{ oauth2: {{ token_url: "{api}/token", client_id: c, client_secret: canary-client }} }}
    to: {{ lite: {{}} }}
  function:
    python: leaky:rows
    to: {{ lite: {{}} }}
  source:
    sql: postgresql://u:canary-source@127.0.0.1:1/d
    table: t
    key: id
    to: {{ lite: {{}} }}
  rows:
    get: {api}/rows
    to: {{ refused: {{}}, nowhere: {{}}, odd: {{}}, mysql: {{}}, wrong: {{}} }}
"""


#: Nobody can keep a user's own code from telling what it knows, but for the redaction.
FUNCTION = """\
import os
def rows():
    raise RuntimeError("cannot log in with " + os.environ["BEARER"])
"""


def echo(status: int, body: str, **headers: str) -> object:
    """Return an answer that sends back all that it was sent, as ``{echo}`` in *body*."""

    def answer(seen: Seen) -> Reply:
        sent = json.dumps([seen.target, *(f"{k}: {v}" for k, v in seen.headers.items())])
        return Reply(body.replace("{echo}", sent).encode(), status, headers)

    return answer


def around(seen: Seen) -> Reply:
    """Redirect to the same URL, for ever."""
    return Reply(b"", 302, {"Location": seen.target})


def row(seen: Seen) -> Reply:
    """Return one row whose integer is the secret that came."""
    return Reply([{"id": seen.headers["authorization"].removeprefix("Bearer ")}])


@pytest.fixture(scope="module")
def locked() -> Iterator[int]:
    """Run a PostgreSQL that asks the user ``locked`` for a password; return its port."""
    if binaries() is None:
        yield 1
        return
    server = Postgres(durable=False)
    rules = server.folder / "rules"
    rules.write_text("host all locked all scram-sha-256\nhost all all all trust\n")
    rules.chmod(0o644)
    server._settings["hba_file"] = str(rules)
    with server:
        with server.connect() as connection:
            connection.execute("create role locked login password 'another'")
        yield server.port


@pytest.fixture
def project(tmp_path: Path, locked: int) -> Iterator[Path]:
    """Return a folder whose configuration is full of secrets, in front of an API that echoes."""
    with ApiServer() as api:
        api.on("/401", echo(401, '{"error": {echo}}'))  # type: ignore[arg-type]
        api.on("/403", echo(403, "{echo}"))  # type: ignore[arg-type]
        api.on("/500", echo(500, "<p>{echo}</p>"))  # type: ignore[arg-type]
        api.on("/html", echo(200, "<html>{echo}</html>"))  # type: ignore[arg-type]
        api.on("/cut", echo(200, '[{"a": {echo}, "b": '))  # type: ignore[arg-type]
        api.on("/missing", echo(200, '{"dat": {echo}}'))  # type: ignore[arg-type]
        api.on("/around", around)
        api.on("/row", row)
        token = {"access_token": "canary-access", "token_type": "bearer", "expires_in": 60}
        api.on("/token", Reply(token))
        api.on("/rows", Reply([{"id": 1}]))
        config = CONFIG.format(
            status=free_port(), postgres=locked, api=api.url, host=urlsplit(api.url).netloc
        )
        (tmp_path / "config.yaml").write_text(config)
        (tmp_path / "collectors").mkdir()
        (tmp_path / "collectors" / "leaky.py").write_text(FUNCTION)
        (tmp_path / "secret").write_text("canary-file\n")
        (tmp_path / "key").write_text("canary-credential")
        yield tmp_path


def run(project: Path, *arguments: str) -> str:
    """Return what the command prints on both channels; it fails, but in order."""
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=project,
        env={**os.environ, **ENV, "CREDENTIALS_DIRECTORY": str(project)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def reasons(project: Path) -> list[str]:
    """Return why rows and bodies are dead, and the status file: all that a person may read."""
    dead = project / "STORE" / "dead_letter"
    lines = [line for file in dead.rglob("*.jsonl") for line in file.read_text().splitlines()]
    bodies = [file.read_text() for file in dead.rglob("*.reason")]
    assert lines
    assert bodies
    told = [json.loads(line)["reason"] for line in lines]
    return [*told, *bodies, (project / "STORE" / "status.json").read_text()]


@pytest.mark.slow
def test_commands(project: Path) -> None:
    """`check`, `preview`, `run --once` and `status` tell every failure and no secret."""
    told = {"check": run(project, "check", "--connect")}
    for name in ("bearer", "basic", "userinfo", "url_query", "file", "function"):
        told[f"preview {name}"] = run(project, "preview", name)
    told["once"] = run(project, "run", "--once", "--timeout", "3s")
    told["once --json"] = run(project, "--json", "run", "--once", "--timeout", "1s")
    told["status"] = run(project, "status")
    told["status --json"] = run(project, "--json", "status")
    for number, text in enumerate(reasons(project)):
        told[f"reason {number}"] = text
    assert {name: text for name, text in told.items() if CANARY in text.lower()} == {}
    failures = ("401", "403", "500", "redirect", "refused", "not known", "password auth")
    for failure in (*failures, "log in with ***"):
        assert failure in told["once"] + told["check"], failure


def test_daemon(project: Path) -> None:
    """So do the daemon's log, page, metrics, readiness and status."""
    with (project / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [COMMAND, "run"],
            cwd=project,
            env={**os.environ, **ENV, "CREDENTIALS_DIRECTORY": str(project)},
            stdout=log,
            stderr=log,
        )
    try:
        picture = settled(project, daemon)
        failing = [name for name, state in picture["collectors"].items() if state["error"]]
        assert len(failing) == 13
        told = {path: get(project, path) for path in ("/", "/metrics", "/readyz", "/api/status")}
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(30) == 0
    told["log"] = (project / "log").read_text()
    assert {name: text for name, text in told.items() if CANARY in text.lower()} == {}
    assert told["log"].count("poll_failed") >= len(failing)


def settled(project: Path, daemon: subprocess.Popen[bytes]) -> dict[str, dict[str, dict[str, str]]]:
    """Return the status once every collector and every stream has had its failure."""
    pause = threading.Event()
    for _ in range(300):
        assert daemon.poll() is None
        pause.wait(0.1)
        try:
            picture = json.loads(get(project, "/api/status"))
        except (OSError, ValueError):
            continue
        states = picture["collectors"].values()
        streams = picture["collectors"]["rows"]["streams"].values()
        if all(state["last_result"] for state in states) and all(s["error"] for s in streams):
            return dict(picture)
    raise AssertionError(picture)


def get(project: Path, path: str) -> str:
    """Return what the daemon answers, headers included."""
    config = (project / "config.yaml").read_text()
    port = int(config.partition("127.0.0.1:")[2].partition('"')[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    answer = connection.getresponse()
    text = f"{answer.headers}{answer.read().decode()}"
    connection.close()
    return text.partition("\n\n")[2] if path == "/api/status" else text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("postgresql://u:canary-source@127.0.0.1:1/d", "postgresql://u:canary@h:port/d"),
        ("postgresql://u:canary-source@127.0.0.1:1/d", "postgres//u:canary@h/d"),
        ("mysql://u:canary-mysql@127.0.0.1:1/d", "redis://u:canary@h/d"),
        ("http://u:canary%40userinfo@", "htp://u:canary@"),
        ("http://u:canary%40userinfo@", "http://u:canary@[::1"),
        ("value: canary-key-header", "value: [canary-key-header]"),
        ("value: canary-key-header", "valu: canary-key-header"),
        ("header: X-Acme, value", "value"),
        ("X-Acme: canary-header", "X-Acme: [canary-header]"),
        ("token: canary-status-token", "token: canary"),
        ('password: "${BASIC}"', 'password: ["${BASIC}"]'),
        ('bearer: "${BEARER}"', 'bearer: "${NEWLINE}"'),
        ('127.0.0.1:1/d" }', '127.0.0.1:port/d" }'),
        ('bearer: "${BEARER}"', 'bearer: "${BEARER}", basic: canary'),
    ],
)
def test_mistakes(project: Path, right: str, wrong: str) -> None:
    """A mistake beside a secret is told without it."""
    path = project / "config.yaml"
    config = path.read_text()
    assert right in config
    path.write_text(config.replace(right, wrong, 1))
    with pytest.raises(ConfigError) as error:
        load(path, {**ENV, "CREDENTIALS_DIRECTORY": str(project)})
    assert CANARY not in str(error.value).replace(str(project), "")
