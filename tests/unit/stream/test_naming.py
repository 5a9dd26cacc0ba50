from __future__ import annotations

import re
from typing import Any

import pytest

from api2db.files.layout import is_name
from api2db.sink.target import Bigquery
from api2db.stream import (
    Stream2Bitio,
    Stream2Ikv,
    Stream2Local,
    Stream2Omnisci,
    Stream2Siridb,
    Stream2Sql,
)
from api2db.stream.declaration import Declaration
from api2db.stream.naming import name_of, names

HOSTS = ("one.example", "two.example")


@pytest.mark.parametrize(
    ("said", "streams"),
    [
        (
            "sql.mysql.shop",
            [Stream2Sql("q", "shop", "mysql", "u", "p", host) for host in HOSTS]
            + [Stream2Sql("q", "shop", "mysql", "u", "p", HOSTS[0], port="3307")],
        ),
        ("sql.oracle", [Stream2Sql("q", db, "oracle", "u", "p", "h") for db in ("a", "b")]),
        ("local.parquet.data-q", [Stream2Local("q", f"/{disk}/data/q") for disk in ("a", "b")]),
        ("bigquery.d-t", [Declaration("q", "bigquery", Bigquery(p, "d"), "t") for p in ("a", "b")]),
        ("omnisci.d-q_stream", [Stream2Omnisci("q", "d", "u", "p", host) for host in HOSTS]),
        (
            "bitio.me-shop",
            [Stream2Bitio("q", "me/shop", api_key="v2_k", host=host) for host in HOSTS],
        ),
        (
            "siridb.weather",
            [Stream2Siridb("q", None, "u", "p", "weather", [[host, 9000]]) for host in HOSTS],
        ),
        ("ikv.s", [Stream2Ikv("q", "id", None, account, "p", "s") for account in ("a", "b")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_leads_elsewhere_has_another_name(said: str, streams: list[Any]) -> None:
    """The names begin alike, for people: but no stream of two takes what waits for the other."""
    declared = [s if isinstance(s, Declaration) else s.declaration() for s in streams]
    found = [name_of(one) for one in declared]
    assert all(re.fullmatch(rf"{re.escape(said)}.[0-9a-f]{{6}}", name) for name in found)
    assert len(set(found)) == len(streams)


def test_what_leads_to_the_same_place_keeps_its_name() -> None:
    """Users, passwords and options change; two to one place are told apart by a number."""
    one = Stream2Sql("q", "shop", "mysql", "me", "old", "h").declaration()
    two = Stream2Sql("q", "shop", "mysql", "you", "n:w@", "h", chunk_size=9).declaration()
    assert name_of(one) == name_of(two)
    assert list(names([one, two])) == [name_of(one), f"{name_of(one)}-2"]


def test_a_name_is_one_of_a_folder() -> None:
    """Whatever the place is called; and it has room for a collector's before it."""
    name = name_of(Stream2Sql("q", "ü/ ." * 50, "amazon_aurora", "u", "p", "h").declaration())
    assert is_name(f"{'c' * 63}.{name}") and len(name) <= 57
