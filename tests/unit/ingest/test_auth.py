"""Credentials are added when a request is sent, and are nowhere else."""

from __future__ import annotations

import base64

import pytest

from api2db.ingest.auth import Auth


@pytest.mark.parametrize(
    ("auth", "headers", "params"),
    [
        (Auth("bearer", "s3"), {"Authorization": "Bearer s3"}, ()),
        (Auth("header", "s3", "X-Key"), {"X-Key": "s3"}, ()),
        (Auth("query", "s3", "key"), {}, (("key", "s3"),)),
    ],
)
def test_a_credential_lies_in_headers_or_in_the_query(
    auth: Auth, headers: dict[str, str], params: tuple[tuple[str, str], ...]
) -> None:
    """Each kind fills exactly one place."""
    assert auth.headers == headers
    assert auth.params == params


def test_basic_is_utf8_and_the_password_may_hold_colons() -> None:
    """RFC 7617: user, colon, password, in base64."""
    sent = Auth("basic", "pä:ss", "jö").headers["Authorization"]
    kind, _, coded = sent.partition(" ")
    assert kind == "Basic"
    assert base64.b64decode(coded).decode() == "jö:pä:ss"


@pytest.mark.parametrize("kind", ["bearer", "basic", "header", "query"])
def test_the_secret_is_not_in_the_repr(kind: str) -> None:
    """A credential that is printed by mistake shows no secret."""
    assert "s3cret" not in repr(Auth(kind, "s3cret", "name"))  # type: ignore[arg-type]
