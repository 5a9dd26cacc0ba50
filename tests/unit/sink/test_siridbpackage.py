"""Points in packages, and as the client sends them."""

from __future__ import annotations

import math
from typing import Any

import pytest

qpack = pytest.importorskip("qpack")
package = pytest.importorskip("api2db.sink.siridbpackage")


def column(n: int) -> Any:
    """Return *n* points."""
    return package.Column.of([(tick, tick) for tick in range(n)], int)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 1, -1, 63, 127, 128, 2**63 - 1, -(2**63)], int),
        ([0.0, 1.0, -1.0, 0.1, 1e300, math.inf, -math.inf], float),
        (["", "a", "ä" * 70, "x" * 70_000], object),
        ([5], int),
    ],
)
def test_points_are_as_the_client_packs_them(values: list[object], kind: type) -> None:
    """Its own reader gives them back, bit by bit, as it does those that it has packed."""
    points = [(2**62 + i, value) for i, value in enumerate(values)]
    package_ = {"t|a": package.Column.of(points, kind), "ä": package.Column.of([(1, 2)], int)}
    data = package.packed(package_)
    plain = {name: [list(point) for point in some] for name, some in package_.items()}
    assert qpack.unpackb(data, decode="utf-8") == plain
    assert qpack.unpackb(qpack.packb(plain), decode="utf-8") == plain


def test_nan_and_minus_zero() -> None:
    """They keep their sign and kind."""
    data = package.packed({"t": package.Column.of([(1, math.nan), (2, -0.0)], float)})
    (nan, zero) = qpack.unpackb(data, decode="utf-8")["t"]
    assert math.isnan(nan[1])
    assert math.copysign(1, zero[1]) == -1


def test_what_may_be_buffered_comes_last_and_in_pieces() -> None:
    """Texts and long series first; never more of short ones than the server does at once."""
    short = {f"s{i}": column(5) for i in range(60)}
    given = {**short, "text": package.Column.of([(1, "x")]), "long": column(80_010)}
    last = {"seal": column(1)}
    found = list(package.packages(given, last))
    assert [list(some) for some in found[:3]] == [["text"], ["long"], ["long"]]
    assert all(list(some)[-1] == "seal" for some in found[3:])
    assert len(found) == 7
    for some in found[3:]:
        assert sum(150 + len(points) for points in some.values()) < 3_000
    assert {name: len(some) for name, some in found[-1].items() if name == "long"} == {"long": 10}
    assert sum(len(points) for some in found for points in some.values()) == 80_311 + 4


@pytest.mark.parametrize("given", [{}, {"long": column(300)}])
def test_what_comes_last(given: dict[str, Any]) -> None:
    """It does so also behind nothing, and behind what is not buffered."""
    (found,) = package.packages(given, {"seal": column(1)})
    assert list(found) == [*given, "seal"]
