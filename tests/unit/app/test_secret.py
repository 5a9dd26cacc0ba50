"""What is secret in a configuration, and that no spelling of it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from api2db.app.config import load
from api2db.app.secret import Redactor

CONFIG = """\
streams:
  pg: { url: "postgresql://user:URL-PASS%40word@h/d?sslpassword=URL-PARAM&application_name=plain" }
  my: { url: "${DSN}" }
collectors:
  a:
    every: 1m
    get: "https://user:USERINFO@api.acme.com/v1?api_key=QUERY-KEY&page=harmless"
    headers: { X-Acme: HEADER-VALUE, X-Token: TOKN, Accept: application/json, X-Version: "2024" }
    params: { access_token: PARAM-TOKEN, limit: "100000", since: "2024-01-01" }
    to: { pg: {}, my: {} }
  b: { every: 1m, get: "https://h/b", auth: { bearer: "${file:token}" }, to: { pg: {} } }
  c:
    every: 1m
    get: "https://h/c"
    auth: { basic: { user: me, password: BASIC } }
    to: { pg: {} }
  d:
    every: 1m
    get: "https://h/d"
    auth: { api_key: { header: X-Key, value: "${cred:key}" } }
    to: { pg: {} }
status: { token: STATUS-TOKEN }
"""


def test_what_is_secret(tmp_path: Path) -> None:
    """Passwords, tokens and keys, written out or put in; not hosts, not plain parameters."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "token").write_text("FILE-TOKEN\n")
    (tmp_path / "key").write_text("CRED-KEY")
    env = {"DSN": "mysql://u:DSN-PASS@h/d", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load(tmp_path / "config.yaml", env).secrets == {
        "URL-PASS%40word",
        "URL-PASS@word",
        "URL-PARAM",
        "DSN-PASS",
        "USERINFO",
        "QUERY-KEY",
        "HEADER-VALUE",
        "TOKN",
        "PARAM-TOKEN",
        "FILE-TOKEN",
        "BASIC",
        "bWU6QkFTSUM=",
        "CRED-KEY",
        "STATUS-TOKEN",
    }


SECRET = "pä ss\"w'o\\rd/+&"


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        repr(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps({"url": f"http://u:{SECRET}@h"}),
    ],
)
def test_spellings(spelled: str) -> None:
    """A secret is found however a library escapes it."""
    shown = Redactor({SECRET})(f"<{spelled}>")
    assert "rd" not in shown
    assert "***" in shown


def test_one_secret_in_another() -> None:
    """The longer one goes whole; nothing is replaced where there are no secrets."""
    assert Redactor({"abcdefgh", "abcdefghij"})("abcdefghijk abcdefgh") == "***k ***"
    assert Redactor({})("abcd") == "abcd"


def test_a_short_secret_is_a_word() -> None:
    """A password such as a vendor's default is hidden, and leaves the names around it readable."""
    hide = Redactor({"siri", "a+b c"})
    assert hide("pip install 'api2db[siridb]'; siris, Osiri") == (
        "pip install 'api2db[siridb]'; siris, Osiri"
    )
    for said in ("iris:{}@h", "'{}'", "={}&", "x_{}_y", r"text\n{}", r"\x00{}", "%3A{}%40", "{}"):
        assert hide(said.format("siri")) == said.format("***")
        assert hide(said.format(quote_plus("a+b c"))) == said.format("***")
