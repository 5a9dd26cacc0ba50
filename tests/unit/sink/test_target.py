from __future__ import annotations

import pytest
from sqlalchemy import make_url

from api2db.sink.target import Database


@pytest.mark.parametrize("text", ["p@ss:w/o?r#d", "100%", "ünï", " ", "[x]"])
@pytest.mark.parametrize(("host", "port"), [("h.acme", "3306"), ("::1", ""), ("10.0.0.1", "")])
def test_parts_come_back(text: str, host: str, port: str) -> None:
    """Whatever a name or a password holds, it comes back out of the URL."""
    database = Database.of("mysql", "shop", host=host, username=text, password=text, port=port)
    url = make_url(database.url)
    assert (url.username, url.password, url.host, url.database) == (text, text, host, "shop")
    assert url.port == (int(port) if port else None)


def test_a_password_is_not_shown() -> None:
    """The repr of a target shows no URL."""
    assert "s3cret" not in repr(Database("mysql://me:s3cret@h/d"))
